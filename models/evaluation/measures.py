"""Compare scores with outcomes, with 95 % intervals over dialogues.

Every measure is a function of the weights of the dialogues. Weight 1 for each dialogue gives the
value; random draws with replacement give the interval. This bootstrap draws dialogues, not
events, because events of one dialogue are not independent. All draws are computed at once. NaN
means that a value is undefined: there are no positives or no negatives, or the interval would
come from a single dialogue.

There are two AUCs: pooled over all events, and within dialogue and speaker. A pooled AUC can be
high only because one speaker (or one corpus) yields the floor more often than another. The AUC
within compares an event only with events of the same speaker in the same dialogue.
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
Statistic = Callable[[Floats], Floats]  # weights of the dialogues, (R, D) -> values, (R,)


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; NaN where undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BinaryScore:
    """How well scores separate positives from negatives.

    Attributes:
        positives, negatives: number of scored events of each kind.
        auc: over all pairs of a positive and a negative.
        balanced_accuracy, weighted_f1: an event with a score of at least THRESHOLD is predicted
            positive.
        auc_within: over pairs of the same dialogue and speaker; None if speakers were not given.
    """

    positives: int
    negatives: int
    auc: Estimate
    balanced_accuracy: Estimate
    weighted_f1: Estimate
    auc_within: Estimate | None = None


def estimate(statistic: Statistic, dialogues: int) -> Estimate:
    """Return the value of a statistic and its bootstrap interval.

    The draws depend only on the number of dialogues, so statistics of the same dialogues share
    them. Draws with a NaN result are left out.

    Args:
        statistic: a function of the weights of the dialogues, (R, dialogues) -> (R,).
        dialogues: number of dialogues that have events.
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
    """Return AUC, balanced accuracy and weighted F1 of events.

    Args:
        scores: score of each event, (N,); events with NaN are left out.
        positive: whether each event is positive, (N,).
        dialogue: an integer for each event, (N,); events of one dialogue share it.
        speaker: the speaker of each event, 0 or 1, (N,); needed for the AUC within dialogue and
            speaker.
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
    """Renumber the dialogues that have events as 0, 1, ... without gaps.

    Returns:
        The new numbers, (N,), and the number of dialogues.
    """
    different, numbers = np.unique(dialogue, return_inverse=True)
    return numbers, len(different)


def sums_by_dialogue(
    values: NDArray[np.float64 | np.bool_], numbers: NDArray[np.int64], dialogues: int
) -> Floats:
    """Sum the rows of each dialogue, (N, ...) -> (dialogues, ...)."""
    order = np.argsort(numbers, kind="stable")
    before = np.concatenate(
        [np.zeros((1, *values.shape[1:])), np.cumsum(values[order], axis=0, dtype=np.float64)]
    )
    edges = np.searchsorted(numbers[order], np.arange(dialogues + 1))
    return np.diff(before[edges], axis=0)


def auc_statistic(
    scores: Floats, positive: NDArray[np.bool_], numbers: NDArray[np.int64], dialogues: int
) -> Statistic:
    """Return a statistic: the area under the ROC curve, pooled over all events.

    It is the probability that a positive scores above a negative; a tie counts half. The wins of
    each dialogue's positives over each dialogue's negatives, (D, D), are counted once. Each draw
    only weights them.
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
    """Return a statistic: the area under the ROC curve within dialogue and speaker.

    Pairs are formed of a positive and a negative of the same speaker in the same dialogue. The
    statistic is the share of pairs in which the positive scores higher; a tie counts half. A
    speaker with events of only one kind gives no pairs.

    Args:
        scores, positive: score and kind of each event, (N,).
        speaker: speaker of each event, 0 or 1, (N,).
        numbers: dialogue of each event, 0 to dialogues - 1, (N,).
        dialogues: number of dialogues.
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
    """Return the area under the ROC curve of all events; NaN if there is only one kind."""
    return float(
        auc_statistic(scores, positive, np.zeros(len(scores), np.int64), 1)(np.ones((1, 1)))[0]
    )


def balanced_accuracy(confusion: Floats) -> Floats:
    """Return the mean of the accuracy on positives and the accuracy on negatives.

    Args:
        confusion: true positives, false negatives, false positives, true negatives, (R, 4).
    Returns:
        (R,); NaN where there is only one kind.
    """
    hit, missed, false, rejected = confusion.T
    return (_ratio(hit, hit + missed) + _ratio(rejected, false + rejected)) / 2


def weighted_f1(confusion: Floats) -> Floats:
    """Return the mean of the F1 of positives and of negatives, weighted by their counts.

    Published VAP results use this measure.

    Args:
        confusion: true positives, false negatives, false positives, true negatives, (R, 4).
    Returns:
        (R,); NaN where there is only one kind.
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
    """Return quotients; NaN where the divisor is not positive."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
