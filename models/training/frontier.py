"""How soon an end of turn can be called, against how often a thinking pause is cut off: the end-of-turn frontier.

Every pause of a speaker is a hold (the speaker goes on first) or an end (the other takes the floor). A system that waits
at least `delay`, fires when its score passes `threshold`, and gives up waiting at `timeout`, fires at
min(max(delay, first time the score exceeds threshold), timeout).

Source: LiveKit's eot-bench.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..dialogues.activity import runs

SCORE_EVERY_S = 0.1
SHORTEST_PAUSE_S, LONGEST_HOLD_S = 0.2, 5.0
THRESHOLDS = np.arange(101) / 100
DELAYS_S = np.arange(1, 11) / 10
TIMEOUTS_S = np.arange(2, 8) / 2
_TIMES_S = np.arange(1, round(TIMEOUTS_S[-1] / SCORE_EVERY_S) + 1) * SCORE_EVERY_S


@dataclass(frozen=True)
class Pause:
    """One speaker's silence.

    Attributes:
        speaker: who paused.
        start_s: when the silence begins.
        length_s: until the speaker goes on; None if the other takes the floor: an end of turn.
    """

    speaker: int
    start_s: float
    length_s: float | None


@dataclass(frozen=True)
class OperatingPoint:
    """Settings of a system and what they give."""

    threshold: float
    delay_s: float
    timeout_s: float
    cut_off: float  # share of holds that are longer than the firing time
    latency_s: float  # mean firing time over ends


def find_pauses(activity: NDArray[np.bool_], frame_rate_hz: float) -> list[Pause]:
    """Pauses of at least 0.2 s that begin while the other is silent; holds longer than 5 s are left out, as is the dialogue's end.

    Args:
        activity: (2, T).
        frame_rate_hz: of the activity.
    """
    found: list[Pause] = []
    for speaker in (0, 1):
        own, other = activity[speaker], activity[1 - speaker]
        for start, end in runs(~own):
            length_s = (end - start) / frame_rate_hz
            if start == 0 or length_s < SHORTEST_PAUSE_S or other[start]:
                continue
            taken = other[start:end].any()
            if not taken and end == len(own):
                continue
            if taken or length_s <= LONGEST_HOLD_S:
                found.append(Pause(speaker, start / frame_rate_hz, None if taken else length_s))
    return found


def read_scores(p_next_other: NDArray[np.float32], pause: Pause, frame_rate_hz: float) -> NDArray[np.float32]:
    """The newest score every 0.1 s from the pause's start, 0.1 s into it first; the recording's last one is kept beyond its end.

    Args:
        p_next_other: p_next of the other speaker, (T,).
        pause: where to read.
        frame_rate_hz: of the scores, which need not be that of the activity.
    """
    heard = ((pause.start_s + _TIMES_S) * frame_rate_hz + 1e-6).astype(int)  # whole frames by then
    return p_next_other[np.clip(heard - 1, 0, len(p_next_other) - 1)]


def operating_points(pauses: Sequence[Pause], scores: NDArray[np.float32]) -> Iterator[OperatingPoint]:
    """Every combination of threshold, delay and time-out.

    Args:
        scores: (pauses, times) from `read_scores`; all one, or all zero, is a plain silence timer.
    """
    ends = np.array([pause.length_s is None for pause in pauses])
    lengths = np.array([np.inf if pause.length_s is None else pause.length_s for pause in pauses])
    for threshold in THRESHOLDS:
        above = scores > threshold
        first = np.where(above.any(axis=1), _TIMES_S[above.argmax(axis=1)], np.inf)
        for delay, timeout in product(DELAYS_S, TIMEOUTS_S):
            fire = np.minimum(np.maximum(first, delay), timeout)
            yield OperatingPoint(float(threshold), float(delay), float(timeout), float((lengths > fire)[~ends].mean()), float(fire[ends].mean()))


def best_cut_off(points: Sequence[OperatingPoint], latency_s: float) -> OperatingPoint | None:
    """The point with the fewest cut-offs among those at most this slow."""
    return min((p for p in points if p.latency_s <= latency_s + 1e-9), key=lambda p: p.cut_off, default=None)


def best_latency(points: Sequence[OperatingPoint], cut_off: float) -> OperatingPoint | None:
    """The fastest point among those that cut off at most this share."""
    return min((p for p in points if p.cut_off <= cut_off + 1e-9), key=lambda p: p.latency_s, default=None)
