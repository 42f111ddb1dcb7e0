"""Sum up the networks of a grid: the score of each row over its seeds, and what can be concluded.

A row is compared with another row of the grid on the same dialogues. Every difference has its
interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.measures import Estimate, Floats, Statistic, auc_within_statistic, estimate
from ..evaluation.shift_hold import SCORE_MS, count_earlier
from .grid import Grid, Row
from .runs import Measured

# Verdicts on one measure.
BETTER, WORSE, SAME = "Better", "Worse", "No difference that can be shown"
# Verdicts on all measures together.
MIXED, UNDECIDED = (
    "Better in one thing, worse in another",
    "Cannot be told (one seed, one dialogue, or at chance)",
)
CHEAPER = 0.9  # at most this share of another cost is called cheaper

# From one network to its score as a statistic of its dialogues, and the number of dialogues.
Per = Callable[[Measured], tuple[Statistic, int]]


@dataclass(frozen=True)
class Measure:
    """One way to measure a network.

    Attributes:
        name: its name in the table.
        words: what is measured, and on which data.
        unit: unit of its differences.
        sign: 1 where more is better, -1 where less is.
        chance: score without knowledge; NaN where undefined.
        of: returns a network's score.
    """

    name: str
    words: str
    unit: str
    sign: int
    chance: float
    of: Per

    def better(self, value: float, other: float) -> bool:
        return self.sign * (value - other) > 0

    def beats_chance(self, one: Estimate) -> bool:
        """Return whether the whole interval beats chance; false where one of them is unknown."""
        return self.better(one.low if self.sign > 0 else one.high, self.chance)


def auc_within(one: Measured, scores: Floats) -> tuple[Statistic, int]:
    """Return the AUC of scores of a network's silences, (E,), within dialogue and speaker."""
    dialogues = len(one.real["projection"])
    return auc_within_statistic(
        scores, np.array(one.shift), np.array(one.speaker), np.array(one.dialogue), dialogues
    ), dialogues


def _auc(one: Measured) -> tuple[Statistic, int]:
    return auc_within(one, np.array(one.score))


def _mean_loss(part: str, head: str) -> Per:
    def of(one: Measured) -> tuple[Statistic, int]:
        losses = np.array(getattr(one, part)[head])
        return lambda counts: counts @ losses / counts.sum(1), len(losses)

    return of


MEASURES = (
    Measure(
        "auc",
        f"shift or hold on the real calls, {SCORE_MS} ms into the silence",
        "AUC within call and speaker",
        1,
        0.5,
        _auc,
    ),
    Measure(
        "real_projection",
        "projection of both voices' next two seconds on the real calls",
        "nats",
        -1,
        math.nan,
        _mean_loss("real", "projection"),
    ),
    Measure(
        "real_next",
        "next holder on the real calls",
        "nats",
        -1,
        math.log(2),
        _mean_loss("real", "next_holder"),
    ),
    Measure(
        "held_out_next",
        "next holder on the held-out dialogues",
        "nats",
        -1,
        math.log(2),
        _mean_loss("held_out", "next_holder"),
    ),
    Measure(
        "held_out_projection",
        "projection on the held-out dialogues",
        "nats",
        -1,
        math.nan,
        _mean_loss("held_out", "projection"),
    ),
)


@dataclass(frozen=True)
class Summary:
    """One row over its seeds.

    Attributes:
        row: the row of the grid.
        runs: its networks, one per seed.
        scores: mean over the seeds, by measure; intervals over dialogues and seeds.
        microseconds: cost of 20 ms of one conversation.
        against: the summary of the row that it is compared with; None for the first row, and
            where that row was not measured.
        gains: its score minus the other's on the same dialogues, by measure; intervals over
            dialogues and seeds. Empty if `against` is None.
    """

    row: Row
    runs: Sequence[Measured]
    scores: dict[str, Estimate]
    microseconds: float
    against: Summary | None
    gains: dict[str, Estimate]


def summarise(
    grid: Grid, measured: Sequence[Measured], microseconds: Mapping[str, float]
) -> list[Summary]:
    """Return a summary of every row that was measured, in the order of the grid.

    Args:
        grid: the grid.
        measured: the networks measured so far.
        microseconds: cost of 20 ms, by row; a row that could not be exported has none.
    """
    found: dict[str, Summary] = {}

    def summary(row: Row) -> Summary | None:
        own = [one for one in measured if one.row == row.name]
        if row.name in found or not own:
            return found.get(row.name)
        reference = grid.reference(row)
        other = None if reference is None else summary(reference)
        scores = {measure.name: estimate(*_mean(measure, own, 1)) for measure in MEASURES}
        gains = (
            {measure.name: _gain(measure, own, other.runs) for measure in MEASURES} if other else {}
        )
        found[row.name] = Summary(
            row, own, scores, microseconds.get(row.name, math.nan), other, gains
        )
        return found[row.name]

    return [one for row in grid.rows if (one := summary(row)) is not None]


