"""One conversation, without I/O and without the engine.

A session cuts audio into frames, and turns the engine's outputs into predictions and events. Its
owner (a `TurnPredictor`, or a server's batcher) does the rest: it takes frames, steps the engine on
a batch of conversations, stores the next state, and passes the outputs to `accept`. With a pause
model, the owner also answers `pause_due` before it takes the next frame.
"""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec
import numpy as np
from msgspec.structs import replace

from .audio_check import AudioCheck
from .channel_check import AudioWarning
from .engine import Float32, ModelMetadata, StepOutput
from .errors import AudioFormatError, ModelError, PolicyError, ShapeError, SnapshotError
from .floor import FloorTracker
from .pause_model import PauseModel
from .pause_tracker import PauseTracker
from .policy import PolicySettings, TurnPolicy, policy_settings
from .prediction import SILENCE_DBFS, Pair, Prediction, TurnEvent
from .resample import StreamingResampler
from .ring import PcmRing
from .snapshot import SnapshotHeader, damaged, pack, unpack

_SILENT_POWER = 10 ** (SILENCE_DBFS / 10)
_MAX_RESTORED_LEVEL = 8.0  # above what a resampler makes of samples in [-1, 1]


class Session:
    """The state of one conversation.

    Args:
        metadata: metadata of the model.
        sample_rate_hz: sample rate of the audio for `push_audio`, 8000 to 192000.
        policy: name of a preset, settings, or None for no events.
        buffer_s: audio that can wait for the engine, in seconds. It is rounded up to whole frames,
            and is at least two frames. `push_audio` raises if audio does not fit, so check
            `free_samples` first.
        pause_model: the pause model that the owner asks when `pause_due`; None for none.
    Raises:
        AudioFormatError: the sample rate is out of range.
        PolicyError: there is no such preset.
        ModelError: the pause model has another sample rate than the model.
    Attributes:
        state: packed state, (S,) float32. The owner replaces it after each step.
        samples_received: samples per channel pushed so far, at `sample_rate_hz`.
        frames_done: number of predictions made.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        *,
        sample_rate_hz: int = 16000,
        policy: str | PolicySettings | None = "balanced",
        buffer_s: float = 1.0,
        pause_model: PauseModel | None = None,
    ) -> None:
        if pause_model is not None:
            pause_model.check_fits(metadata.sample_rate_hz)
        self.metadata = metadata
        self.sample_rate_hz = sample_rate_hz
        # Whole frames, so that a flush always has room.
        buffer_frames = max(
            2, math.ceil(buffer_s * metadata.sample_rate_hz / metadata.frame_samples)
        )
        self._ring = PcmRing(2, buffer_frames * metadata.frame_samples)
        self._resampler = StreamingResampler(sample_rate_hz, metadata.sample_rate_hz, channels=2)
        # Room to keep free for the samples that a later flush adds.
        self._owed = self._resampler.delay_s * metadata.sample_rate_hz + 1
        self._policy = TurnPolicy(policy) if policy is not None else None
        self._mix = None if pause_model is None else pause_model.head.mix
        # The newest audio of the frames taken so far, for the pause model.
        self._past = None if pause_model is None else PcmRing(2, pause_model.samples)
        self.reset()

    def reset(self) -> None:
        """Forget the conversation and restart the time at 0. The settings stay."""
        self._resampler.reset()
        self._ring.clear()
        self._floor = FloorTracker()
        self._pause = PauseTracker()
        if self._past is not None:
            self._past.clear()
        self._check = AudioCheck(self.sample_rate_hz)
        self._warnings: list[AudioWarning] = []
        if self._policy is not None:
            self._policy = TurnPolicy(self._policy.settings)
        self.state: Float32 = np.zeros(self.metadata.state_size, np.float32)
        self._level_dbfs: Pair | None = None  # of the frame taken but not accepted yet
        self.samples_received = 0
        self.frames_done = 0

    def configure(self, policy: str | PolicySettings) -> None:
        """Change the policy's thresholds from the next frame on. Turns in progress continue.

        Raises:
            PolicyError: there is no such preset.
        """
        policy_settings(policy)
        if self._policy is None:
            self._policy = TurnPolicy(policy)
        else:
            self._policy.settings = policy

    def end_turn(self, speaker: int = 0) -> list[TurnEvent]:
        """End a speaker's turn after the last prediction; see `TurnPolicy.end_turn`.

        Raises:
            PolicyError: the session has no policy, or there is no such speaker.
        """
        if self._policy is None:
            raise PolicyError("end_turn: expected a session with a policy, got one without")
        return self._policy.end_turn(speaker)

    @property
    def free_samples(self) -> int:
        """Samples per channel, at `sample_rate_hz`, that `push_audio` would accept now."""
        return max(
            0,
            int(
                (self._ring.free - self._owed) * self.sample_rate_hz / self.metadata.sample_rate_hz
            ),
        )

    def push_audio(self, samples: Float32) -> None:
        """Add audio.

        Args:
            samples: float32 in [-1, 1], (N, 2), as `to_float32` returns them. N is at most
                `free_samples`.
        Raises:
            AudioFormatError: more samples than fit. The session is unchanged.
            ShapeError: another shape or type. The session is unchanged.
        """
        free = self.free_samples
        if len(samples) > free:
            raise AudioFormatError(
                f"expected at most {free} samples, which is what the buffer has room for, "
                f"got {len(samples)}"
            )
        if samples.shape[1:] != (2,) or samples.dtype != np.float32:
            raise ShapeError(
                f"expected float32 samples of shape (N, 2), got {samples.dtype} {samples.shape}"
            )
        self.samples_received += len(samples)
        self._warnings += self._check.push(samples)
        self._ring.push(self._resampler.push(samples))

    def flush(self) -> None:
        """Pad the last frame with silence, so that predictions cover all audio pushed so far.

        More audio may follow.
        """
        self._ring.push(self._resampler.flush())
        missing = -self._ring.available % self.metadata.frame_samples
        self._ring.push(np.zeros((missing, 2), np.float32))

    @property
    def frames_waiting(self) -> int:
        """Number of complete frames that wait for `take_frame`."""
        return self._ring.available // self.metadata.frame_samples

    def take_frame(self) -> Float32:
        """Remove and return the oldest waiting frame, (2, frame_samples) float32.

        Raises:
            ShapeError: no frame is waiting.
        """
        frame = self._ring.pop(self.metadata.frame_samples).T
        self._level_dbfs = levels_dbfs(frame)
        if self._past is not None:
            self._past.pop(max(0, frame.shape[1] - self._past.free))
            self._past.push(frame.T)
        return frame

    @property
    def has_pause_model(self) -> bool:
        """Whether a pause model is asked in the pauses."""
        return self._mix is not None

    @property
    def pause_due(self) -> bool:
        """Whether the pause model is to score `pause_audio` before the next frame is taken."""
        return self._pause.due is not None

    def pause_audio(self) -> Float32:
        """Return the audio that the pause model is to score, (N,): the floor holder's channel."""
        assert self._past is not None
        assert self._pause.due is not None
        return self._past.peek(self._past.available)[:, self._pause.due]

    def answer_pause(self, logit: float) -> None:
        """Take the answer of the pause model. It counts from the next frame on.

        Args:
            logit: what `PauseModel.logit` returned for `pause_audio`.
        """
        self._pause.answer(logit)

    def take_warnings(self) -> list[AudioWarning]:
        """Returns the problems with the audio that were found since the last call.

        Each kind is reported once per channel and conversation.
        """
        warnings, self._warnings = self._warnings, []
        return warnings

    def accept(self, output: StepOutput, row: int = 0, *, copy: bool = True) -> Prediction:
        """Convert the model's output for the last taken frame to a prediction with its events.

        Args:
            output: outputs of one step for a batch of conversations.
            row: batch row of this conversation.
            copy: whether the latents are copied. If not, they are views, which keep the outputs of
                the whole batch alive.
        Raises:
            ModelError: an output is NaN or infinite.
        """
        if not output.is_finite(row):
            raise ModelError(
                f"expected finite outputs of the model {self.metadata.name} "
                f"{self.metadata.version}, got NaN or infinity in frame {self.frames_done}"
            )
        level_dbfs, self._level_dbfs = self._level_dbfs, None
        vad, p_now, p_future, p_next, p_backchannel = output.probabilities[row]
        frame_s = self.metadata.frame_samples / self.metadata.sample_rate_hz
        self._floor.update(vad, frame_s, level_dbfs)
        holder = self._floor.holder
        if self._mix is not None:
            # models/evaluation/onnx_runner.py does the same for whole recordings.
            self._pause.update(vad, holder, frame_s)
            p_next = self._pause.mixed(p_next, holder, self._mix)
        p_shift = None if holder is None else p_next[1 - holder]
        latent, latent_speaker = output.latent[row], output.latent_speaker[row]
        prediction = Prediction(
            self.frames_done,
            (self.frames_done + 1) * self.metadata.frame_samples / self.metadata.sample_rate_hz,
            holder,
            p_shift,
            None if p_shift is None else 1 - p_shift,
            vad,
            p_now,
            p_future,
            p_next,
            p_backchannel,
            latent=latent.copy() if copy else latent,
            latent_speaker=latent_speaker.copy() if copy else latent_speaker,
            active=self._floor.active,
            level_dbfs=level_dbfs,
        )
        self.frames_done += 1
        events = self._policy.update(prediction) if self._policy is not None else []
        return replace(prediction, events=tuple(events)) if events else prediction

    def snapshot(self) -> bytes:
        """Returns the whole conversation as bytes (snapshot.py).

        `restore` resumes it, also in another process, and gives the same predictions and warnings.
        """
        fraction, resampler = self._resampler.snapshot()
        check, unchecked = self._check.snapshot()
        arrays = {
            "state": self.state,
            "audio": self._ring.peek(self._ring.available),
            "resampler": resampler,
            "unchecked": unchecked,
        }
        if self._past is not None:
            arrays["past"] = self._past.peek(self._past.available)
        header = SnapshotHeader(
            shapes={name: array.shape for name, array in arrays.items()},
            weights_sha256=self.metadata.weights_sha256,
            sample_rate_hz=self.sample_rate_hz,
            samples_received=self.samples_received,
            frames_done=self.frames_done,
            buffer_s=self._ring.capacity_samples / self.metadata.sample_rate_hz,
            resampler_fraction=fraction,
            floor=self._floor.to_plain(),
            policy=None if self._policy is None else self._policy.to_plain(),
            pause=None if self._past is None else self._pause.to_plain(),
            policy_settings=None
            if self._policy is None
            else msgspec.to_builtins(policy_settings(self._policy.settings)),
            check=(check[0], check[1]),
            warnings=self._warnings,
        )
        return pack(header, arrays)

    @classmethod
    def restore(
        cls, snapshot: bytes, metadata: ModelMetadata, pause_model: PauseModel | None = None
    ) -> Session:
        """Returns a session that resumes the conversation of a snapshot.

        Args:
            snapshot: bytes from `snapshot`.
            metadata: metadata of the same model.
            pause_model: the same pause model; it is not used if the conversation had none.
        Raises:
            SnapshotError: the bytes are not a snapshot, are damaged, have another version, belong
                to another model, ask for a buffer of more than 60 s, or need a pause model where
                none is given.
        """
        header, arrays = unpack(snapshot)
        if header.weights_sha256 != metadata.weights_sha256:
            raise SnapshotError(
                f"expected a snapshot of the model {metadata.weights_sha256[:12]}, "
                f"got one of {header.weights_sha256[:12]}"
            )
        if header.pause is None:
            pause_model = None
        elif pause_model is None:
            raise SnapshotError("expected the pause model that the conversation had, got none")
        try:
            return cls._rebuild(header, arrays, metadata, pause_model)
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(error) from None

    @classmethod
    def _rebuild(
        cls,
        header: SnapshotHeader,
        arrays: dict[str, Float32],
        metadata: ModelMetadata,
        pause_model: PauseModel | None,
    ) -> Session:
        expected = {"state", "audio", "resampler", "unchecked"}
        if set(arrays) != (expected if pause_model is None else expected | {"past"}):
            raise ValueError(f"expected the arrays of a session, got {', '.join(arrays)}")
        settings = header.policy_settings
        session = cls(
            metadata,
            sample_rate_hz=header.sample_rate_hz,
            policy=None if settings is None else PolicySettings(**settings),
            buffer_s=header.buffer_s,
            pause_model=pause_model,
        )
        session.samples_received = header.samples_received
        session.frames_done = header.frames_done
        session._floor = FloorTracker.from_plain(header.floor)
        if session._policy is not None:
            if header.policy is None:
                raise ValueError("expected the state of the policy, got none")
            session._policy.restore(header.policy)
        if arrays["state"].shape != session.state.shape:
            raise ValueError(
                f"expected a float32 state of shape {session.state.shape}, "
                f"got {arrays['state'].shape}"
            )
        session.state = arrays["state"]
        for name in set(arrays) - {"state"}:
            peak = float(np.abs(arrays[name]).max(initial=0))
            if peak > _MAX_RESTORED_LEVEL:
                raise ValueError(f"expected {name} in [-1, 1] or near it, got a peak of {peak:g}")
        session._ring.push(arrays["audio"])
        if session._past is not None and header.pause is not None:
            session._pause = PauseTracker.from_plain(header.pause)
            session._past.push(arrays["past"])
            if session.pause_due and not session._past.available:
                raise ValueError("expected audio for the pause model, got none")
        session._resampler.restore(header.resampler_fraction, arrays["resampler"])
        session._check.restore(header.check, arrays["unchecked"])
        session._warnings = header.warnings
        return session


def levels_dbfs(frame: Float32) -> Pair:
    """Returns the RMS level in dBFS of each channel of a frame (2, N), without its mean.

    These products take a tenth of the time of `np.var`.
    """
    size = frame.shape[1]
    user, other = frame
    sums: list[float] = frame.dot(_ones(size)).tolist()
    return _dbfs(float(user.dot(user)) / size - (sums[0] / size) ** 2), _dbfs(
        float(other.dot(other)) / size - (sums[1] / size) ** 2
    )


@lru_cache(maxsize=4)
def _ones(size: int) -> Float32:
    return np.ones(size, np.float32)


def _dbfs(power: float) -> float:
    return 10 * math.log10(power) if power > _SILENT_POWER else SILENCE_DBFS
