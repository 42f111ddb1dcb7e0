"""Tracks who is speaking and who holds the floor.

The floor holder is the speaker who last spoke alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .prediction import Pair

VAD_ON = 0.5
VAD_OFF = 0.35  # below VAD_ON (hysteresis), so that a fluctuating probability does not split speech
HOLDER_S = 0.1  # time alone that makes a speaker the holder; a click is shorter
MIN_LEVEL_DBFS = -60.0  # a quieter frame neither starts a turn nor makes a holder

# Far below a frame. Times are multiples of the frame, and 0.3 s is not exact in binary.
_SLACK_S = 1e-6


@dataclass(slots=True)
class FloorTracker:
    """Causal voice activity with hysteresis, and the floor holder.

    Attributes:
        active: whether each speaker is speaking.
        holder: speaker who last spoke alone; None before anyone has.
        alone_frames: loud frames since the present speaker began to speak alone.
    """

    active: tuple[bool, bool] = (False, False)
    holder: int | None = None
    alone_frames: int = 0

    def update(self, vad: Pair, frame_s: float, level_dbfs: Pair | None = None) -> None:
        """Update the activity and the holder by one frame.

        Args:
            vad: probability that each speaker is speaking.
            frame_s: length of the frame in seconds.
            level_dbfs: level of each channel in dB re full scale. None if it is unknown; then the
                frame counts as loud.
        """
        before = self.active
        self.active = (_is_on(before[0], vad[0]), _is_on(before[1], vad[1]))
        if self.active[0] == self.active[1]:
            self.alone_frames = 0
            return
        if self.active != before:
            self.alone_frames = 0
        if level_dbfs is None or level_dbfs[1 if self.active[1] else 0] >= MIN_LEVEL_DBFS:
            self.alone_frames += 1
        if reached(self.alone_frames * frame_s, HOLDER_S):
            self.holder = 0 if self.active[0] else 1

    def to_plain(self) -> dict[str, Any]:
        """Return the whole state as JSON values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> FloorTracker:
        """Restore a tracker from the values of `to_plain`.

        Raises:
            ValueError, KeyError, TypeError: the values are not from `to_plain`.
        """
        (first, second), holder, alone_frames = (
            plain["active"],
            plain["holder"],
            plain["alone_frames"],
        )
        counts = [alone_frames] if holder is None else [alone_frames, holder]
        if (
            {type(first), type(second)} != {bool}
            or {type(count) for count in counts} != {int}
            or holder not in (None, 0, 1)
            or alone_frames < 0
        ):
            raise ValueError(
                f"expected two truth values, a holder of null, 0 or 1 and a count, got {plain!r}"
            )
        return cls((first, second), holder, alone_frames)


def reached(elapsed_s: float, limit_s: float) -> bool:
    """Whether a time counted in frames has reached a limit."""
    return elapsed_s > limit_s - _SLACK_S


def _is_on(was_on: bool, probability: float) -> bool:
    return probability >= (VAD_OFF if was_on else VAD_ON)