def _mean(measure: Measure, measured: Sequence[Measured], draw: int) -> tuple[Statistic, int]:
    """Return a statistic, the mean over the seeds, and the number of dialogues.

    The bootstrap draws seeds as well as dialogues. Each value of `draw` has its own random
    numbers. A draw from n seeds varies too little, by a factor of the square root of (n - 1) / n;
    so deviations from the mean are enlarged by its inverse.
    """
    each = [measure.of(one) for one in measured]
    seeds = len(each)
    wider = math.sqrt(seeds / (seeds - 1)) if seeds > 1 else 0.0

    def mean(counts: Floats) -> Floats:
        drawn = np.ones((len(counts), seeds))
        if len(counts) > 1:
            drawn += wider * (
                np.random.default_rng([draw, seeds]).multinomial(
                    seeds, np.full(seeds, 1 / seeds), len(counts)
                )
                - 1
            )
        return (
            np.sum(
                [statistic(counts) * drawn[:, seed] for seed, (statistic, _) in enumerate(each)],
                axis=0,
            )
            / seeds
        )

    return mean, each[0][1]


def _gain(measure: Measure, own: Sequence[Measured], others: Sequence[Measured]) -> Estimate:
    first, dialogues = _mean(measure, own, 1)
    second, _ = _mean(measure, others, 2)
    return estimate(lambda counts: first(counts) - second(counts), dialogues)


def conclusion(summary: Summary) -> str:
    """Return the conclusion of a row in plain English: better, worse, or undecided."""
    other = summary.against
    if other is None:
        return (
            "What it is to be compared with was not measured."
            if summary.row.against
            else "What others are compared with."
        )
    found: dict[str, list[str]] = {}
    for measure in MEASURES:
        gain = summary.gains[measure.name]
        found.setdefault(_verdict(summary, other, measure), []).append(
            f"{measure.words}, {written(gain, '+.3f')} {measure.unit}"
        )
    parts = [f"{verdict}: {'; '.join(what)}" for verdict, what in found.items()]
    return f"Against “{other.row.name}”. {'. '.join(parts)}."


def counting_in_words(one: Measured) -> str:
    """Return a sentence on the AUC of a baseline that hears nothing and counts shifts."""
    counted = count_earlier(one.shift, one.dialogue, one.speaker)
    auc = estimate(*auc_within(one, counted))
    return (
        "A baseline that hears nothing, the share of shifts among this speaker's silences so far, "
        f"has an AUC of {written(auc, '.3f')} within call and speaker."
    )


def in_short(summaries: Sequence[Summary]) -> list[str]:
    """Return one sentence each on the differences that were found, and on those that were not."""
    sentences = [
        f"{measure.words[0].upper()}{measure.words[1:]}: no network is measurably above chance, so "
        "with this budget it tells none from another."
        for measure in MEASURES
        if not (
            math.isnan(measure.chance)
            or any(measure.beats_chance(one.scores[measure.name]) for one in summaries)
        )
    ]
    groups: dict[str, list[Summary]] = {
        words: [] for words in (BETTER, WORSE, MIXED, SAME, UNDECIDED)
    }
    for one in summaries:
        if one.against is not None:
            verdicts = {_verdict(one, one.against, measure) for measure in MEASURES}
            groups[
                MIXED
                if {BETTER, WORSE} <= verdicts
                else next(
                    (words for words in (BETTER, WORSE, SAME) if words in verdicts), UNDECIDED
                )
            ].append(one)
    sentences += [
        f"{words}: {'; '.join(one.row.name for one in group)}."
        for words, group in groups.items()
        if group
    ]
    cheaper = [
        f"{one.row.name} ({1 - one.microseconds / one.against.microseconds:.0%} less than "
        f"{one.against.row.name})"
        for one in groups[SAME]
        if one.against is not None and one.microseconds <= CHEAPER * one.against.microseconds
    ]
    return sentences + (
        [f"Of these, cheaper by a tenth or more: {'; '.join(cheaper)}."] if cheaper else []
    )


def _verdict(summary: Summary, other: Summary, measure: Measure) -> str:
    gain = summary.gains[measure.name]
    if math.isnan(gain.low):
        return "One dialogue, which has no interval"
    if not (
        math.isnan(measure.chance)
        or any(measure.beats_chance(one.scores[measure.name]) for one in (summary, other))
    ):
        return "Neither is measurably above chance"
    if min(len(summary.runs), len(other.runs)) < 2:
        return "One seed, which cannot be told from luck"
    if gain.low <= 0 <= gain.high:
        return SAME
    return BETTER if measure.better(gain.value, 0) else WORSE


def written(one: Estimate, digits: str) -> str:
    """Return a value and its interval, in a format such as ".3f"."""
    return (
        f"{one.value:{digits}}"
        if math.isnan(one.low)
        else f"{one.value:{digits}} ({one.low:{digits}} to {one.high:{digits}})"
    )
