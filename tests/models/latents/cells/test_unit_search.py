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
        around = rng.normal(0, 0.1, (activity.shape[1], 2))
        latents[:, :, 3] = np.where(activity.T, -0.6, 0.6) + around
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


def test_auc_is_scikit_learns_and_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(0)
    answers = (rng.random(500) < 0.3).astype(np.float32)
    moved = rng.normal(size=(500, 7)) + answers[:, None] * np.linspace(-2, 2, 7)
    values = np.round(moved, 1).astype(np.float32)  # with ties
    expected = [roc_auc_score(answers, unit) for unit in values.T]
    np.testing.assert_allclose(score_units(values, answers, YES_NO), expected, atol=1e-6)
    amounts = np.round(rng.exponential(size=500), 1).astype(np.float32)
    values[:, 0] = -amounts
    expected = [spearmanr(unit, amounts).statistic for unit in values.T]
    np.testing.assert_allclose(score_units(values, amounts, AMOUNT), expected, atol=1e-6)
    assert score_units(values, amounts, AMOUNT)[0] == pytest.approx(-1)


def test_a_unit_that_never_moves_scores_as_chance_and_one_answer_gives_no_score() -> None:
    values, answers = np.full((10, 1), 0.5, np.float32), np.arange(10, dtype=np.float32)
    assert score_units(values, answers, AMOUNT)[0] == 0
    assert score_units(values, (answers > 5).astype(np.float32), YES_NO)[0] == 0.5
    for target in (YES_NO, AMOUNT):
        assert np.isnan(score_units(values, np.ones(10, np.float32), target)).all()


def test_planted_units_are_found_with_their_direction(search: UnitSearch) -> None:
    speech, time = (search.of(name, "latent") for name in ("own speech", "time since own speech"))
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
    found = find_units(collection, 0, limit=100_000).of("own speech", "latent")
    for half in (0, 1):  # one dialogue each
        frames = collection.frames(half, ["speaking", "latent"])
        spoken, units = frames["speaking"].reshape(-1), frames["latent"].reshape(-1, 8)
        expected = [roc_auc_score(spoken, unit) for unit in units.T]
        np.testing.assert_allclose(found.scores[half], expected, atol=1e-5)


def test_noise_scores_at_the_level_of_chance(search: UnitSearch, chance: UnitSearch) -> None:
    known = [found for found in chance.found if found.known]
    assert len(known) >= 16
    assert sum(found.held_out > found.level for found in known) <= 2
    assert sum(found.above for found in known) <= 2
    elsewhere = abs(np.mean([found.held_out for found in known]))
    assert elsewhere < 0.1
    # Choosing flatters, as much as by chance; scoring elsewhere does not.
    chosen = np.mean([np.abs(found.strengths).max(axis=1).mean() for found in known])
    best = [np.median(np.abs(found.by_chance).max(axis=2).mean(axis=1)) for found in known]
    assert np.mean(best) == pytest.approx(chosen, rel=0.35)
    assert chosen > 2 * elsewhere
    # The control of planted units is no better than that of noise.
    assert search.of("own speech", "latent").level < 0.5
    assert abs(held_out(chance.of("own speech", "latent").by_chance).mean()) < 0.2


def test_what_is_too_rare_has_no_score(search: UnitSearch) -> None:
    for target in ("own backchannel", "overlap"):
        found = search.of(target, "latent")
        assert found.known == bool(found.stretches.min() >= 3)
    assert np.isnan(search.of("overlap", "latent").scores).all()
    known = [target.name for target in TARGETS if search.of(target.name, "latent").known]
    assert [found.target.name for found in search.best()] == known


def test_a_single_dialogue_is_halved_by_time(tmp_path: Path) -> None:
    one = planted_collection(tmp_path, planted, dialogues=1, frames=6000)
    found = find_units(one, 2, limit=200)
    assert found.halves == "the odd and the even tenths of the one dialogue, 12.0 s each"
    assert found.of("own speech", "latent").chosen == (3, 3)


def test_the_same_seed_gives_the_same_scores(tmp_path: Path) -> None:
    collection = planted_collection(tmp_path, planted, frames=1500)
    searches = [find_units(collection, 1, limit=50, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (
        np.stack([f.scores for f in s.found if f.layer == "latent"]) for s in searches
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], other[0])


def test_held_out_takes_the_other_half_and_its_direction() -> None:
    strengths = np.array([[0.9, -0.2, 0.1], [-0.3, 0.1, 0.8]], np.float32)
    assert held_out(strengths) == pytest.approx((-0.3 + 0.1) / 2)
    np.testing.assert_allclose(both_halves(strengths), [0, 0, 0.1])


@pytest.mark.parametrize(("shifts", "limit"), [(-1, 2000), (1, 3)])
def test_too_few_frames_or_searches_are_refused(tmp_path: Path, shifts: int, limit: int) -> None:
    collection = planted_collection(tmp_path, frames=300)
    with pytest.raises(ConfigError, match=f"got {shifts} and {limit}"):
        find_units(collection, shifts, limit=limit)
