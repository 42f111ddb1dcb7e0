from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.teachers import stop_point_space
from turnstream.models.teachers.stop_point_space import StopPointSpace

DIMENSIONS = 12


@pytest.fixture
def planted() -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Return embeddings of two kinds.

    They differ along one direction that no single dimension shows well.
    """
    rng = np.random.default_rng(0)
    kind = rng.random(600) < 0.4
    direction = rng.standard_normal(DIMENSIONS)
    embeddings = 0.5 * rng.standard_normal((600, DIMENSIONS)) + 1.5 * kind[:, None] * direction + 3
    return embeddings.astype(np.float16), kind


def share_in_order(values: NDArray[np.float32], kind: NDArray[np.bool_]) -> float:
    """Return the share of pairs in which the embedding of the kind is higher, or lower.

    The larger share counts.
    """
    share = float((values[kind][:, None] > values[~kind]).mean())
    return max(share, 1 - share)


def test_what_sets_planted_embeddings_apart_is_the_first_component(
    planted: tuple[NDArray[np.float16], NDArray[np.bool_]],
) -> None:
    embeddings, kind = planted
    coordinates = StopPointSpace.fit(embeddings, 5).coordinates(embeddings)
    assert coordinates.shape == (600, 5)
    assert share_in_order(coordinates[:, 0], kind) > 0.99
    assert share_in_order(coordinates[:, 4], kind) < 0.65


def test_components_are_uncorrelated_and_their_deviations_known(
    planted: tuple[NDArray[np.float16], NDArray[np.bool_]],
) -> None:
    space = StopPointSpace.fit(planted[0], 5)
    coordinates = space.coordinates(planted[0])
    assert coordinates.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-4)
    assert coordinates.std(axis=0) == pytest.approx(space.deviation, rel=1e-3)
    assert (np.diff(space.deviation) <= 0).all()
    assert np.abs(np.corrcoef(coordinates, rowvar=False) - np.eye(5)).max() < 1e-3


def test_only_the_first_places_are_fitted_on(
    planted: tuple[NDArray[np.float16], NDArray[np.bool_]], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = planted[0].copy()
    changed[100:] += 5
    everything = StopPointSpace.fit(planted[0], 2), StopPointSpace.fit(changed, 2)
    assert not np.array_equal(everything[0].mean, everything[1].mean)
    monkeypatch.setattr(stop_point_space, "FIT_STOP_POINTS", 100)
    few = StopPointSpace.fit(planted[0], 2), StopPointSpace.fit(changed, 2)
    assert all(np.array_equal(value, getattr(few[1], name)) for name, value in vars(few[0]).items())


def test_a_dimension_that_never_changes_does_no_harm(
    planted: tuple[NDArray[np.float16], NDArray[np.bool_]],
) -> None:
    constant = planted[0].copy()
    constant[:, 3] = 1
    coordinates = StopPointSpace.fit(constant, 4).coordinates(constant)
    assert np.isfinite(coordinates).all()
    assert share_in_order(coordinates[:, 0], planted[1]) > 0.99


def test_a_space_comes_back_from_disk(
    planted: tuple[NDArray[np.float16], NDArray[np.bool_]], tmp_path: Path
) -> None:
    space = StopPointSpace.fit(planted[0], 3)
    space.save(tmp_path / "space.npz")
    assert np.array_equal(
        StopPointSpace.load(tmp_path / "space.npz").coordinates(planted[0]),
        space.coordinates(planted[0]),
    )
