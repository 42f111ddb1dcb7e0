"""Shifts and holds in voice activity.

Speaker A, mutual silence of at least 0.25 s, then B (shift) or A (hold). In the 1 s before the silence only A is active, in
the 1 s after it only the next speaker; the silence starts at least 3 s into the dialogue.
Source: Ekstedt & Skantze 2022; Roddy et al. 2018 for the least silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import DialogueError
from .activity import FRAME_RATE_HZ, BoolFrames, runs


@dataclass(frozen=True)
class Transition:
    """A mutual silence after which the floor goes to the other speaker or stays.

    Attributes:
        kind: "shift" or "hold".
        previous, next: the speaker before and after the silence.
        silence_start_frame: first silent frame.
        silence_end_frame: first frame in which the next speaker is active.
    """

    kind: Literal["shift", "hold"]
    previous: int
    next: int
    silence_start_frame: int
    silence_end_frame: int


def find_transitions(
    activity: BoolFrames,
    frame_rate_hz: float = FRAME_RATE_HZ,
    least_silence_s: float = 0.25,
    context_s: float = 1.0,
    not_before_s: float = 3.0,
) -> list[Transition]:
    """All shifts and holds, in order of time.

    Where the dialogue ends less than `context_s` after the silence, what is there counts.

    Args:
        activity: (2, T).
        frame_rate_hz: of the activity.
        least_silence_s: shorter mutual silences are neither.
        context_s: in this time before and after, only the one speaker may be active.
        not_before_s: the silence starts no earlier.
    Raises:
        DialogueError: activity is not (2, T).
    """
    if activity.ndim != 2 or len(activity) != 2:
        raise DialogueError(f"expected activity of two speakers, (2, T), got shape {activity.shape}")
    least, context = int(np.ceil(least_silence_s * frame_rate_hz - 1e-9)), round(context_s * frame_rate_hz)
    found: list[Transition] = []
    for start, end in runs(~np.any(activity, axis=0)):
        if end - start < least or start < not_before_s * frame_rate_hz or end == activity.shape[1]:
            continue
        previous = _only_speaker(activity[:, max(0, start - context) : start])
        following = _only_speaker(activity[:, end : end + context])
        if previous is not None and following is not None:
            found.append(Transition("hold" if previous == following else "shift", previous, following, start, end))
    return found


def _only_speaker(activity: BoolFrames) -> int | None:
    speaks = activity.any(axis=1)
    return int(speaks.argmax()) if speaks.sum() == 1 else None
