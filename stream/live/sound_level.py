"""The level of live audio, and the detection of a microphone that gives no sound."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from ..pcm import Block
from ..prediction import SILENCE_DBFS, Pair

# A microphone that is on records the noise of the room, which is louder. Only some headsets have a
# noise gate that gives zeros.
_MUTED_DBFS, _MUTED_S = -80.0, 3.0
_WAITING_FRAMES = 4096  # whose predictions are due; beyond it the oldest are dropped


def levels_dbfs(block: Block) -> Pair:
    """Return the power of both channels of a block, in dB relative to full scale.

    Args:
        block: samples, (N, 1) or (N, 2).
    Returns:
        The levels of user and other speaker; -120 for silence and for a missing channel.
    """
    powers = np.square(block, dtype=np.float64).sum(axis=0) / max(1, len(block))
    user, other = (
        *(max(SILENCE_DBFS, 10 * math.log10(power + 1e-30)) for power in powers.tolist()),
        SILENCE_DBFS,
    )[:2]
    return user, other


class FrameLevels:
    """Measures the level of each frame, without its mean, from blocks of any length.

    Args:
        samples_per_frame: may have a fraction.
    """

    def __init__(self, samples_per_frame: float) -> None:
        self._samples_per_frame = samples_per_frame
        self._rest: Block | None = None  # samples of the unfinished frame
        self._samples = 0  # up to the start of the rest
        self._measured = 0  # frames
        self._levels = deque[tuple[int, Pair]](maxlen=_WAITING_FRAMES)

    def push(self, block: Block) -> None:
        """Add the next samples, (N, 1) or (N, 2)."""
        rest = block if self._rest is None else np.concatenate([self._rest, block])
        while True:
            end = math.ceil((self._measured + 1) * self._samples_per_frame - 1e-6)
            count = end - self._samples
            if len(rest) < count:
                break
            frame, rest = rest[:count], rest[count:]
            self._levels.append((self._measured, levels_dbfs(frame - frame.mean(axis=0))))
            self._measured, self._samples = self._measured + 1, end
        self._rest = rest

    def take(self, frame: int) -> Pair | None:
        """Return the levels of a frame and forget the frames before it; None if not known."""
        while self._levels and self._levels[0][0] < frame:
            self._levels.popleft()
        return self._levels[0][1] if self._levels and self._levels[0][0] == frame else None


class SilenceWatch:
    """Detects that a microphone gives no sound, not even the noise of a room, and the end of it."""

    def __init__(self) -> None:
        self._silent_s = 0.0

    def push(self, level_dbfs: float, seconds: float) -> bool | None:
        """Add the level of the next block.

        Returns:
            True if the silence has just become too long, False if a too long silence has just
            ended, or else None.
        """
        before_s = self._silent_s
        self._silent_s = before_s + seconds if level_dbfs < _MUTED_DBFS else 0.0
        if before_s < _MUTED_S <= self._silent_s:
            return True
        return False if self._silent_s == 0 and before_s >= _MUTED_S else None

    def reset(self) -> None:
        """Forget the silence so far."""
        self._silent_s = 0.0
