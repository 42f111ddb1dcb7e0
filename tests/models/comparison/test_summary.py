"""Scores over seeds, and what is concluded from them, from known figures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from turnstream.models.comparison.grid import Grid
from turnstream.models.comparison.runs import Measured
from turnstream.models.comparison.summary import (
    conclusion,
    counting_in_words,
    in_short,
    summarise,
)

from .conftest import COSTS, both, measured


def within_by_hand(one: Measured, scores: np.ndarray) -> float:
    """The AUC over pairs of the same dialogue and speaker, pair by pair."""
    wins: list[float] = []
    events = list(zip(one.dialogue, one.speaker, one.shift, scores, strict=True))
    for dialogue, speaker, shift, score in events:
        for other_dialogue, other_speaker, other_shift, other in events:
            if shift and not other_shift and (dialogue, speaker) == (other_dialogue, other_speaker):
                wins.append(0.5 if score == other else float(score > other))
    return float(np.mean(wins))


def test_knowing_who_speaks_gives_no_auc(grid: Grid) -> None:
    one = measured("base", 0, 1.0, 0.6)
    who = np.array(one.dialogue) + 0.5 * np.array(one.speaker)  # says nothing of the silence
    yielding = dataclasses.replace(one, score=who.tolist(), shift=(who % 3 < 1.5).tolist())
    mixed = dataclasses.replace(yielding, shift=[*yielding.shift[1:], yielding.shift[0]])
    (base,) = summarise(grid, [mixed], COSTS)
    assert base.scores["auc"].value == 0.5
    assert "has an AUC of 0." in counting_in_words(one)


def test_a_row_is_summed_up_over_its_seeds(grid: Grid) -> None:
    runs = both(3.0, 0.5)
    base, other = summarise(grid, runs, COSTS)
    assert other.scores["auc"].value == pytest.approx(
        np.mean([within_by_hand(one, np.array(one.score)) for one in runs[3:]])
    )
    assert other.gains["auc"].value == pytest.approx(
        other.scores["auc"].value - base.scores["auc"].value
    )
    assert other.scores["held_out_next"].value == pytest.approx(
        np.mean([one.held_out["next_holder"] for one in runs[3:]])
    )
    assert other.scores["real_next"].value == pytest.approx(
        np.mean([one.real["next_holder"] for one in runs[3:]])
    )
    assert other.scores["real_projection"].value == pytest.approx(
        np.mean([one.real["projection"] for one in runs[3:]])
    )
    for name in ("real_projection", "real_next", "held_out_next", "held_out_projection"):
        assert other.gains[name].value == pytest.approx(-0.1)
    assert all(
        score.low < score.value < score.high
        for one in (base, other)
        for score in one.scores.values()
    )
    assert (other.microseconds, len(other.runs)) == (101.0, 3)
    assert base.gains == {}


def test_what_dialogues_share_does_not_widen_a_difference(grid: Grid) -> None:
    _, other = summarise(grid, both(1.0, 0.5), COSTS)
    score, gain = other.scores["held_out_next"], other.gains["held_out_next"]
    assert gain.high - gain.low < (score.high - score.low) / 2


def test_a_difference_beyond_dialogues_and_seeds_is_called_one(grid: Grid) -> None:
    _, better = summarise(grid, both(3.0, 0.5), COSTS)
    assert conclusion(better).startswith(
        "Against “base”. Better: shift or hold on the real calls, 250 ms into the silence, +0.2"
    )
    assert "; next holder on the held-out dialogues, -0.100 (-0.1" in conclusion(better)
    _, worse = summarise(grid, both(0.0, 0.7), COSTS)
    assert conclusion(worse).startswith(
        "Against “base”. Worse: shift or hold on the real calls, 250 ms into the silence, -0.2"
    )


def test_one_within_them_is_not(grid: Grid) -> None:
    _, same = summarise(grid, both(1.02, 0.605), COSTS)
    assert conclusion(same).startswith(
        "Against “base”. No difference that can be shown: shift or hold"
    )
    assert conclusion(same).count(":") == 1  # all five


def test_measures_that_disagree_are_told_apart(grid: Grid) -> None:
    _, mixed = summarise(grid, both(3.0, 0.75), COSTS)
    before, after = conclusion(mixed).split(". Worse: ")
    assert "Better: shift or hold" in before
    assert after.startswith(
        "projection of both voices' next two seconds on the real calls, +0.150 ("
    )
    assert "Neither is measurably" not in before + after  # "base" is better than chance


def test_one_seed_is_said_to_be_one(grid: Grid) -> None:
    _, other = summarise(
        grid, [measured("base", 0, 1.0, 0.6), measured("other", 0, 3.0, 0.5)], COSTS
    )
    assert conclusion(other).startswith(
        "Against “base”. One seed, which cannot be told from luck: shift or hold on the real calls"
    )


def test_nothing_is_concluded_from_chance(grid: Grid) -> None:
    _, other = summarise(
        grid,
        [measured(row, seed, 0.0, 0.9) for row in ("base", "other") for seed in range(3)],
        COSTS,
    )
    assert conclusion(other).startswith(
        "Against “base”. Neither is measurably above chance: shift or hold on the real calls"
    )
    assert (
        "; next holder on the held-out dialogues, +0.0"
        in conclusion(other).split(". No difference")[0]
    )


def test_one_call_has_no_interval(grid: Grid) -> None:
    runs = [
        dataclasses.replace(
            one,
            dialogue=[0] * len(one.dialogue),
            real={name: losses[:1] for name, losses in one.real.items()},
        )
        for one in both(3.0, 0.5)
    ]
    _, other = summarise(grid, runs, COSTS)
    assert conclusion(other).startswith(
        "Against “base”. One dialogue, which has no interval: shift or hold on the real calls, "
        "250 ms into the silence, +0.2"
    )
    assert "nan" not in conclusion(other)


def test_seeds_alone_seem_to_differ_as_seldom_as_the_interval_says(grid: Grid) -> None:
    rng = np.random.default_rng(0)
    beyond = 0
    for _ in range(60):
        # The same events, networks of different quality
        runs = [
            measured(row, 0, 2 + rng.normal(0, 0.3), 0.6)
            for row in ("base", "other")
            for _ in range(3)
        ]
        gain = summarise(grid, runs, COSTS)[1].gains["auc"]
        beyond += gain.low > 0 or gain.high < 0
    assert beyond <= 8  # of 60; chance gives about 3


def test_in_short_it_says_what_made_a_difference_what_made_none_and_what_is_cheaper(
    grid: Grid,
) -> None:
    runs = [
        measured(row, seed, skill, 0.5)
        for row, skill in (("base", 1.0), ("other", 3.0), ("third", 3.01))
        for seed in range(3)
    ]
    assert in_short(summarise(grid, runs, COSTS)) == [
        "Better: other.",
        "No difference that can be shown: third.",
    ]
    assert (
        in_short(summarise(grid, runs, COSTS | {"third": 50.5}))[-1]
        == "Of these, cheaper by a tenth or more: third (50% less than other)."
    )
    worse = [
        measured(row, seed, skill, loss)
        for row, skill, loss in (("base", 3.0, 0.5), ("other", 1.0, 0.5), ("third", 3.0, 0.7))
        for seed in range(3)
    ]
    assert in_short(summarise(grid, worse, COSTS)) == [
        "Worse: other.",
        "Better in one thing, worse in another: third.",
    ]


def test_in_short_what_one_seed_shows_is_not_called_no_difference(grid: Grid) -> None:
    runs = [measured("base", 0, 1.0, 0.6), measured("other", 0, 3.0, 0.5)]
    assert in_short(summarise(grid, runs, COSTS)) == [
        "Cannot be told (one seed, one dialogue, or at chance): other."
    ]


def test_in_short_a_measure_at_chance_is_said_to_tell_nothing(grid: Grid) -> None:
    first, second, third, *_ = in_short(
        summarise(
            grid,
            [measured(row, seed, 0.0, 0.9) for row in ("base", "other") for seed in range(3)],
            COSTS,
        )
    )
    assert first.startswith(
        "Shift or hold on the real calls, 250 ms into the silence: no network is measurably above "
        "chance"
    )
    assert second.startswith("Next holder on the real calls: no network")
    assert third.startswith("Next holder on the held-out dialogues: no network")


def test_what_it_is_compared_with_may_be_missing(grid: Grid) -> None:
    (third,) = summarise(grid, [measured("third", 0, 1.0, 0.6)], COSTS)
    assert conclusion(third).endswith("What it is to be compared with was not measured.")
