import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from turnstream.models.evaluation.measures import (
    RESAMPLES,
    SEED,
    auc,
    auc_statistic,
    auc_within_statistic,
    balanced_accuracy,
    estimate,
    score_binary,
    sums_by_dialogue,
    weighted_f1,
)

Cases = tuple[np.ndarray, np.ndarray, np.ndarray]


def cases(seed: int, n: int = 60) -> Cases:
    """Return scores with ties, outcomes, and dialogue numbers that are unsorted and have gaps."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    return (
        np.minimum(rng.integers(0, 10, n) / 10 + 0.2 * positive, 1.0),
        positive,
        rng.choice([2, 3, 7, 11], n),
    )


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_the_share_of_pairs_in_the_right_order(seed: int) -> None:
    scores, positive, _ = cases(seed)
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[positive] for n in scores[~positive]]
    assert auc(scores, positive) == pytest.approx(np.mean(pairs))
    u = mannwhitneyu(scores[positive], scores[~positive]).statistic
    assert auc(scores, positive) == pytest.approx(u / len(pairs))


@pytest.mark.parametrize(
    ("scores", "positive", "expected"),
    [
        ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.75),
        ([0.9, 0.1], [1, 0], 1.0),
        ([0.1, 0.9], [1, 0], 0.0),
        ([0.5, 0.5, 0.5], [1, 0, 0], 0.5),
    ],
)
def test_auc_of_known_cases(scores: list[float], positive: list[int], expected: float) -> None:
    assert auc(np.array(scores), np.array(positive, bool)) == expected


def test_balanced_accuracy_and_f1_of_a_known_confusion() -> None:
    confusion = np.array([[8.0, 2.0, 5.0, 15.0]])  # 8 of 10 positives and 15 of 20 negatives right
    assert balanced_accuracy(confusion) == pytest.approx([(0.8 + 0.75) / 2])
    precision, recall = 8 / 13, 8 / 10
    other_precision, other_recall = 15 / 17, 15 / 20
    f1 = [2 * p * r / (p + r) for p, r in ((precision, recall), (other_precision, other_recall))]
    assert weighted_f1(confusion) == pytest.approx([(10 * f1[0] + 20 * f1[1]) / 30])


def test_perfect_and_constant_calls() -> None:
    confusion = np.array([[3.0, 0.0, 0.0, 4.0], [3.0, 0.0, 4.0, 0.0]])
    assert balanced_accuracy(confusion).tolist() == [1.0, 0.5]
    assert weighted_f1(confusion) == pytest.approx([1.0, 3 / 7 * 2 * 3 / (2 * 3 + 4)])


@pytest.mark.parametrize("positive", [[], [True, True], [False, False]])
def test_without_both_kinds_there_is_no_score(positive: list[bool]) -> None:
    found = score_binary(
        np.full(len(positive), 0.4), np.array(positive, bool), np.arange(len(positive))
    )
    assert (found.positives, found.negatives) == (sum(positive), len(positive) - sum(positive))
    for measured in (found.auc, found.balanced_accuracy, found.weighted_f1):
        assert all(math.isnan(number) for number in (measured.value, measured.low, measured.high))


def test_a_score_of_one_half_calls_it_and_nan_does_not_count() -> None:
    found = score_binary(
        np.array([0.5, 0.49, np.nan, 0.2]),
        np.array([True, False, True, False]),
        np.zeros(4, np.int64),
    )
    assert (found.positives, found.negatives) == (1, 2)
    assert found.balanced_accuracy.value == found.weighted_f1.value == found.auc.value == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_is_that_of_dialogues_really_drawn_again(seed: int) -> None:
    scores, positive, dialogue = cases(seed)
    found = score_binary(scores, positive, dialogue)
    members = [np.flatnonzero(dialogue == number) for number in np.unique(dialogue)]
    drawn: dict[str, list[float]] = {"auc": [], "balanced_accuracy": [], "weighted_f1": []}
    for counts in np.random.default_rng(SEED).multinomial(
        len(members), np.full(len(members), 1 / len(members)), RESAMPLES
    ):
        chosen = np.concatenate(
            [np.tile(member, count) for member, count in zip(members, counts, strict=True)]
        )
        again = score_binary(scores[chosen], positive[chosen], np.zeros(len(chosen), np.int64))
        for name, values in drawn.items():
            values.append(getattr(again, name).value)
    for name, values in drawn.items():
        measured = getattr(found, name)
        assert [measured.low, measured.high] == pytest.approx(np.percentile(values, [2.5, 97.5]))
        assert measured.low <= measured.value <= measured.high


def test_the_interval_draws_whole_dialogues() -> None:
    scores, positive = np.array([0.9, 0.1, 0.1, 0.9]), np.array([True, False, True, False])
    two = score_binary(scores, positive, np.array([4, 4, 9, 9])).auc
    assert (two.low, two.high) == (0.0, 1.0)  # right in one dialogue, wrong in the other
    sure = score_binary(
        np.tile([0.9, 0.1], 20), np.tile([True, False], 20), np.repeat(np.arange(20), 2)
    ).auc
    assert (sure.value, sure.low, sure.high) == (1.0, 1.0, 1.0)
    alone = score_binary(scores, positive, np.zeros(4, np.int64)).auc
    assert alone.value == 0.5
    assert math.isnan(alone.low)  # one dialogue gives no interval


def test_draws_without_a_value_are_left_out_of_the_interval() -> None:
    def only_with_the_first(counts: np.ndarray) -> np.ndarray:
        return np.where(counts[:, 0] > 0, 3.0, np.nan)

    found = estimate(only_with_the_first, 2)
    assert (found.value, found.low, found.high) == (3.0, 3.0, 3.0)
    assert math.isnan(estimate(lambda counts: np.full(len(counts), np.nan), 2).low)


def test_an_interval_is_the_same_every_time() -> None:
    assert score_binary(*cases(0)) == score_binary(*cases(0))


def test_sums_of_dialogues_in_any_order_and_without_rows() -> None:
    values, numbers = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([2, 0, 2])
    assert sums_by_dialogue(values, numbers, 4).tolist() == [
        [3.0, 4.0],
        [0.0, 0.0],
        [6.0, 8.0],
        [0.0, 0.0],
    ]


def test_a_dialogue_that_counts_twice_is_as_if_it_were_there_twice() -> None:
    scores, positive, dialogue = cases(1)
    numbers = np.unique(dialogue, return_inverse=True)[1]
    twice = np.concatenate([np.arange(60), np.flatnonzero(numbers == 1)])
    statistic = auc_statistic(scores, positive, numbers, 4)
    assert statistic(np.array([[1.0, 2.0, 1.0, 1.0]]))[0] == pytest.approx(
        auc(scores[twice], positive[twice])
    )


@pytest.mark.parametrize("seed", range(3))
def test_within_a_speaker_only_pairs_of_the_same_dialogue_and_speaker_count(seed: int) -> None:
    scores, positive, dialogue = cases(seed)
    speaker = np.random.default_rng(seed).integers(0, 2, len(scores))
    pairs = [
        (scores[p] > scores[n]) + 0.5 * (scores[p] == scores[n])
        for p in np.flatnonzero(positive)
        for n in np.flatnonzero(~positive)
        if (dialogue[p], speaker[p]) == (dialogue[n], speaker[n])
    ]
    found = score_binary(scores, positive, dialogue, speaker)
    assert found.auc_within is not None
    assert found.auc_within.value == pytest.approx(np.mean(pairs))
    assert found.auc_within.value != found.auc.value
    assert found.auc_within.low <= found.auc_within.value <= found.auc_within.high
    assert score_binary(scores, positive, dialogue).auc_within is None


def test_knowing_who_yields_more_often_helps_only_pooled() -> None:
    positive = np.array([True, True, True, False, True, False, False, False])
    who = np.repeat([0, 1], 4)
    scores = np.where(who == 0, 0.9, 0.1)  # speaker 0 yields three times of four, speaker 1 once
    found = score_binary(
        np.tile(scores, 2), np.tile(positive, 2), np.repeat([0, 1], 8), np.tile(who, 2)
    )
    assert found.auc_within is not None
    assert (found.auc.value, found.auc_within.value) == (0.75, 0.5)
    mirrored = score_binary(
        np.tile(1 - scores, 2), np.tile(positive, 2), np.repeat([0, 1], 8), np.tile(who, 2)
    )
    assert mirrored.auc.value == 0.25


def test_a_speaker_with_one_kind_only_gives_no_pair() -> None:
    scores, positive = np.array([0.9, 0.1, 0.2, 0.3]), np.array([True, False, True, True])
    found = score_binary(scores, positive, np.zeros(4, np.int64), np.array([0, 0, 1, 1]))
    alone = score_binary(scores[1:], positive[1:], np.zeros(3, np.int64), np.array([0, 1, 1]))
    assert found.auc_within is not None
    assert alone.auc_within is not None
    assert found.auc_within.value == 1.0
    assert alone.auc.value == 1.0
    assert math.isnan(alone.auc_within.value)


def test_the_interval_within_a_speaker_is_that_of_dialogues_really_drawn_again() -> None:
    scores, positive, dialogue = cases(0)
    speaker = np.random.default_rng(9).integers(0, 2, len(scores))
    members = [np.flatnonzero(dialogue == number) for number in np.unique(dialogue)]
    drawn: list[float] = []
    for counts in np.random.default_rng(SEED).multinomial(
        len(members), np.full(len(members), 1 / len(members)), RESAMPLES
    ):
        copies = [
            member for member, count in zip(members, counts, strict=True) for _ in range(count)
        ]
        chosen, copy = (
            np.concatenate(copies),
            np.repeat(np.arange(len(copies)), [len(member) for member in copies]),
        )
        again = score_binary_value(scores[chosen], positive[chosen], copy, speaker[chosen])
        drawn.append(again)
    found = score_binary(scores, positive, dialogue, speaker).auc_within
    assert found is not None
    assert [found.low, found.high] == pytest.approx(np.percentile(drawn, [2.5, 97.5]))


def score_binary_value(
    scores: np.ndarray, positive: np.ndarray, dialogue: np.ndarray, speaker: np.ndarray
) -> float:
    """Return the AUC within dialogue and speaker, without an interval."""
    statistic = auc_within_statistic(scores, positive, speaker, dialogue, int(dialogue.max()) + 1)
    return float(statistic(np.ones((1, int(dialogue.max()) + 1)))[0])
