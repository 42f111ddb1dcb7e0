"""Measures of scores against what happened, with 95 % intervals over dialogues.

Every measure is a function of how often each dialogue counts: once each gives the value, random draws with replacement
give the interval (bootstrap over dialogues, since events of one dialogue are not independent). All draws are computed
at once. NaN stands for what cannot be had: no positives, no negatives, or an interval from a single dialogue.

The AUC is pooled over all events, and within dialogue and speaker. Pooled, a score can be right only
because one speaker (or one corpus) yields the floor more often than another; within, an event is
compared with events of the same speaker in the same dialogue alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
SEED = 0
THRESHOLD = 0.5

Floats = NDArray[np.float64]
Statistic = Callable[
    [Floats], Floats
]  # how often each dialogue counts, (R, D) -> one value per row, (R,)


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; NaN where it cannot be had."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BinaryScore:
    """How well scores tell positives from negatives.

    Attributes:
        positives, negatives: how many were scored.
        auc: over all pairs of a positive and a negative.
        balanced_accuracy, weighted_f1: positive is called what scores at least THRESHOLD.
        auc_within: over the pairs of the same dialogue and speaker; None if speakers were not given.
    """

    positives: int
    negatives: int
    auc: Estimate
    balanced_accuracy: Estimate
    weighted_f1: Estimate
    auc_within: Estimate | None = None


def estimate(statistic: Statistic, dialogues: int) -> Estimate:
    """A statistic's value and its bootstrap interval; the draws are the same for every statistic of as many dialogues.

    Args:
        statistic: of how often each dialogue counts, (R, dialogues) -> (R,).
        dialogues: how many have anything to count; draws that give NaN are left out.
    """
    value = float(statistic(np.ones((1, dialogues)))[0]) if dialogues else float("nan")
    if dialogues < 2:
        return Estimate(value, float("nan"), float("nan"))
    draws = np.random.default_rng(SEED).multinomial(
        dialogues, np.full(dialogues, 1 / dialogues), RESAMPLES
    )
    drawn = statistic(draws.astype(np.float64))
    known = drawn[~np.isnan(drawn)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return Estimate(value, float(low), float(high))


def score_binary(
    scores: Floats,
    positive: NDArray[np.bool_],
    dialogue: NDArray[np.int64],
    speaker: NDArray[np.int64] | None = None,
) -> BinaryScore:
    """AUC, balanced accuracy and weighted F1 of events.

    Args:
        scores: (N,); NaN: this event was not scored and does not count.
        positive: (N,).
        dialogue: (N,), any number that tells the events of one dialogue from those of another.
        speaker: (N,), 0 or 1, whose events they are; for the AUC within dialogue and speaker.
    """
    known = ~np.isnan(scores)
    speakers = None if speaker is None else speaker[known]
    scores, positive = scores[known], positive[known]
    numbers, dialogues = consecutive(dialogue[known])
    called = scores >= THRESHOLD
    confusion = sums_by_dialogue(
        np.stack(
            [positive & called, positive & ~called, ~positive & called, ~positive & ~called], axis=1
        ),
        numbers,
        dialogues,
    )
    return BinaryScore(
        int(positive.sum()),
        int((~positive).sum()),
        estimate(auc_statistic(scores, positive, numbers, dialogues), dialogues),
        estimate(lambda counts: balanced_accuracy(counts @ confusion), dialogues),
        estimate(lambda counts: weighted_f1(counts @ confusion), dialogues),
        None
        if speakers is None
        else estimate(
            auc_within_statistic(scores, positive, speakers, numbers, dialogues), dialogues
        ),
    )


def consecutive(dialogue: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Dialogue numbers 0, 1, ... without holes, (N,), and how many there are: those that have something to count."""
    different, numbers = np.unique(dialogue, return_inverse=True)
    return numbers, len(different)


