"""The plane and components: of made states, against scikit-learn; the bundled plane and model."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from turnstream.models.latents.moments import SITUATIONS
from turnstream.models.latents.space.plane import fit_pca, fit_plane
from turnstream.stream.engine import Engine
from turnstream.stream.saved_embedding import apply_layers, load_embedding


def made_states(count: int = 4000) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Axis 3 tells speaking, axis 1 done from pausing; axis 5 varies much. The middle is at 2."""
    rng = np.random.default_rng(0)
    situations = rng.choice(["speaking", "listening", "pausing", "done", "about to speak"], count)
    states = rng.normal(0, 0.1, (count, 8))
    states[:, 3] += np.select([situations == "speaking", situations == "listening"], [-9, 9], 0)
    states[:, 5] += rng.normal(0, 3, count)
    states[:, 1] += np.select([situations == "done", situations == "about to speak"], [2, -2], 0)
    return (states + 2).astype(np.float32), situations


def test_the_first_direction_varies_most_and_the_second_tells_done_from_pausing() -> None:
    states, situations = made_states()
    plane = fit_plane(states, situations)
    assert plane.settings["principal"] == [1, 3]
    rows = plane.layers[0].weight
    np.testing.assert_allclose(np.abs(rows), np.eye(8)[[3, 1]], atol=0.02)
    np.testing.assert_allclose(rows @ rows.T, np.eye(2), atol=1e-5)
    shares = states.var(axis=0)
    explained = shares[[3, 1]] / shares.sum()
    np.testing.assert_allclose(plane.settings["explained"], explained, atol=0.01)
    assert "principal component 3" in plane.about
    assert "tells done from pausing" in plane.about
    np.testing.assert_allclose(apply_layers(plane.layers, states.mean(axis=0)), 0, atol=1e-4)
    assert apply_layers(plane.layers, states.reshape(-1, 2, 8)).shape == (2000, 2, 2)
    again = fit_plane(states[::-1], situations[::-1]).layers[0].weight  # in another order
    np.testing.assert_allclose(np.abs(again), np.abs(rows), atol=1e-5)


def test_without_silences_the_second_direction_is_the_second_component() -> None:
    states, _ = made_states()
    found = fit_plane(states, np.full(len(states), "speaking"))
    assert found.settings["principal"] == [1, 2]
    assert "done" not in found.about


@pytest.mark.parametrize("dims", [2, 3])
def test_principal_components_are_scikit_learns_up_to_their_signs(dims: int) -> None:
    rng = np.random.default_rng(3)
    states = (rng.normal(size=(500, 12)) @ rng.normal(size=(12, 12)) + 5).astype(np.float32)
    ours, theirs = fit_pca(states, dims), PCA(dims, svd_solver="full").fit(states)
    found, expected = apply_layers(ours.layers, states), theirs.transform(states)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-3)
    explained = theirs.explained_variance_ratio_
    np.testing.assert_allclose(ours.settings["explained"], explained, atol=1e-5)


def test_the_bundled_plane_is_the_bundled_models_and_has_every_landmark() -> None:
    plane, metadata = load_embedding(), Engine().metadata
    assert (plane.method, plane.layer, plane.dims) == ("plane", "latent", 2)
    assert plane.weights_sha256 == metadata.weights_sha256
    assert plane.width == metadata.latent_size
    assert set(plane.landmarks) == set(SITUATIONS[1:])
    rows = plane.layers[0].weight
    np.testing.assert_allclose(rows @ rows.T, np.eye(2), atol=1e-4)
    assert plane.landmarks["speaking"][0] > plane.landmarks["listening"][0]
    assert plane.landmarks["about to speak"][1] > plane.landmarks["done"][1]
