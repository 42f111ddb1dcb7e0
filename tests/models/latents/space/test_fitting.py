"""Fitting and placing: against openTSNE, umap-learn and scikit-learn, and on a collection."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openTSNE import TSNE
from sklearn import manifold

from turnstream.models.latents.collection import Collection
from turnstream.models.latents.space import fitting
from turnstream.models.latents.space.embed import mapper
from turnstream.models.latents.space.fitting import (
    Sample,
    fit_projection,
    fit_sample,
    place,
    placer,
    projection_for,
)
from turnstream.stream.errors import ConfigError
from turnstream.stream.saved_embedding import SavedEmbedding, load_embedding

CLUSTERS = ("speaking", "listening", "pausing")


def planted(count: int = 180, seed: int = 0) -> Sample:
    """Three well-kept clusters in twelve dimensions, one for each situation."""
    rng = np.random.default_rng(seed)
    situations = np.array(CLUSTERS)[np.arange(count) % 3]
    centres = 6 * np.eye(12)[[0, 4, 8]]
    states = centres[np.arange(count) % 3] + rng.normal(0, 0.6, (count, 12))
    return Sample(states.astype(np.float32), situations, np.arange(count) % 4)


@pytest.fixture(scope="module")
def tsne() -> SavedEmbedding:
    return fit_sample(planted(), "tsne", refits=1)


@pytest.fixture(scope="module")
def umap() -> SavedEmbedding:
    return fit_sample(planted(), "umap", refits=0)


def nearest_situation(projection: SavedEmbedding, places: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(places[:, None] - projection.places[None], axis=2)
    return projection.situations[distances.argmin(axis=1)]


# ---- t-SNE and UMAP ----


def test_tsne_is_open_tsnes_and_keeps_neighbours_as_scikit_learns_does(
    tsne: SavedEmbedding,
) -> None:
    states = planted().states
    settings = {
        "initialization": "pca",
        "neighbors": "exact",
        "negative_gradient_method": "bh",
        "random_state": 0,
    }
    theirs = np.asarray(TSNE(2, perplexity=30, **settings).fit(states))
    offsets = np.abs(tsne.places - tsne.places.mean(axis=0)) - np.abs(theirs - theirs.mean(axis=0))
    np.testing.assert_allclose(offsets, 0, atol=1e-3)
    scikit = manifold.TSNE(perplexity=30, random_state=0).fit_transform(states)
    assert manifold.trustworthiness(states, tsne.places, n_neighbors=15) == pytest.approx(
        manifold.trustworthiness(states, scikit, n_neighbors=15), abs=0.02
    )


def test_fits_that_were_cut_short_are_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def embed(
        stages: Sequence[fitting.Float32], dims: int, breadth: float, seed: int, random_start: bool
    ) -> Sequence[fitting.Float32]:
        begun.append(seed)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return [states[:, seed : seed + dims] for states in stages]

    monkeypatch.setattr(fitting, "fit_tsne", embed)
    with pytest.raises(KeyboardInterrupt):
        fit_sample(planted(), "tsne", refits=3, parts=tmp_path / "parts")
    found = fit_sample(planted(), "tsne", refits=3, parts=tmp_path / "parts")
    assert begun == [0, 1, 2, 2, 3]
    np.testing.assert_array_equal(
        found.stability, fit_sample(planted(), "tsne", refits=3).stability
    )
    assert not (tmp_path / "parts").exists()


def test_refits_of_a_formula_are_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    fit_pca = fitting.fit_pca

    def fit(states: fitting.Float32, dims: int) -> Any:
        begun.append(len(states))
        if len(begun) == 3:
            raise KeyboardInterrupt
        return fit_pca(states, dims)

    monkeypatch.setattr(fitting, "fit_pca", fit)
    with pytest.raises(KeyboardInterrupt):
        fit_sample(planted(), "pca", refits=3, parts=tmp_path / "parts")
    found = fit_sample(planted(), "pca", refits=3, parts=tmp_path / "parts")
    assert (
        len(begun) == 6
    )  # the formula itself twice, its refits once each but for the one that was cut short
    np.testing.assert_array_equal(found.stability, fit_sample(planted(), "pca", refits=3).stability)


def test_umap_is_umap_learns(umap: SavedEmbedding) -> None:
    theirs = mapper(2, 15, 0, "spectral", None).fit_transform(planted().states)
    np.testing.assert_allclose(
        np.abs(umap.places - umap.places.mean(axis=0)),
        np.abs(theirs - theirs.mean(axis=0)),
        atol=1e-4,
    )
    assert np.isnan(umap.stability).all()
    assert "stability" not in umap.trust


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_clusters_stay_apart_and_new_points_fall_into_their_own(
    method: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    request.getfixturevalue(method).save(tmp_path / "space.json")
    projection = load_embedding(tmp_path / "space.json")  # nothing but the file is needed
    places = projection.places
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (projection.situations[apart.argmin(axis=1)] == projection.situations).all()
    new = planted(90, seed=1)
    np.testing.assert_array_equal(
        nearest_situation(projection, place(projection, new.states)), new.situations
    )


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_states_that_were_fitted_on_are_placed_near_their_own_places_and_their_neighbours_too(
    method: str, request: pytest.FixtureRequest
) -> None:
    projection: SavedEmbedding = request.getfixturevalue(method)
    placed = placer(projection)
    size = np.linalg.norm(projection.places.std(axis=0))
    nudge = np.random.default_rng(0).normal(0, 0.01, projection.reference.shape).astype(np.float32)
    for states in (projection.reference, projection.reference + nudge):
        distances = np.linalg.norm(placed(states) - projection.places, axis=1)
        assert np.median(distances) < 0.1 * size  # clusters lie about 2 apart
        assert np.mean(distances < 0.25 * size) > 0.95


def test_the_place_of_a_state_does_not_depend_on_the_others_placed_with_it(
    tsne: SavedEmbedding,
) -> None:
    placed, new = placer(tsne), planted(30, seed=2).states
    np.testing.assert_allclose(placed(new)[:5], placed(new[:5]), atol=1e-3)
    assert placed(new[:0]).shape == (0, 2)


def test_tsne_can_be_fitted_and_placed_in_three_dimensions() -> None:
    projection = fit_sample(planted(60), "tsne", dims=3, refits=0)
    assert projection.dims == 3
    new = planted(30, seed=1)
    np.testing.assert_array_equal(
        nearest_situation(projection, place(projection, new.states)), new.situations
    )


def test_clusters_survive_another_random_start_better_than_chance(tsne: SavedEmbedding) -> None:
    assert tsne.trust["stability"] > 3 * tsne.trust["stability_by_chance"]
    assert tsne.trust["trustworthiness"] > 0.8


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_states_of_another_width_are_refused(method: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(ConfigError, match=r"expected states \(N, 12\)"):
        place(request.getfixturevalue(method), np.zeros((3, 5), np.float32))


# ---- formulas ----


def test_a_plane_that_is_there_is_stable_and_one_of_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    situations, dialogues = np.full(1500, "other"), np.arange(1500) % 10
    noise = rng.normal(size=(1500, 40)).astype(np.float32)
    sheet = noise * np.where(
        np.arange(40) < 2, [8.0 if axis == 0 else 5.0 for axis in range(40)], 0.05
    ).astype(np.float32)
    real = fit_sample(Sample(sheet, situations, dialogues), "pca")
    chance = fit_sample(Sample(noise, situations, dialogues), "pca")
    assert real.trust["stability"] > 0.95
    assert real.trust["unstable"] < 0.01
    assert chance.trust["stability"] < 0.2
    assert chance.trust["unstable"] > 0.95
    assert real.trust["stability_by_chance"] == pytest.approx(15 / 1499)


def test_directions_are_turned_so_that_speaking_lies_to_the_right() -> None:
    for flip in (1, -1):
        sample = planted()
        projection = fit_sample(
            Sample(flip * sample.states, sample.situations, sample.dialogues), "pca", refits=0
        )
        assert projection.landmarks["speaking"][0] > projection.landmarks["listening"][0]
        speaking = projection.project(flip * sample.states[sample.situations == "speaking"])
        np.testing.assert_allclose(
            projection.landmarks["speaking"], speaking.mean(axis=0), atol=1e-3
        )


def test_a_formula_keeps_a_sample_of_its_places_with_rare_situations_in_it() -> None:
    sample = planted(3000)
    sample.situations[:20] = "done"
    projection = fit_sample(sample, "pca", refits=1)
    assert (
        len(projection.places)
        == len(projection.situations)
        == len(projection.stability)
        == fitting.BACKGROUND
    )
    assert (projection.situations == "done").sum() > 3 * fitting.BACKGROUND * 20 / 3000
    everywhere = projection.project(sample.states)
    inside = ((everywhere >= projection.low) & (everywhere <= projection.high)).mean(axis=0)
    np.testing.assert_allclose(inside, 0.99, atol=0.005)


# ---- collections ----


@pytest.mark.parametrize(
    ("method", "layer", "dims"),
    [
        ("pca", "latent", 2),
        ("pca", "latent_speaker", 3),
        ("plane", "latent", 2),
        ("autoencoder", "latent", 3),
    ],
)
def test_a_projection_of_a_collection_names_the_network_and_what_it_was_fitted_on(
    method: str, layer: str, dims: int, tiny_collection: Collection, tmp_path: Path
) -> None:
    projection = fit_projection(
        tiny_collection, method, layer=layer, dims=dims, points=300, refits=1
    )
    assert (projection.model, projection.weights_sha256) == (
        tiny_collection.about.model,
        tiny_collection.about.weights_sha256,
    )
    assert (projection.method, projection.layer, projection.dims) == (method, layer, dims)
    assert projection.width == tiny_collection.about.sizes[layer]
    assert projection.settings["dialogues"] == 3
    assert "from 3 dialogues (1.0 minutes)" in projection.about
    assert {"trustworthiness", "continuity", "stability", "unstable"} <= set(projection.trust)
    projection.save(tmp_path / "space.json")
    again = load_embedding(tmp_path / "space.json")
    states = tiny_collection.frames(0, [layer])[layer][:, 0]
    np.testing.assert_array_equal(place(again, states), projection.project(states))


def test_the_same_seed_gives_the_same_projection_and_another_seed_other_points(
    tiny_collection: Collection,
) -> None:
    first, again, other = (
        fit_projection(tiny_collection, "tsne", points=60, refits=0, seed=seed)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.places, again.places)
    assert first.reference.shape != other.reference.shape or not np.array_equal(
        first.reference, other.reference
    )
    assert first.settings["perplexity"] == pytest.approx(
        (len(first.places) - 1) / 3
    )  # no more than so few points allow


def test_a_view_without_a_file_shows_principal_components_of_a_network_that_is_not_bundled(
    tiny_collection: Collection,
) -> None:
    projection = projection_for(tiny_collection, None)
    assert (projection.method, projection.layer, projection.dims) == ("pca", "latent", 2)
    assert projection_for(tiny_collection, None, "latent_speaker", 3).dims == 3


def test_a_view_of_the_bundled_network_shows_the_bundled_plane(
    tiny_collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = fit_projection(tiny_collection, "plane", refits=0)
    monkeypatch.setattr(fitting, "load_embedding", lambda path=None: plane)
    assert projection_for(tiny_collection, None) is plane
    assert projection_for(tiny_collection, None, "latent_speaker").method == "pca"
    assert projection_for(tiny_collection, None, dims=3).method == "pca"


def test_a_file_is_shown_if_it_is_of_the_same_network_and_refused_otherwise(
    tiny_collection: Collection, tmp_path: Path
) -> None:
    fit_projection(tiny_collection, "pca", layer="latent_speaker", refits=0).save(
        tmp_path / "ours.json"
    )
    assert projection_for(tiny_collection, tmp_path / "ours.json").layer == "latent_speaker"
    load_embedding().save(tmp_path / "bundled.json")
    with pytest.raises(
        ConfigError, match=r"bundled\.json: expected a projection of tiny .* got one of turnstream"
    ):
        projection_for(tiny_collection, tmp_path / "bundled.json")
    text = (tmp_path / "ours.json").read_text().replace('"latent_speaker"', '"latent"')
    (tmp_path / "width.json").write_text(text)
    with pytest.raises(
        ConfigError,
        match=r"width\.json: expected a projection of a layer with these values, .*got 12 of "
        r"'latent'",
    ):
        projection_for(tiny_collection, tmp_path / "width.json")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("guess", {}, "expected a method among"),
        ("pca", {"layer": "middle"}, "expected a layer among"),
        ("pca", {"dims": 4}, "expected 2 or 3 dimensions of pca, got 4"),
        ("plane", {"dims": 3}, "expected 2 dimensions of plane, got 3"),
        ("pca", {"points": 10}, "expected at least 50 points"),
        ("umap", {"points": 10**6}, "at most 20000 points"),
        ("pca", {"refits": -1}, "expected 0 or more refits"),
        ("pca", {"perplexity": 5}, "expected perplexity for tsne alone"),
        ("umap", {"neighbours": 1}, "expected neighbours for umap alone, of 2 or more"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_any_work(
    method: str, options: dict[str, object], message: str, tiny_collection: Collection
) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_projection(tiny_collection, method, **options)  # pyright: ignore[reportArgumentType]


def test_too_few_states_are_refused() -> None:
    with pytest.raises(
        ConfigError, match="expected at least 50 frames to fit a projection on, got 40"
    ):
        fit_sample(planted(40), "pca")


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, turnstream.models.latents.space.place; "
        "print({'sklearn', 'umap', 'openTSNE', 'matplotlib'} & set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "set()"
    )
