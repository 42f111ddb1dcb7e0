"""Decides when a conversation asks the pause model, and what its answer changes.

When `vad` of both speakers has been below VAD_ON for ASK_AFTER_S, the floor holder's turn is
scored. If the answer is undecided, it is scored once more at ASK_AGAIN_S, and the second answer
replaces the first. From the frame after an answer on, until one of them reaches VAD_ON, it is mixed
into `p_next`. At all other times `p_next` is the network's own.

A pause begins sooner than the floor falls silent, because there is no hysteresis: in noise `vad`
falls slowly, and VAD_OFF would come too late (model card).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from .floor import VAD_ON, reached
from .pause_model import PauseMix
from .prediction import Pair

# `vad` falls some 0.08 s after the speech has ended (median), so about 0.12 s of silence are heard
# at first. With more silence the answer is better, but for many turns too late (model card).
ASK_AFTER_S, ASK_AGAIN_S = 0.04, 0.2
DECIDED = 1.5  # a logit this far from 0 is not asked for again: it would be no better
SMALLEST = 1e-6  # probabilities are kept this far from 0 and 1


@dataclass(slots=True)
class PauseTracker:
    """The present pause of a conversation.

    Attributes:
        silent_frames: frames since `vad` of a speaker was at VAD_ON or above; 0 while it is.
        due: speaker whose turn is to be scored now; None most of the time. The owner asks the pause
            model before the next frame, and gives its answer to `answer`.
        logit: the newest of the pause model in this pause; None before it was asked.
    """

    silent_frames: int = 0
    due: int | None = None
    logit: float | None = None

    def update(self, vad: Pair, holder: int | None, frame_s: float) -> None:
        """Update by one frame.

        Args:
            vad: probability that each speaker is speaking.
            holder: the floor holder after this frame.
            frame_s: length of the frame in seconds.
        """
        if max(vad) >= VAD_ON:
            self.silent_frames, self.logit = 0, None
            return
        before, self.silent_frames = self.silent_frames, self.silent_frames + 1

        def now(moment_s: float) -> bool:
            now_s, before_s = self.silent_frames * frame_s, before * frame_s
            return reached(now_s, moment_s) and not reached(before_s, moment_s)

        undecided = self.logit is None or abs(self.logit) < DECIDED
        if now(ASK_AFTER_S) or (now(ASK_AGAIN_S) and undecided):
            self.due = holder

    def answer(self, logit: float) -> None:
        """Take the answer of the pause model for the speaker who was due."""
        self.due, self.logit = None, logit

    def mixed(self, p_next: Pair, holder: int | None, mix: PauseMix) -> Pair:
        """Return `p_next` with the pause model's answer, if there is one in this pause."""
        if self.logit is None or holder is None:
            return p_next
        p_shift = min(max(p_next[1 - holder], SMALLEST), 1 - SMALLEST)
        logit = mix.network * math.log(p_shift / (1 - p_shift)) + mix.pause * self.logit
        p_shift = 1 / (1 + math.exp(min(-logit, 700.0)))  # beyond 709, exp overflows
        return (1 - p_shift, p_shift) if holder == 0 else (p_shift, 1 - p_shift)

    def to_plain(self) -> dict[str, Any]:
        """Return the whole state as JSON values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> PauseTracker:
        """Restore a tracker from the values of `to_plain`.

        Raises:
            ValueError, KeyError, TypeError: the values are not from `to_plain`.
        """
        silent_frames, due, logit = plain["silent_frames"], plain["due"], plain["logit"]
        if (
            type(silent_frames) is not int
            or silent_frames < 0
            or not (due is None or (type(due) is int and due in (0, 1)))
            or not (logit is None or (type(logit) is float and math.isfinite(logit)))
        ):
            raise ValueError(f"expected a count, a speaker or null and a number, got {plain!r}")
        return cls(silent_frames, due, logit)