def sums_by_dialogue(
    values: NDArray[np.float64 | np.bool_], numbers: NDArray[np.int64], dialogues: int
) -> Floats:
    """Sum of the rows of each dialogue, (N, ...) -> (dialogues, ...)."""
    order = np.argsort(numbers, kind="stable")
    before = np.concatenate(
        [np.zeros((1, *values.shape[1:])), np.cumsum(values[order], axis=0, dtype=np.float64)]
    )
    edges = np.searchsorted(numbers[order], np.arange(dialogues + 1))
    return np.diff(before[edges], axis=0)


def auc_statistic(
    scores: Floats, positive: NDArray[np.bool_], numbers: NDArray[np.int64], dialogues: int
) -> Statistic:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    Wins of every dialogue's positives over every dialogue's negatives are counted once, (D, D); each draw only weighs them.
    """
    wins = np.zeros((dialogues, dialogues))
    for against in range(dialogues):
        negatives = np.sort(scores[~positive & (numbers == against)])
        above = (
            np.searchsorted(negatives, scores[positive], "left")
            + np.searchsorted(negatives, scores[positive], "right")
        ) / 2
        wins[:, against] = sums_by_dialogue(above, numbers[positive], dialogues)
    kinds = sums_by_dialogue(np.stack([positive, ~positive], axis=1), numbers, dialogues)

    def statistic(counts: Floats) -> Floats:
        pairs = np.prod(counts @ kinds, axis=1)
        return _ratio(np.einsum("rd,rd->r", counts @ wins, counts), pairs)

    return statistic


def auc_within_statistic(
    scores: Floats,
    positive: NDArray[np.bool_],
    speaker: NDArray[np.int64],
    numbers: NDArray[np.int64],
    dialogues: int,
) -> Statistic:
    """Area under the ROC curve within dialogue and speaker.

    Of all pairs of a positive and a negative of the same speaker in the same dialogue, the share in
    which the positive scores higher, ties counting half. A speaker with only one kind gives no pair.

    Args:
        scores, positive: of events, (N,).
        speaker: whose they are, 0 or 1, (N,).
        numbers: of their dialogues, 0 to dialogues - 1, (N,).
        dialogues: how many.
    """
    right, pairs = np.zeros(dialogues), np.zeros(dialogues)
    for number in range(dialogues):
        for who in (0, 1):
            member = (numbers == number) & (speaker == who)
            above, below = scores[member & positive, None], scores[member & ~positive]
            right[number] += np.sum(above > below) + np.sum(above == below) / 2
            pairs[number] += above.size * below.size
    return lambda counts: _ratio(counts @ right, counts @ pairs)


def auc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve of all events; NaN if either kind is missing."""
    return float(
        auc_statistic(scores, positive, np.zeros(len(scores), np.int64), 1)(np.ones((1, 1)))[0]
    )


def balanced_accuracy(confusion: Floats) -> Floats:
    """Mean of the accuracies on positives and on negatives.

    Args:
        confusion: true positives, false negatives, false positives, true negatives, (R, 4).
    Returns:
        (R,), NaN where either kind is missing.
    """
    hit, missed, false, rejected = confusion.T
    return (_ratio(hit, hit + missed) + _ratio(rejected, false + rejected)) / 2


def weighted_f1(confusion: Floats) -> Floats:
    """F1 of positives and of negatives, weighted by how many there are, as VAP's results are given.

    Args:
        confusion: true positives, false negatives, false positives, true negatives, (R, 4).
    Returns:
        (R,), NaN where either kind is missing.
    """
    hit, missed, false, rejected = confusion.T
    positives, negatives = hit + missed, false + rejected
    f1_positives, f1_negatives = (
        _ratio(2 * hit, 2 * hit + missed + false),
        _ratio(2 * rejected, 2 * rejected + missed + false),
    )
    both = (positives > 0) & (negatives > 0)
    return np.where(
        both,
        _ratio(positives * f1_positives + negatives * f1_negatives, positives + negatives),
        np.nan,
    )


def _ratio(above: Floats, below: Floats) -> Floats:
    """Quotients, NaN where there is nothing to divide by."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
