"""`TurnPredictor`: the shortest way from audio to predictions, one conversation on one engine."""

from __future__ import annotations

from pathlib import Path

from numpy.typing import ArrayLike

from .audio_check import AudioWarning
from .engine import Engine
from .prediction import Prediction
from .resample import to_float32
from .session import Session


class TurnPredictor:
    """Predicts turn-taking from live audio, one prediction per frame (20 ms with the bundled model).

    Args:
        model: path of an exported model, a loaded `Engine` (to share one between conversations), or None for the bundled one.
        sample_rate_hz: rate of the audio that will be pushed; it is resampled to the model's.
    Raises:
        ModelError: the model cannot be run.
        AudioFormatError: a rate out of range.
    """

    def __init__(
        self, model: str | Path | Engine | None = None, *, sample_rate_hz: int = 16000
    ) -> None:
        self.engine = model if isinstance(model, Engine) else Engine(model)
        self._session = Session(self.engine.metadata, sample_rate_hz=sample_rate_hz, policy=None)

    def push_audio(self, samples: ArrayLike) -> list[Prediction]:
        """Take in audio and predict on every frame that it completes; any chunking gives the same bits.

        Args:
            samples: float32 in [-1, 1] or int16, (N,) for the user alone or (N, 2) for user and other, any N.
        Returns:
            The predictions of the completed frames, possibly none.
        Raises:
            AudioFormatError: another shape or type, or not finite; nothing is taken in.
        """
        audio = to_float32(samples)
        predictions: list[Prediction] = []
        while len(audio):
            block, audio = audio[: self._session.free_samples], audio[self._session.free_samples :]
            self._session.push_audio(block)
            predictions += self._drain()
        return predictions

    def flush(self) -> list[Prediction]:
        """Complete the last frame with silence and predict on it. Audio may follow."""
        self._session.flush()
        return self._drain()

    def _drain(self) -> list[Prediction]:
        session = self._session
        predictions: list[Prediction] = []
        while session.frames_waiting:
            output, state = self.engine.step(session.take_frame()[None], session.state[None])
            session.state = state[0]
            predictions.append(session.accept(output).prediction)
        return predictions

    def take_warnings(self) -> list[AudioWarning]:
        """What is suspicious about the audio since the last call, each kind once per conversation."""
        return self._session.take_warnings()

    def reset(self) -> None:
        """Forget the conversation and start the clock again."""
        self._session.reset()

    def snapshot(self) -> bytes:
        """The conversation as bytes, to go on in another process with the same numbers."""
        return self._session.snapshot()

    @classmethod
    def restore(cls, snapshot: bytes, model: str | Path | Engine | None = None) -> TurnPredictor:
        """Go on from a snapshot of the same model.

        Raises:
            SnapshotError: not a snapshot, or of another model or version.
        """
        predictor = cls.__new__(cls)
        predictor.engine = model if isinstance(model, Engine) else Engine(model)
        predictor._session = Session.restore(snapshot, predictor.engine.metadata)
        return predictor
