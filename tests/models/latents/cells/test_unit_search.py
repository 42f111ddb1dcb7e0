"""The search for units: against scikit-learn and SciPy; planted units are found, noise is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from turnstream.models.latents.cells.targets import TARGETS, Target, since
from turnstream.models.latents.cells.unit_search import (
    Found,
    UnitSearch,
    both_halves,
    find_units,
    held_out,
    score_units,
)
from turnstream.stream.errors import ConfigError

from ..planted import noise, planted_collection

YES_NO, AMOUNT = Target("asked", False, ""), Target("measured", True, "")


def planted(
    layer: str, activity: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Unit 3 of the last layer falls while its speaker speaks, unit 5 grows a little after.

    Unit 2 of the first layer never moves.
    """
    latents = noise(layer, activity, rng)
    if layer == "latent":
        latents[:, :, 3] = np.where(activity.T, -0.6, 0.6) + rng.normal(
            0, 0.1, (activity.shape[1], 2)
        )
        latents[:, :, 5] = 0.5 + 0.0002 * np.nan_to_num(since(activity.T))
    else:
        latents[:, :, 2] = 0.25
    return latents


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> UnitSearch:
    return find_units(planted_collection(tmp_path_factory.mktemp("planted"), planted), 8, limit=300)


@pytest.fixture(scope="module")
def chance(tmp_path_factory: pytest.TempPathFactory) -> UnitSearch:
    return find_units(planted_collection(tmp_path_factory.mktemp("noise"), seed=5), 8, limit=300)


def of(search: UnitSearch, target: str, layer: str = "latent") -> Found:
    return next(
        found for found in search.found if (found.target.name, found.layer) == (target, layer)
    )


def test_auc_is_scikit_learns_and_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(0)
    answers = (rng.random(500) < 0.3).astype(np.float32)
    values = np.round(
        rng.normal(size=(500, 7)) + answers[:, None] * np.linspace(-2, 2, 7), 1
    ).astype(np.float32)  # with ties
    np.testing.assert_allclose(
        score_units(values, answers, YES_NO),
        [roc_auc_score(answers, unit) for unit in values.T],
        atol=1e-6,
    )
    amounts = np.round(rng.exponential(size=500), 1).astype(np.float32)
    values[:, 0] = -amounts
    expected = [spearmanr(unit, amounts).statistic for unit in values.T]
    np.testing.assert_allclose(score_units(values, amounts, AMOUNT), expected, atol=1e-6)
    assert score_units(values, amounts, AMOUNT)[0] == pytest.approx(-1)


def test_a_unit_that_never_moves_scores_as_chance_and_one_answer_gives_no_score() -> None:
    values, answers = np.full((10, 1), 0.5, np.float32), np.arange(10, dtype=np.float32)
    assert score_units(values, answers, AMOUNT)[0] == 0
    assert score_units(values, (answers > 5).astype(np.float32), YES_NO)[0] == 0.5
    assert np.isnan(score_units(values, np.ones(10, np.float32), YES_NO)).all()
    assert np.isnan(score_units(values, np.ones(10, np.float32), AMOUNT)).all()


def test_planted_units_are_found_with_their_direction(search: UnitSearch) -> None:
    speech, time = of(search, "own speech"), of(search, "time since own speech")
    assert speech.chosen == (3, 3)
    assert (speech.scores[:, 3] < 0.01).all()
    assert speech.held_out > max(0.98, speech.level)
    assert speech.leading(1) == [3]
    assert time.chosen == (5, 5)
    np.testing.assert_allclose(time.scores[:, 5], 1, atol=1e-3)
    assert time.moves[5] < 0.2  # though ranks do not see it
    assert time.above >= 1


def test_a_planted_units_score_is_that_of_all_frames(tmp_path: Path) -> None:
    collection = planted_collection(tmp_path, planted, dialogues=2)
    found = of(find_units(collection, 0, limit=100_000), "own speech")
    for half in (0, 1):  # one dialogue each
        frames = collection.frames(half, ["speaking", "latent"])
        expected = [
            roc_auc_score(frames["speaking"].reshape(-1), unit)
            for unit in frames["latent"].reshape(-1, 8).T
        ]
        np.testing.assert_allclose(found.scores[half], expected, atol=1e-5)


def test_noise_scores_at_the_level_of_chance(chance: UnitSearch) -> None:
    known = [found for found in chance.found if found.known]
    assert len(known) >= 16
    assert sum(found.held_out > found.level for found in known) <= 2
    assert sum(found.above for found in known) <= 2
    assert abs(np.mean([found.held_out for found in known])) < 0.1
    chosen = np.mean([np.abs(found.strengths).max(axis=1).mean() for found in known])
    assert np.mean([np.median(found.control_best) for found in known]) == pytest.approx(
        chosen, rel=0.35
    )
    assert chosen > 2 * abs(
        np.mean([found.held_out for found in known])
    )  # choosing flatters, scoring elsewhere does not


def test_the_control_of_planted_units_is_no_better_than_that_of_noise(
    search: UnitSearch, chance: UnitSearch
) -> None:
    assert of(search, "own speech").level < 0.5
    assert abs(np.mean(of(chance, "own speech").control_held_out)) < 0.2


def test_what_is_too_rare_has_no_score(search: UnitSearch) -> None:
    for target in ("own backchannel", "overlap"):
        found = of(search, target)
        assert found.known == bool(found.stretches.min() >= 3)
    assert not of(search, "overlap").known
    assert np.isnan(of(search, "overlap").scores).all()
    assert [found.target.name for found in search.best()] == [
        target.name for target in TARGETS if of(search, target.name).known
    ]


def test_a_single_dialogue_is_halved_by_time(tmp_path: Path) -> None:
    found = find_units(
        planted_collection(tmp_path, planted, dialogues=1, frames=6000), 2, limit=200
    )
    assert found.halves == "the odd and the even tenths of the one dialogue, 12.0 s each"
    assert of(found, "own speech").chosen == (3, 3)


def test_the_same_seed_gives_the_same_scores(tmp_path: Path) -> None:
    collection = planted_collection(tmp_path, planted, frames=1500)
    first, again, other = (find_units(collection, 1, limit=50, seed=seed) for seed in (1, 1, 2))
    for left, right in zip(first.found, again.found, strict=True):
        np.testing.assert_array_equal(left.scores, right.scores)
    assert not np.array_equal(of(first, "own speech").scores, of(other, "own speech").scores)


def test_held_out_takes_the_other_half_and_its_direction() -> None:
    strengths = np.array([[0.9, -0.2, 0.1], [-0.3, 0.1, 0.8]], np.float32)
    assert held_out(strengths) == pytest.approx((-0.3 + 0.1) / 2)
    np.testing.assert_allclose(both_halves(strengths), [0, 0, 0.1])


def test_too_few_frames_or_searches_are_refused(tmp_path: Path) -> None:
    collection = planted_collection(tmp_path, frames=300)
    with pytest.raises(ConfigError, match="got -1 and 2000"):
        find_units(collection, -1)
    with pytest.raises(ConfigError, match="got 1 and 3"):
        find_units(collection, 1, limit=3)
