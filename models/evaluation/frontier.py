"""Measure the end-of-turn frontier: latency against the share of holds that are cut off.

Every pause of a speaker of at least 0.2 s is a hold (the speaker continues first, within 5 s) or
an end of turn (the other speaker takes the floor: they speak for at least 1 s, and a known
backchannel does not count). A pause in which the other speaker says less and the first speaker
then continues is left out. `find_pauses` in dialogues/events.py has the exact rule. So ends of
turns with a short answer are not measured, nor are backchannels in a pause.

A system gives a score every 0.1 s from the start of the pause. A high score means an end of turn.
The system fires at min(max(delay, first time that score > threshold), timeout): never before
`delay`, and at `timeout` at the latest. A NaN score passes no threshold. Cut-off is the share of
holds that last longer than their firing time. Latency is the mean firing time over ends of turns.

The plain silence timer fires after a fixed wait. The wait is any multiple of 0.1 s up to the
longest time-out. This grid is finer than that of delays and time-outs, so that no system beats
the timer only because of its grid.

Source: LiveKit's eot-bench.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..dialogues.activity import FRAME_RATE_HZ
from ..dialogues.events import Pause, find_pauses
from .measures import Estimate, Floats, Statistic, consecutive, estimate, sums_by_dialogue
from .predictions import EvaluatedDialogue, Setting, last_frame_at

THRESHOLDS = np.arange(101) / 100
DELAYS_S = np.arange(1, 11) / 10
TIMEOUTS_S = np.arange(2, 8) / 2
# Scores are read at these times after the start of a pause, up to the longest time-out.
TIMES_S = np.arange(1, 36) / 10
LATENCIES_S = (0.3, 0.6)  # limits within which the smallest cut-off is reported
CUT_OFFS = (0.05, 0.1)  # limits within which the smallest latency is reported
_BLOCK = 100  # bootstrap draws in memory at once


@dataclass(frozen=True)
class DialoguePause:
    """A pause, and the index of its dialogue among those evaluated."""

    dialogue: int
    pause: Pause


@dataclass(frozen=True)
class OperatingPoint:
    """The settings of a system, and the cut-off and latency that they give.

    The silence timer has no threshold (NaN); its delay and time-out are both its wait.
    """

    threshold: float
    delay_s: float
    timeout_s: float
    cut_off: float
    latency_s: float


@dataclass(frozen=True)
class Best:
    """The smallest cut-off or latency within a limit on the other one.

    Attributes:
        estimate: the smallest value; each bootstrap draw chooses its own settings. NaN if no
            settings keep the limit.
        point: the settings that reach it on all dialogues; None if no settings keep the limit.
    """

    estimate: Estimate
    point: OperatingPoint | None


@dataclass(frozen=True)
class Frontier:
    """The trade-off between cut-off and latency of one system.

    Attributes:
        holds, ends: number of pauses of each kind.
        cut_off_at: the smallest cut-off, by the limit on latency in seconds (LATENCIES_S).
        latency_at: the smallest latency in seconds, by the limit on cut-off (CUT_OFFS).
        points: the Pareto front, fastest first.
    """

    holds: int
    ends: int
    cut_off_at: dict[float, Best]
    latency_at: dict[float, Best]
    points: tuple[OperatingPoint, ...]


def find_dialogue_pauses(dialogues: Sequence[EvaluatedDialogue]) -> list[DialoguePause]:
    """Return every pause of the dialogues; known backchannels do not count as speech."""
    return [
        DialoguePause(number, pause)
        for number, dialogue in enumerate(dialogues)
        for pause in find_pauses(dialogue.activity & ~dialogue.backchannel)
    ]


def read_pauses(
    dialogues: Sequence[EvaluatedDialogue], pauses: Sequence[DialoguePause], setting: Setting
) -> NDArray[np.float32]:
    """Return p_next of the other speaker at TIMES_S from each pause's start, (N, len(TIMES_S)).

    Beyond the end of a dialogue its last value is used.

    Args:
        dialogues: the dialogues in which the pauses were found.
        pauses: from `find_dialogue_pauses`.
        setting: in "mono" the model received only the speaker who paused, as a dialogue system
            receives only its user.
    """
    scores = np.zeros((len(pauses), len(TIMES_S)), np.float32)
    for row, found in zip(scores, pauses, strict=True):
        pause = found.pause
        p_next = (
            dialogues[found.dialogue]
            .predictions_for(setting, pause.speaker)
            .p_next[1 - pause.speaker]
        )
        row[:] = [
            p_next[last_frame_at(pause.start_frame, seconds, len(p_next))] for seconds in TIMES_S
        ]
    return scores


def frontier(dialogues: Sequence[EvaluatedDialogue], setting: Setting) -> Frontier:
    """Return the frontier of p_next."""
    pauses = find_dialogue_pauses(dialogues)
    return score_pauses(pauses, read_pauses(dialogues, pauses, setting))


def score_pauses(pauses: Sequence[DialoguePause], scores: NDArray[np.floating]) -> Frontier:
    """Return the frontier of any system's scores.

    Args:
        pauses: from `find_dialogue_pauses`.
        scores: scores in [0, 1] at TIMES_S from each pause's start, (N, len(TIMES_S)); high for
            an end of turn.
    """
    settings = np.stack(
        np.meshgrid(THRESHOLDS, DELAYS_S, TIMEOUTS_S, indexing="ij"), axis=-1
    ).reshape(-1, 3)
    return _frontier(pauses, settings, _firing_times(scores))


def timer_frontier(pauses: Sequence[DialoguePause]) -> Frontier:
    """Return the frontier of a plain silence timer."""
    settings = np.stack([np.full(len(TIMES_S), np.nan), TIMES_S, TIMES_S], axis=1)
    return _frontier(pauses, settings, iter([np.repeat(TIMES_S[:, None], len(pauses), axis=1)]))


def _firing_times(scores: NDArray[np.floating]) -> Iterator[Floats]:
    """Yield, for every threshold, the firing times of each pause, (delays * time-outs, N)."""
    delays, timeouts = (
        grid.reshape(-1, 1) for grid in np.meshgrid(DELAYS_S, TIMEOUTS_S, indexing="ij")
    )
    for threshold in THRESHOLDS:
        above = scores > threshold
        first = np.where(above.any(axis=1), TIMES_S[above.argmax(axis=1)], np.inf)
        yield np.minimum(np.maximum(first, delays), timeouts)


def _frontier(
    pauses: Sequence[DialoguePause], settings: Floats, firing_times: Iterator[Floats]
) -> Frontier:
    """Return the frontier of a grid of settings.

    Args:
        pauses: from `find_dialogue_pauses`, N.
        settings: threshold, delay and time-out of each setting, (S, 3).
        firing_times: the firing time of each setting in every pause, in blocks (part of S, N).
    """
    numbers, dialogues = consecutive(np.array([found.dialogue for found in pauses], np.int64))
    hold = np.array([found.pause.kind == "hold" for found in pauses], bool)
    lengths_s = np.array(
        [(found.pause.end_frame - found.pause.start_frame) / FRAME_RATE_HZ for found in pauses]
    )
    cut: list[Floats] = []
    late: list[Floats] = []
    for fire in firing_times:
        cut.append(sums_by_dialogue((hold & (lengths_s > fire)).T, numbers, dialogues))
        late.append(sums_by_dialogue(np.where(hold, 0, fire).T, numbers, dialogues))
    sums = _Sums(
        np.concatenate(cut, axis=1),
        np.concatenate(late, axis=1),
        sums_by_dialogue(np.stack([hold, ~hold], axis=1), numbers, dialogues),
    )
    cut_off, latency_s = (rates[0] for rates in sums.rates(np.ones((1, dialogues))))
    points = [
        OperatingPoint(*map(float, (*setting, c, late_s)))
        for setting, c, late_s in zip(settings, cut_off, latency_s, strict=True)
    ]
    return Frontier(
        int(hold.sum()),
        int((~hold).sum()),
        {
            limit: Best(estimate(sums.least(0, limit), dialogues), best_cut_off(points, limit))
            for limit in LATENCIES_S
        },
        {
            limit: Best(estimate(sums.least(1, limit), dialogues), best_latency(points, limit))
            for limit in CUT_OFFS
        },
        pareto_front(points),
    )


@dataclass(frozen=True)
class _Sums:
    """Sums per dialogue (D) and setting (S), from which the bootstrap computes rates.

    Attributes:
        cut: number of holds that are cut off, (D, S).
        late_s: seconds of latency, summed over ends of turns, (D, S).
        kinds: number of holds and of ends of turns, (D, 2).
    """

    cut: Floats
    late_s: Floats
    kinds: Floats

    def rates(self, counts: Floats) -> tuple[Floats, Floats]:
        """Return cut-off and latency, (R, S) each, for dialogues weighted by `counts`, (R, D).

        Without holds the cut-off is infinite; without ends of turns the latency is.
        """
        holds, ends = (counts @ self.kinds).T[:, :, None]
        return _share(counts @ self.cut, holds), _share(counts @ self.late_s, ends)

    def least(self, which: int, limit: float) -> Statistic:
        """Return a statistic: the smallest cut-off (`which` 0) or latency (1).

        Only settings count that keep the other value within `limit`. The statistic is NaN if
        there are none.
        """

        def block(counts: Floats) -> Floats:
            rates = self.rates(counts)
            smallest = np.where(rates[1 - which] <= limit + 1e-9, rates[which], np.inf).min(axis=1)
            return np.where(np.isinf(smallest), np.nan, smallest)

        return lambda counts: np.concatenate(
            [block(counts[start : start + _BLOCK]) for start in range(0, len(counts), _BLOCK)]
        )


def _share(sums: Floats, of: Floats) -> Floats:
    return np.divide(sums, of, out=np.full_like(sums, np.inf), where=of > 0)


def best_cut_off(points: Sequence[OperatingPoint], latency_s: float) -> OperatingPoint | None:
    """Return the point with the smallest cut-off within a limit on latency.

    Of equal points, it is the fastest. None if no point keeps the limit.
    """
    within = (p for p in points if p.latency_s <= latency_s + 1e-9 and np.isfinite(p.cut_off))
    return min(within, key=lambda p: (p.cut_off, p.latency_s), default=None)


def best_latency(points: Sequence[OperatingPoint], cut_off: float) -> OperatingPoint | None:
    """Return the fastest point within a limit on cut-off.

    Of equal points, it is the one with the smallest cut-off. None if no point keeps the limit.
    """
    within = (p for p in points if p.cut_off <= cut_off + 1e-9 and np.isfinite(p.latency_s))
    return min(within, key=lambda p: (p.latency_s, p.cut_off), default=None)


def pareto_front(points: Sequence[OperatingPoint]) -> tuple[OperatingPoint, ...]:
    """Return the Pareto front: points that cut off less than every faster point, fastest first."""
    kept: list[OperatingPoint] = []
    for point in sorted(points, key=lambda p: (p.latency_s, p.cut_off)):
        if (
            np.isfinite(point.cut_off)
            and np.isfinite(point.latency_s)
            and (not kept or point.cut_off < kept[-1].cut_off)
        ):
            kept.append(point)
    return tuple(kept)
