"""Pictures of several stages: against their libraries, and held still where nothing changes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from turnstream.models.latents.space.trust import nearest
from turnstream.models.latents.training.aligned import (
    METHODS,
    fit_apart,
    fit_together,
    measure_drift,
    radius,
    turned_onto,
    turned_stages,
)
from turnstream.stream.errors import ConfigError

POINTS, CLUSTERS = 120, 4
Stages = list[np.ndarray]


@pytest.fixture(scope="module")
def clusters() -> np.ndarray:
    return np.random.default_rng(1).integers(0, CLUSTERS, POINTS)


@pytest.fixture(scope="module")
def stages(clusters: np.ndarray) -> Stages:
    """Clusters that part from stage to stage; the first is turned, as in another network."""
    rng = np.random.default_rng(0)
    ends = rng.normal(0, 6, (CLUSTERS, 8))[clusters] + rng.normal(0, 1, (POINTS, 8))
    parting = [share * ends + rng.normal(0, 0.3, ends.shape) for share in (0.3, 0.6, 1.0)]
    parting[0] = parting[0] @ ortho_group.rvs(8, random_state=0) + 5
    return [stage.astype(np.float32) for stage in parting]


def test_a_turned_mirrored_copy_is_turned_back_at_the_same_distances(stages: Stages) -> None:
    turns = [ortho_group.rvs(8, random_state=seed) for seed in (3, 4)]
    assert min(map(np.linalg.det, turns)) < 0  # a mirrored one is among them
    for turn in turns:
        np.testing.assert_allclose(
            turned_onto(stages[2] @ turn + 7, stages[2]), stages[2], atol=1e-4
        )
    narrow = stages[1][:, :5]  # is filled up with zeros
    turned = turned_onto(narrow, stages[2])
    assert turned.shape == (POINTS, 8)
    found, expected = (np.linalg.norm(x[0] - x[1:], axis=1) for x in (turned, narrow))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_principal_components_of_all_stages_or_of_one_are_scikit_learns(stages: Stages) -> None:
    turned = turned_stages(stages)
    expected = PCA(2).fit(np.concatenate(turned))
    together = np.stack([expected.transform(stage) for stage in turned])
    np.testing.assert_allclose(fit_together(stages, "pca"), together, atol=1e-6)
    alone = PCA(2, random_state=0).fit_transform(stages[1].astype(float))
    np.testing.assert_allclose(fit_apart(stages[1:], "pca")[0], alone, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_change_holds_still_beside_what_was_fitted_apart(
    method: str, stages: Stages, clusters: np.ndarray
) -> None:
    places, apart = fit_together(stages, method), fit_apart(stages, method)
    assert places.shape == apart.shape == (3, POINTS, 2)
    same = [stages[-1], stages[-1]]
    drift = measure_drift(stages, places, fit_together(same, method))
    drift_apart = measure_drift(stages, apart, fit_apart(same, method))
    assert drift.same < 0.06
    if method != "pca":  # which has no whims
        assert drift.same < 0.5 * drift_apart.same
        assert drift.all < 0.7 * drift_apart.all
    assert drift.overlap > 0.3
    last = places[-1]
    middles = np.stack([last[clusters == cluster].mean(axis=0) for cluster in range(CLUSTERS)])
    found = np.linalg.norm(last[:, None] - middles, axis=2).argmin(axis=1)
    assert (found == clusters).mean() > 0.95


def test_drift_is_in_radii_and_still_points_keep_their_neighbours(stages: Stages) -> None:
    first = np.random.default_rng(0).normal(0, 1, (POINTS, 2))
    places = np.stack([first, first + np.array([0.3, 0.4]), first])
    same = np.stack([first, first + np.array([0, 0.1])])
    found = measure_drift(stages, places, same)
    assert found.all == found.still == pytest.approx(0.5 / radius(places))
    assert found.same == pytest.approx(0.1 / radius(same))
    shared = [
        (nearest(stage, 15)[:, :, None] == nearest(place, 15)[:, None]).any(axis=2).mean()
        for stage, place in zip(stages, places, strict=True)
    ]
    assert found.overlap == pytest.approx(np.mean(shared))
    one, two = stages[1].copy(), stages[1].copy()
    two[40:] = np.random.default_rng(5).permutation(two[40:])
    one[:40] += 100  # which keep most of their neighbourhood among themselves
    two[:40] += 100
    places = np.random.default_rng(6).normal(0, 1, (POINTS, 2))[None].repeat(2, axis=0)
    places[1, 40:] += 3
    assert measure_drift([one, two], places, places).still == 0


def test_few_points_and_another_method_are_refused(stages: Stages) -> None:
    with pytest.raises(ConfigError, match="at least 30 points, got 20"):
        fit_together([stage[:20] for stage in stages], "pca")
    for fit in (fit_together, fit_apart):
        with pytest.raises(ConfigError, match="a method, one of pca, tsne, umap, got 'som'"):
            fit(stages, "som")
