"""`TurnPredictor`: predictions for one conversation, with its own engine or a shared one."""

from __future__ import annotations

from pathlib import Path

from numpy.typing import ArrayLike

from .channel_check import AudioWarning
from .engine import Engine
from .errors import AudioFormatError
from .pause_model import PauseModel, choose_pause_model
from .pcm import decode_pcm, to_float32
from .policy import PolicySettings
from .prediction import Prediction, TurnEvent
from .session import Session


class TurnPredictor:
    """Predicts turn-taking from live audio, one prediction per frame.

    A frame has 20 ms with the bundled model.

        predictor = TurnPredictor(sample_rate_hz=8000, policy="balanced")
        for prediction in predictor.push_audio(samples):
            print(prediction.time_s, prediction.p_shift, prediction.events)

    Args:
        model: path of an exported model, or a loaded `Engine`, which conversations can share. None
            is the bundled model, and "int8" the bundled model in int8.
        sample_rate_hz: rate of the pushed audio. The audio is resampled to the model's rate.
        policy: name of a preset, or settings; then each prediction has its turn events. None for
            no events.
        pause_model: a loaded `PauseModel`, True for the bundled one, or False for none. None is the
            bundled one beside the bundled model, and none beside another. It is asked once or twice
            in each pause, and there tells ends of turns from thinking pauses better than the model
            alone. The call that asks it takes some 0.1 s longer, on two cores. Conversations share
            it. It is loaded in threads when somebody speaks for the first time; a pause that comes
            before it is loaded waits for it.
    Raises:
        ModelError: the model cannot be run.
        AudioFormatError: the rate is out of range.
        PolicyError: no preset of that name.
    """

    def __init__(
        self,
        model: str | Path | Engine | None = None,
        *,
        sample_rate_hz: int = 16000,
        policy: str | PolicySettings | None = None,
        pause_model: bool | PauseModel | None = None,
    ) -> None:
        self.engine = model if isinstance(model, Engine) else Engine(model)
        self.pause_model = choose_pause_model(pause_model, self.engine)
        self._session = Session(
            self.engine.metadata,
            sample_rate_hz=sample_rate_hz,
            policy=policy,
            pause_model=self.pause_model,
        )

    def push_audio(
        self, samples: ArrayLike | bytes | bytearray, *, channels: int = 2
    ) -> list[Prediction]:
        """Add audio and predict on every frame that it completes.

        The chunk size does not change the predictions, not even in the last bit.

        Args:
            samples: float32 in [-1, 1] or int16, with any N: (N,) for the user alone, or (N, 2) for
                user and other. Or bytes: 16-bit little-endian PCM, interleaved.
            channels: of bytes: 1 for the user alone, 2 for user and other.
        Returns:
            The predictions of the completed frames; may be empty.
        Raises:
            AudioFormatError: the samples have another shape or type, or are not finite; bytes are
                not whole samples of all channels. Nothing was added then.
            ModelError: a model gave NaN or infinity, or the pause model's file is damaged inside.
            OSError: the pause model's file cannot be read any more.
        """
        if isinstance(samples, bytes | bytearray):
            if channels not in (1, 2):
                raise AudioFormatError(f"expected bytes of 1 or 2 channels, got {channels!r}")
            samples = decode_pcm(bytes(samples), "pcm_s16le", channels)
        audio = to_float32(samples)
        predictions: list[Prediction] = []
        while len(audio):
            block, audio = audio[: self._session.free_samples], audio[self._session.free_samples :]
            self._session.push_audio(block)
            predictions += self._drain()
        return predictions

    def flush(self) -> list[Prediction]:
        """Fill the last frame with silence and return its prediction. More audio may follow."""
        self._session.flush()
        return self._drain()

    def _drain(self) -> list[Prediction]:
        session = self._session
        predictions: list[Prediction] = []
        self._ask_pause_model()  # a restored conversation may wait for its answer
        while session.frames_waiting:
            output, state = self.engine.step(session.take_frame()[None], session.state[None])
            session.state = state[0]
            predictions.append(session.accept(output))
            if self.pause_model and session.has_pause_model and any(predictions[-1].active):
                self.pause_model.load_soon()  # a pause may follow
            self._ask_pause_model()
        return predictions

    def _ask_pause_model(self) -> None:
        if self._session.pause_due and self.pause_model is not None:
            logit = self.pause_model.logit(self._session.pause_audio())
            self._session.answer_pause(logit)

    def take_warnings(self) -> list[AudioWarning]:
        """Return the audio warnings since the last call. Each kind comes once per conversation."""
        return self._session.take_warnings()

    def end_turn(self, speaker: int = 0) -> list[TurnEvent]:
        """End a speaker's turn now, because you know that it is over (a key was pressed, say).

        Args:
            speaker: whose turn ends (0 user, 1 other).
        Returns:
            The `end_of_turn`; nothing if the speaker is not in a turn.
        Raises:
            PolicyError: the predictor has no policy, or there is no such speaker.
        """
        return self._session.end_turn(speaker)

    def reset(self) -> None:
        """Forget the conversation. The next frame is frame 0 at time 0 of a new one."""
        self._session.reset()

    def snapshot(self) -> bytes:
        """Return the conversation as bytes.

        Another process can resume it with `restore` and computes the same numbers. At 16 kHz they
        are some 60 KB, at most 100 KB, and 1 MB more with a pause model.
        """
        return self._session.snapshot()

    @classmethod
    def restore(
        cls,
        snapshot: bytes,
        model: str | Path | Engine | None = None,
        *,
        pause_model: bool | PauseModel | None = None,
    ) -> TurnPredictor:
        """Resume a conversation from a snapshot.

        Args:
            snapshot: bytes from `snapshot`.
            model, pause_model: the same as before, given as for `TurnPredictor`. A conversation
                that had no pause model stays without.
        Raises:
            ModelError: the model cannot be run.
            SnapshotError: the bytes are no snapshot, are damaged, or are of another model or
                version, or of a conversation with a pause model where none is given. The bytes may
                come from anywhere: every value in them is checked.
        """
        predictor = cls.__new__(cls)
        predictor.engine = model if isinstance(model, Engine) else Engine(model)
        predictor.pause_model = choose_pause_model(pause_model, predictor.engine)
        predictor._session = Session.restore(
            snapshot, predictor.engine.metadata, predictor.pause_model
        )
        return predictor
