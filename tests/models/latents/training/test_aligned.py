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
    parting = [
        (share * ends + rng.normal(0, 0.3, ends.shape)).astype(np.float32)
        for share in (0.3, 0.6, 1.0)
    ]
    return [(parting[0] @ ortho_group.rvs(8, random_state=0) + 5).astype(np.float32), *parting[1:]]


def test_a_turned_mirrored_and_moved_copy_is_turned_back(stages: Stages) -> None:
    turn = ortho_group.rvs(8, random_state=3)
    assert (
        np.linalg.det(turn) < 0 or np.linalg.det(ortho_group.rvs(8, random_state=4)) < 0
    )  # mirrored ones are among those tried
    for seed in (3, 4):
        copy = stages[2] @ ortho_group.rvs(8, random_state=seed) + 7
        np.testing.assert_allclose(turned_onto(copy, stages[2]), stages[2], atol=1e-4)


def test_turning_changes_no_distance_and_a_narrower_layer_is_filled_up(stages: Stages) -> None:
    narrow = stages[1][:, :5]
    turned = turned_onto(narrow, stages[2])
    assert turned.shape == (POINTS, 8)
    np.testing.assert_allclose(
        np.linalg.norm(turned[0] - turned[1:], axis=1),
        np.linalg.norm(narrow[0] - narrow[1:], axis=1),
        rtol=1e-5,
    )


def test_principal_components_of_all_stages_are_scikit_learns(stages: Stages) -> None:
    turned = turned_stages(stages)
    expected = PCA(2).fit(np.concatenate(turned))
    np.testing.assert_allclose(
        fit_together(stages, "pca"),
        np.stack([expected.transform(stage) for stage in turned]),
        atol=1e-6,
    )


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_change_holds_still_beside_what_was_fitted_apart(
    method: str, stages: Stages, clusters: np.ndarray
) -> None:
    places = fit_together(stages, method)
    apart = fit_apart(stages, method)
    assert places.shape == apart.shape == (3, POINTS, 2)
    same = [stages[-1], stages[-1]]
    together_drift = measure_drift(stages, places, fit_together(same, method))
    apart_drift = measure_drift(stages, apart, fit_apart(same, method))
    assert together_drift.same < 0.06
    if method != "pca":  # which has no whims
        assert together_drift.same < 0.5 * apart_drift.same
        assert together_drift.all < 0.7 * apart_drift.all
    assert together_drift.overlap > 0.3
    last = places[-1]
    middles = np.stack([last[clusters == cluster].mean(axis=0) for cluster in range(CLUSTERS)])
    nearest = np.linalg.norm(last[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == clusters).mean() > 0.95


def test_a_stage_alone_is_fitted_as_the_libraries_fit_it(stages: Stages) -> None:
    apart = fit_apart(stages[1:], "pca")
    np.testing.assert_allclose(
        apart[0], PCA(2, random_state=0).fit_transform(stages[1].astype(float)), atol=1e-6
    )


def test_drift_is_measured_in_the_pictures_radius(stages: Stages) -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(0, 1, (POINTS, 2))
    places = np.stack([first, first + np.array([0.3, 0.4]), first])
    found = measure_drift(stages, places, np.stack([first, first + np.array([0.0, 0.1])]))
    assert found.all == pytest.approx(0.5 / radius(places))
    assert found.still == pytest.approx(0.5 / radius(places))
    assert found.same == pytest.approx(
        0.1 / radius(np.stack([first, first + np.array([0.0, 0.1])]))
    )
    expected = np.mean(
        [
            (nearest(stage, 15)[:, :, None] == nearest(place, 15)[:, None]).any(axis=2).mean()
            for stage, place in zip(stages, places, strict=True)
        ]
    )
    assert found.overlap == pytest.approx(expected)


def test_still_points_are_those_that_keep_their_neighbours(stages: Stages) -> None:
    one, two = stages[1].copy(), stages[1].copy()
    two[40:] = np.random.default_rng(5).permutation(
        two[40:]
    )  # the first 40 keep most of their neighbourhood among themselves
    one[:40] += 100
    two[:40] += 100
    places = np.zeros((2, POINTS, 2))
    places[0] = np.random.default_rng(6).normal(0, 1, (POINTS, 2))
    places[1] = places[0]
    places[1, 40:] += 3
    assert measure_drift([one, two], places, places).still == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[:1], "at least 2 stages, got 1"),
        (lambda s: [s[0], s[1][:-1]], "of the same N points"),
        (lambda s: [stage[:20] for stage in s], "at least 30 points, got 20"),
        (lambda s: [s[0], s[1] * np.nan], "got NaN or infinity"),
        (lambda s: [s[0], s[1][:, 0]], "expected states"),
    ],
)
def test_stages_that_cannot_be_shown_together_are_refused(
    stages: Stages, change: object, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_together(change(stages), "pca")  # pyright: ignore[reportCallIssue]


def test_another_method_is_refused(stages: Stages) -> None:
    for fit in (fit_together, fit_apart):
        with pytest.raises(
            ConfigError, match="expected a method, one of pca, tsne, umap, got 'som'"
        ):
            fit(stages, "som")
