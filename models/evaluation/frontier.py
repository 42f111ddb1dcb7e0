"""How soon an end of turn can be called, against how often a thinking pause is cut off: the end-of-turn frontier.

Every pause of a speaker, of at least 0.2 s, is a hold (the speaker continues first, within 5 s) or an
end of turn (the other takes the floor: speaks for at least 1 s, a known backchannel does not count).
Pauses in which the other says something shorter and the speaker then continues are left out; the exact
rule is that of `find_pauses` in dialogues/events.py. Ends of turns with a short answer are therefore
not measured, and neither are backchannels in a pause.

A system is asked every 0.1 s from the pause's start how sure it is of an end. It waits at least `delay`, fires when its
score passes `threshold`, and gives up waiting at `timeout`: it fires at min(max(delay, first time the score exceeds
threshold), timeout). A score that is NaN passes no threshold. Cut-off is the share of holds longer than that, latency the
mean firing time over ends.

The plain silence timer fires after a fixed wait, any multiple of 0.1 s up to the longest time-out: finer than the grid of
delays and time-outs, so that no system beats it for the grid's sake.

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
from .predictions import EvaluatedDialogue, Setting, heard_frame

THRESHOLDS = np.arange(101) / 100
DELAYS_S = np.arange(1, 11) / 10
TIMEOUTS_S = np.arange(2, 8) / 2
TIMES_S = (
    np.arange(1, 36) / 10
)  # at which scores are read, from a pause's start to the longest time-out
LATENCIES_S = (0.3, 0.6)  # at which the smallest cut-off is reported
CUT_OFFS = (0.05, 0.1)  # at which the smallest latency is reported
_BLOCK = 100  # draws of the bootstrap that are in memory at once


@dataclass(frozen=True)
class DialoguePause:
    """One pause and the place of its dialogue among those evaluated."""

    dialogue: int
    pause: Pause


@dataclass(frozen=True)
class OperatingPoint:
    """Settings of a system and what they give; the silence timer has no threshold (NaN), and one wait for delay and time-out."""

    threshold: float
    delay_s: float
    timeout_s: float
    cut_off: float
    latency_s: float


@dataclass(frozen=True)
class Best:
    """The smallest cut-off or latency within a limit on the other, and the settings that reach it; NaN and None if none do.

    Every draw of the interval chooses its settings anew.
    """

    estimate: Estimate
    point: OperatingPoint | None


@dataclass(frozen=True)
class Frontier:
    """What a system can trade between cutting off and being late.

    Attributes:
        holds, ends: how many pauses there are of each.
        cut_off_at: the smallest cut-off by the limit on latency in seconds, LATENCIES_S.
        latency_at: the smallest latency in seconds by the limit on cut-off, CUT_OFFS.
        points: those that no other beats in both, the fastest first.
    """

    holds: int
    ends: int
    cut_off_at: dict[float, Best]
    latency_at: dict[float, Best]
    points: tuple[OperatingPoint, ...]


def find_dialogue_pauses(dialogues: Sequence[EvaluatedDialogue]) -> list[DialoguePause]:
    """Every pause of some dialogues, backchannels taken out."""
    return [
        DialoguePause(number, pause)
        for number, dialogue in enumerate(dialogues)
        for pause in find_pauses(dialogue.activity & ~dialogue.backchannel)
    ]


def read_pauses(
    dialogues: Sequence[EvaluatedDialogue], pauses: Sequence[DialoguePause], setting: Setting
) -> NDArray[np.float32]:
    """p_next of the other speaker at TIMES_S from each pause's start, (N, len(TIMES_S)); a dialogue's last is kept beyond its end.

    Args:
        dialogues: those that the pauses were found in.
        pauses: from `find_dialogue_pauses`.
        setting: in "mono" only the speaker who paused was heard, as a dialogue system hears its user.
    """
    scores = np.zeros((len(pauses), len(TIMES_S)), np.float32)
    for row, found in zip(scores, pauses, strict=True):
        pause = found.pause
        p_next = dialogues[found.dialogue].heard(setting, pause.speaker).p_next[1 - pause.speaker]
        row[:] = [
            p_next[heard_frame(pause.start_frame, seconds, len(p_next))] for seconds in TIMES_S
        ]
    return scores


def frontier(dialogues: Sequence[EvaluatedDialogue], setting: Setting) -> Frontier:
    """The frontier of p_next."""
    pauses = find_dialogue_pauses(dialogues)
    return score_pauses(pauses, read_pauses(dialogues, pauses, setting))


def score_pauses(pauses: Sequence[DialoguePause], scores: NDArray[np.floating]) -> Frontier:
    """Any system's frontier.

    Args:
        pauses: from `find_dialogue_pauses`.
        scores: in [0, 1], high for an end of turn, at TIMES_S from each pause's start, (N, len(TIMES_S)).
    """
    settings = np.stack(
        np.meshgrid(THRESHOLDS, DELAYS_S, TIMEOUTS_S, indexing="ij"), axis=-1
    ).reshape(-1, 3)
    return _frontier(pauses, settings, _firing_times(scores))


def timer_frontier(pauses: Sequence[DialoguePause]) -> Frontier:
    """The frontier of a plain silence timer."""
    settings = np.stack([np.full(len(TIMES_S), np.nan), TIMES_S, TIMES_S], axis=1)
    return _frontier(pauses, settings, iter([np.repeat(TIMES_S[:, None], len(pauses), axis=1)]))


def _firing_times(scores: NDArray[np.floating]) -> Iterator[Floats]:
    """For every threshold, (delays * time-outs, N)."""
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
    """From the settings, (S, 3), and the firing times of each of them in every pause, in blocks (some of S, N)."""
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
    """Per dialogue: holds cut off and seconds of latency under each setting, (D, S), and how many holds and ends, (D, 2)."""

    cut: Floats
    late_s: Floats
    kinds: Floats

    def rates(self, counts: Floats) -> tuple[Floats, Floats]:
        """Cut-off and latency, each (R, S), when the dialogues count so often, (R, D); infinite without holds or ends."""
        holds, ends = (counts @ self.kinds).T[:, :, None]
        return _share(counts @ self.cut, holds), _share(counts @ self.late_s, ends)

    def least(self, which: int, limit: float) -> Statistic:
        """The smallest cut-off (0) or latency (1) among the settings that keep the other within a limit; NaN if none do."""

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
    """The point with the fewest cut-offs among those at most this slow, the fastest of equals."""
    within = (p for p in points if p.latency_s <= latency_s + 1e-9 and np.isfinite(p.cut_off))
    return min(within, key=lambda p: (p.cut_off, p.latency_s), default=None)


def best_latency(points: Sequence[OperatingPoint], cut_off: float) -> OperatingPoint | None:
    """The fastest point among those that cut off at most this share, of equals the one with the fewest."""
    within = (p for p in points if p.cut_off <= cut_off + 1e-9 and np.isfinite(p.latency_s))
    return min(within, key=lambda p: (p.latency_s, p.cut_off), default=None)


def pareto_front(points: Sequence[OperatingPoint]) -> tuple[OperatingPoint, ...]:
    """The points that cut off less than every faster one, the fastest first."""
    kept: list[OperatingPoint] = []
    for point in sorted(points, key=lambda p: (p.latency_s, p.cut_off)):
        if (
            np.isfinite(point.cut_off)
            and np.isfinite(point.latency_s)
            and (not kept or point.cut_off < kept[-1].cut_off)
        ):
            kept.append(point)
    return tuple(kept)
