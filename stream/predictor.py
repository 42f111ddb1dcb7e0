"""`TurnPredictor`: predictions for one conversation, with its own engine or a shared one."""

from __future__ import annotations

from pathlib import Path

from numpy.typing import ArrayLike

from .audio_check import AudioWarning
from .engine import Engine
from .pause_model import PauseModel
from .pcm import to_float32
from .policy import PolicySettings
from .prediction import Prediction, TurnEvent
from .session import Session


class TurnPredictor:
    """Predicts turn-taking from live audio, one prediction per frame.

    A frame has 20 ms with the bundled model.

    Args:
        model: path of an exported model, or a loaded `Engine`, which conversations can share. None
            is the bundled model.
        sample_rate_hz: rate of the pushed audio. The audio is resampled to the model's rate.
        policy: name of a preset, or settings; then each prediction has its turn events. None for
            no events.
        pause_model: True for the bundled pause model, or a loaded `PauseModel`, which conversations
            can share. It is asked once in each pause, and there tells ends of turns from thinking
            pauses better than the model alone. It takes some 0.1 s of processor time each time.
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
        pause_model: bool | PauseModel = False,
    ) -> None:
        self.engine = model if isinstance(model, Engine) else Engine(model)
        self.pause_model = _loaded(pause_model)
        self._session = Session(
            self.engine.metadata,
            sample_rate_hz=sample_rate_hz,
            policy=policy,
            pause_model=self.pause_model,
        )

    def push_audio(self, samples: ArrayLike) -> list[Prediction]:
        """Add audio and predict on every frame that it completes.

        The chunk size does not change the predictions, not even in the last bit.

        Args:
            samples: float32 in [-1, 1] or int16, with any N: (N,) for the user alone, or (N, 2) for
                user and other.
        Returns:
            The predictions of the completed frames; may be empty.
        Raises:
            AudioFormatError: the samples have another shape or type, or are not finite. Nothing was
                added then.
        """
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

        Another process can resume it with `restore` and computes the same numbers.
        """
        return self._session.snapshot()

    @classmethod
    def restore(
        cls,
        snapshot: bytes,
        model: str | Path | Engine | None = None,
        *,
        pause_model: bool | PauseModel = False,
    ) -> TurnPredictor:
        """Resume a conversation from a snapshot.

        Args:
            snapshot: bytes from `snapshot`.
            model, pause_model: the same as before, given as for `TurnPredictor`.
        Raises:
            ModelError: the model cannot be run.
            SnapshotError: the bytes are no snapshot, or are of another model or version, or of a
                conversation with a pause model where none is given, or the other way round.
        """
        predictor = cls.__new__(cls)
        predictor.engine = model if isinstance(model, Engine) else Engine(model)
        predictor.pause_model = _loaded(pause_model)
        predictor._session = Session.restore(
            snapshot, predictor.engine.metadata, predictor.pause_model
        )
        return predictor


def _loaded(pause_model: bool | PauseModel) -> PauseModel | None:
    if isinstance(pause_model, PauseModel):
        return pause_model
    return PauseModel() if pause_model else None
