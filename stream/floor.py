"""Who is speaking, as on/off, and who holds the floor: the speaker who last spoke alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

VAD_ON = 0.5
VAD_OFF = 0.35  # lower than on, so that a wavering probability does not chop speech
HOLDER_FRAMES = 5  # 0.1 s alone makes a holder; a click does not


@dataclass(slots=True)
class FloorTracker:
    """Causal speech activity with hysteresis, and the floor holder.

    Attributes:
        active: whether each speaker is speaking.
        holder: speaker who last spoke alone, None before anyone has.
        alone_frames: frames for which the present speaker has been alone.
    """

    active: tuple[bool, bool] = (False, False)
    holder: int | None = None
    alone_frames: int = 0

    def update(self, vad: tuple[float, float]) -> None:
        """Take in one frame's speech probabilities."""
        before = self.active
        self.active = (_is_on(before[0], vad[0]), _is_on(before[1], vad[1]))
        if self.active[0] == self.active[1]:
            self.alone_frames = 0
            return
        self.alone_frames = self.alone_frames + 1 if self.active == before else 1
        if self.alone_frames >= HOLDER_FRAMES:
            self.holder = 0 if self.active[0] else 1

    def to_plain(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> FloorTracker:
        """Go on from what `to_plain` gave."""
        first, second = plain["active"]
        return cls((first, second), plain["holder"], plain["alone_frames"])


def _is_on(was_on: bool, probability: float) -> bool:
    return probability >= (VAD_OFF if was_on else VAD_ON)
