"""The level of live audio, and the detection of a microphone that gives no sound."""

from __future__ import annotations

import math

import numpy as np

from ..pcm import Block
from ..prediction import SILENCE_DBFS, Pair

# A microphone that is on records the noise of the room, which is louder. Only some headsets have a
# noise gate that gives zeros.
_MUTED_DBFS, _MUTED_S = -80.0, 3.0


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
