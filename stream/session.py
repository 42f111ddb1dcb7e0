"""One conversation, without I/O and without the engine: audio in, frames out; step outputs in, predictions and events out.

Whoever owns it (a `TurnPredictor`, a server's batcher) takes frames, steps the engine on any batch of conversations,
stores the next state and hands the outputs back.
"""

from __future__ import annotations

import io
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .audio_check import AudioCheck, AudioWarning
from .engine import Float32, ModelMetadata, StepOutput
from .errors import AudioFormatError, SnapshotError
from .floor import FloorTracker
from .policy import PolicySettings, TurnPolicy, policy_settings
from .prediction import SILENCE_DBFS, Pair, Prediction, TurnEvent
from .resample import StreamingResampler, to_float32
from .ring import PcmRing

SNAPSHOT_VERSION = 2
_SILENT_POWER = 10 ** (SILENCE_DBFS / 10)
MAX_RESTORED_BUFFER_S = 60.0  # so that a damaged snapshot cannot ask for all memory


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One frame's prediction and the events that it caused."""

    prediction: Prediction
    events: tuple[TurnEvent, ...]


class Session:
    """The state of one conversation.

    Args:
        metadata: of the model that will be stepped.
        sample_rate_hz: rate of the audio that will be pushed.
        policy: preset, settings, or None for no events.
        buffer_s: audio that can wait for the engine, rounded up to whole frames; `push_audio` refuses what does not fit, so ask `free_samples` first.
    Raises:
        AudioFormatError: a rate out of range.
        PolicyError: no such preset.
    Attributes:
        state: packed state, (S,) float32; the owner replaces it after each step.
        samples_received: samples per channel pushed, at their own rate.
        frames_done: predictions made.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        *,
        sample_rate_hz: int = 16000,
        policy: str | PolicySettings | None = "balanced",
        buffer_s: float = 1.0,
    ) -> None:
        self.metadata = metadata
        self.sample_rate_hz = sample_rate_hz
        buffer_frames = max(
            2, math.ceil(buffer_s * metadata.sample_rate_hz / metadata.frame_samples)
        )  # whole, so that a flush always finds room
        self._ring = PcmRing(2, buffer_frames * metadata.frame_samples)
        self._resampler = StreamingResampler(sample_rate_hz, metadata.sample_rate_hz, channels=2)
        self._owed = (
            self._resampler.delay_s * metadata.sample_rate_hz + 1
        )  # room that a flush after the push must find
        self._policy = TurnPolicy(policy) if policy is not None else None
        self.reset()

    def reset(self) -> None:
        """Forget the conversation and start the clock again; settings stay."""
        self._resampler.reset()
        self._ring.clear()
        self._floor = FloorTracker()
        self._check = AudioCheck(self.sample_rate_hz)
        self._warnings: list[AudioWarning] = []
        if self._policy is not None:
            self._policy = TurnPolicy(self._policy.settings)
        self.state: Float32 = np.zeros(self.metadata.state_size, np.float32)
        self._level_dbfs: Pair | None = None  # of the frame that was taken and not accepted yet
        self.samples_received = 0
        self.frames_done = 0

    def configure(self, policy: str | PolicySettings) -> None:
        """Change the policy's thresholds from here on; turns in progress go on.

        Raises:
            PolicyError: no such preset.
        """
        policy_settings(policy)
        if self._policy is None:
            self._policy = TurnPolicy(policy)
        else:
            self._policy.settings = policy

    @property
    def free_samples(self) -> int:
        """Samples per channel, at the pushed rate, that `push_audio` would take now."""
        return max(
            0,
            int(
                (self._ring.free - self._owed) * self.sample_rate_hz / self.metadata.sample_rate_hz
            ),
        )

    def push_audio(self, samples: ArrayLike) -> None:
        """Take in audio.

        Args:
            samples: float32 in [-1, 1] or int16, (N,) or (N, 1) for the user alone or (N, 2), N up to `free_samples`.
        Raises:
            AudioFormatError: another shape or type, not finite, or more than fits; nothing is taken in.
        """
        block = to_float32(samples)
        free = self.free_samples
        if len(block) > free:
            raise AudioFormatError(
                f"expected at most {free} samples, which is what the buffer has room for, got {len(block)}"
            )
        self.samples_received += len(block)
        self._warnings += self._check.push(block)
        self._ring.push(self._resampler.push(block))

    def flush(self) -> None:
        """Complete the last frame with silence, so that everything pushed is predicted on. Audio may follow."""
        self._ring.push(self._resampler.flush())
        missing = -self._ring.available % self.metadata.frame_samples
        self._ring.push(np.zeros((missing, 2), np.float32))

    @property
    def frames_waiting(self) -> int:
        """Whole frames not yet taken."""
        return self._ring.available // self.metadata.frame_samples

    def take_frame(self) -> Float32:
        """The oldest waiting frame, (2, frame_samples) float32.

        Raises:
            ShapeError: none is waiting.
        """
        frame = self._ring.pop(self.metadata.frame_samples).T
        self._level_dbfs = _levels_dbfs(frame)
        return frame

    def take_warnings(self) -> list[AudioWarning]:
        """What is suspicious about the audio since the last call; each kind is reported once per conversation."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def accept(self, output: StepOutput, row: int = 0) -> FrameResult:
        """Turn one row of the output for the frame last taken into the next prediction and its events."""
        level_dbfs, self._level_dbfs = self._level_dbfs, None
        vad, p_now, p_future, p_next, p_backchannel = output.probabilities[row]
        self._floor.update(
            vad, self.metadata.frame_samples / self.metadata.sample_rate_hz, level_dbfs
        )
        holder = self._floor.holder
        p_shift = None if holder is None else p_next[1 - holder]
        prediction = Prediction(
            frame=self.frames_done,
            time_s=(self.frames_done + 1)
            * self.metadata.frame_samples
            / self.metadata.sample_rate_hz,
            holder=holder,
            p_shift=p_shift,
            p_hold=None if p_shift is None else 1 - p_shift,
            vad=vad,
            p_now=p_now,
            p_future=p_future,
            p_next=p_next,
            p_backchannel=p_backchannel,
            latent=output.latent[row].copy(),  # a view would keep the whole batch alive
            latent_speaker=output.latent_speaker[row].copy(),
            level_dbfs=level_dbfs,
        )
        self.frames_done += 1
        events = self._policy.update(prediction) if self._policy is not None else []
        return FrameResult(prediction, tuple(events))

    def snapshot(self) -> bytes:
        """The whole conversation as bytes, to go on elsewhere with the same numbers (an .npz archive, no pickle)."""
        header = {
            "snapshot_version": SNAPSHOT_VERSION,
            "weights_sha256": self.metadata.weights_sha256,
            "sample_rate_hz": self.sample_rate_hz,
            "samples_received": self.samples_received,
            "frames_done": self.frames_done,
            "buffer_s": self._ring.capacity_samples / self.metadata.sample_rate_hz,
            "floor": self._floor.to_plain(),
            "policy": None if self._policy is None else self._policy.to_plain(),
            "policy_settings": None
            if self._policy is None
            else asdict(policy_settings(self._policy.settings)),
        }
        arrays: dict[str, NDArray[Any]] = {
            "state": self.state,
            "audio": self._ring.peek(self._ring.available),
        }
        arrays |= {f"resampler_{name}": array for name, array in self._resampler.snapshot().items()}
        archive = io.BytesIO()
        np.savez(archive, allow_pickle=False, header=np.array(json.dumps(header)), **arrays)
        return archive.getvalue()

    @classmethod
    def restore(cls, snapshot: bytes, metadata: ModelMetadata) -> Session:
        """Go on from a snapshot. The check of the audio begins anew, so a warning may come a second time.

        Raises:
            SnapshotError: not a snapshot, damaged, of another version, of another model, or with a buffer of more than a minute.
        """
        try:
            with np.load(io.BytesIO(snapshot), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            header = json.loads(str(arrays.pop("header")))
            version, weights = header["snapshot_version"], str(header["weights_sha256"])
        except Exception as error:  # numpy, zipfile and json raise many kinds on foreign bytes
            raise SnapshotError(
                f"expected a snapshot made by turnstream, got {len(snapshot)} bytes that are not one ({type(error).__name__})"
            ) from None
        if version != SNAPSHOT_VERSION:
            raise SnapshotError(f"expected snapshot version {SNAPSHOT_VERSION}, got {version}")
        if weights != metadata.weights_sha256:
            raise SnapshotError(
                f"expected a snapshot of the model {metadata.weights_sha256[:12]}, got one of {weights[:12]}"
            )
        try:
            return cls._rebuild(header, arrays, metadata)
        except (ValueError, KeyError, TypeError) as error:
            raise SnapshotError(
                f"expected a whole snapshot, got a damaged one: {type(error).__name__} {error}"
            ) from None

    @classmethod
    def _rebuild(
        cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]], metadata: ModelMetadata
    ) -> Session:
        settings, buffer_s = header["policy_settings"], header["buffer_s"]
        if not 0 < buffer_s <= MAX_RESTORED_BUFFER_S:
            raise ValueError(
                f"expected buffer_s above 0 and up to {MAX_RESTORED_BUFFER_S:g}, got {buffer_s!r}"
            )
        policy = None if settings is None else PolicySettings(**settings)
        session = cls(
            metadata, sample_rate_hz=header["sample_rate_hz"], policy=policy, buffer_s=buffer_s
        )
        session.samples_received, session.frames_done = (
            _count(header, "samples_received"),
            _count(header, "frames_done"),
        )
        session._floor = FloorTracker.from_plain(header["floor"])
        if session._policy is not None:
            session._policy.restore(header["policy"])
        if arrays["state"].shape != session.state.shape or arrays["state"].dtype != np.float32:
            raise ValueError(
                f"expected a float32 state of shape {session.state.shape}, got {arrays['state'].dtype} {arrays['state'].shape}"
            )
        session.state = arrays["state"]
        session._ring.push(arrays["audio"])
        session._resampler.restore(
            {
                name.removeprefix("resampler_"): array
                for name, array in arrays.items()
                if name.startswith("resampler_")
            }
        )
        return session


def _levels_dbfs(frame: Float32) -> Pair:
    """RMS level of each channel of a frame, (2, N), without its mean. Three products cost a fifth of `np.var`."""
    size = frame.shape[1]
    sums: list[float] = (frame @ np.ones(size, np.float32)).tolist()
    return _dbfs(float(frame[0] @ frame[0]) / size - (sums[0] / size) ** 2), _dbfs(
        float(frame[1] @ frame[1]) / size - (sums[1] / size) ** 2
    )


def _dbfs(power: float) -> float:
    return 10 * math.log10(power) if power > _SILENT_POWER else SILENCE_DBFS


def _count(header: dict[str, Any], name: str) -> int:
    count = header[name]
    if type(count) is not int or count < 0:
        raise ValueError(f"expected {name} to be a whole number from 0, got {count!r}")
    return count
