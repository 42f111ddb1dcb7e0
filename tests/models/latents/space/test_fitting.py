"""Fitting and placing: against openTSNE, umap-learn and scikit-learn, and on a collection."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
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
    Fit,
    Sample,
    fit_projection,
    fit_sample,
    place,
    placer,
    projection_for,
)
from turnstream.stream.errors import ConfigError
from turnstream.stream.saved_embedding import SavedEmbedding, load_embedding

FITS = {
    "tsne": Fit("tsne", refits=1),
    "umap": Fit("umap", refits=0),
    "tsne in 3-D": Fit("tsne", dims=3, refits=0),
}


def planted(count: int = 180, seed: int = 0) -> Sample:
    """Three well-kept clusters in twelve dimensions, one for each situation."""
    rng = np.random.default_rng(seed)
    situations = np.array(["speaking", "listening", "pausing"])[np.arange(count) % 3]
    centres = 6 * np.eye(12)[[0, 4, 8]]
    states = centres[np.arange(count) % 3] + rng.normal(0, 0.6, (count, 12))
    return Sample(states.astype(np.float32), situations, np.arange(count) % 4)


@pytest.fixture(scope="module")
def fits() -> dict[str, SavedEmbedding]:
    return {name: fit_sample(planted(), fit) for name, fit in FITS.items()}


def nearest_situation(projection: SavedEmbedding, states: np.ndarray) -> np.ndarray:
    places = place(projection, states)
    distances = np.linalg.norm(places[:, None] - projection.places[None], axis=2)
    return projection.situations[distances.argmin(axis=1)]


def test_tsne_is_open_tsnes_and_as_good_as_scikits(fits: dict[str, SavedEmbedding]) -> None:
    states, places = planted().states, fits["tsne"].places
    settings: dict[str, Any] = {"neighbors": "exact", "negative_gradient_method": "bh"}
    theirs = np.asarray(TSNE(2, 30, initialization="pca", random_state=0, **settings).fit(states))
    offsets = np.abs(places - places.mean(axis=0)) - np.abs(theirs - theirs.mean(axis=0))
    np.testing.assert_allclose(offsets, 0, atol=1e-3)
    scikit = manifold.TSNE(perplexity=30, random_state=0).fit_transform(states)
    kept, expected = (
        manifold.trustworthiness(states, found, n_neighbors=15) for found in (places, scikit)
    )
    assert kept == pytest.approx(expected, abs=0.02)
    trust = fits["tsne"].trust
    assert trust["stability"] > 3 * trust["stability_by_chance"]
    assert trust["trustworthiness"] > 0.8
    placed, new = placer(fits["tsne"]), planted(30, seed=2).states
    np.testing.assert_allclose(placed(new)[:5], placed(new[:5]), atol=1e-3)  # whoever is beside it
    assert placed(new[:0]).shape == (0, 2)


def test_umap_is_umap_learns(fits: dict[str, SavedEmbedding]) -> None:
    umap, theirs = fits["umap"], mapper(2, 15, 0, "spectral", None).fit_transform(planted().states)
    found, expected = (np.abs(x - x.mean(axis=0)) for x in (umap.places, theirs))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.isnan(umap.stability).all()
    assert "stability" not in umap.trust


@pytest.mark.parametrize("name", FITS)
def test_clusters_stay_apart_and_new_points_fall_into_their_own(
    name: str, fits: dict[str, SavedEmbedding], tmp_path: Path
) -> None:
    fits[name].save(tmp_path / "space.json")
    projection = load_embedding(tmp_path / "space.json")  # nothing but the file is needed
    assert projection.dims == FITS[name].dims
    places = projection.places
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (projection.situations[apart.argmin(axis=1)] == projection.situations).all()
    new = planted(90, seed=1)
    assert (nearest_situation(projection, new.states) == new.situations).all()
    placed = placer(projection)  # states of the fit, and close to these, lie near their places
    size = np.linalg.norm(projection.places.std(axis=0))
    nudge = np.random.default_rng(0).normal(0, 0.01, projection.reference.shape).astype(np.float32)
    for states in (projection.reference, projection.reference + nudge):
        distances = np.linalg.norm(placed(states) - projection.places, axis=1)
        assert np.median(distances) < 0.1 * size  # clusters lie about 2 apart
        assert np.mean(distances < 0.25 * size) > 0.95
    with pytest.raises(ConfigError, match=r"expected states \(N, 12\)"):
        placed(np.zeros((3, 5), np.float32))


def test_fits_that_were_cut_short_are_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def cut(fit: Any) -> Any:
        def cut_short(*given: Any) -> Any:
            calls.append(len(calls))
            if len(calls) == 3:
                raise KeyboardInterrupt
            return fit(*given)

        return cut_short

    monkeypatch.setattr(fitting, "fit_pca", cut(fitting.fit_pca))
    tsne = cut(lambda stages, dims, _, seed, __: [stages[0][:, seed : seed + dims]])
    monkeypatch.setattr(fitting.embed, "fit_tsne", tsne)
    for method, in_all in (("tsne", 5), ("pca", 6)):  # of pca the first fit is made twice
        how = Fit(method, refits=3)
        with pytest.raises(KeyboardInterrupt):
            fit_sample(planted(), how, tmp_path / "parts")
        found = fit_sample(planted(), how, tmp_path / "parts")
        assert len(calls) == in_all
        np.testing.assert_array_equal(found.stability, fit_sample(planted(), how).stability)
        assert not (tmp_path / "parts").exists()
        calls.clear()


def test_a_plane_that_is_there_is_stable_and_one_of_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    situations, dialogues = np.full(1500, "other"), np.arange(1500) % 10
    noise = rng.normal(size=(1500, 40)).astype(np.float32)
    sheet = noise * np.array([8.0, 5.0] + 38 * [0.05], np.float32)
    real, chance = (
        fit_sample(Sample(states, situations, dialogues), Fit("pca")).trust
        for states in (sheet, noise)
    )
    assert real["stability"] > 0.95
    assert real["unstable"] < 0.01
    assert chance["stability"] < 0.2
    assert chance["unstable"] > 0.95
    assert real["stability_by_chance"] == pytest.approx(15 / 1499)


@pytest.mark.parametrize("flip", [1, -1])
def test_a_formula_keeps_rare_situations_and_has_speaking_to_the_right(flip: int) -> None:
    sample, kept = replace(planted(3000), states=flip * planted(3000).states), fitting.BACKGROUND
    sample.situations[:20] = "done"
    found = fit_sample(sample, Fit("pca", refits=1))
    marks, speaking = found.landmarks, sample.situations == "speaking"
    assert marks["speaking"][0] > marks["listening"][0]
    expected = found.project(sample.states[speaking]).mean(axis=0)
    np.testing.assert_allclose(marks["speaking"], expected, atol=1e-3)
    assert len(found.places) == len(found.situations) == len(found.stability) == kept
    assert (found.situations == "done").sum() > 3 * kept * 20 / 3000
    everywhere = found.project(sample.states)
    inside = ((everywhere >= found.low) & (everywhere <= found.high)).mean(axis=0)
    np.testing.assert_allclose(inside, 0.99, atol=0.005)


@pytest.mark.parametrize(
    ("method", "layer", "dims"),
    [("pca", "latent_speaker", 3), ("plane", "latent", 2), ("autoencoder", "latent", 3)],
)
def test_a_projection_of_a_collection_names_the_network_and_what_it_was_fitted_on(
    method: str, layer: str, dims: int, tiny_collection: Collection, tmp_path: Path
) -> None:
    about = tiny_collection.about
    options: dict[str, Any] = {"dims": dims, "points": 300, "refits": 1}
    projection = fit_projection(tiny_collection, method, layer=layer, **options)
    named = (projection.model, projection.weights_sha256, projection.method, projection.layer)
    assert named == (about.model, about.weights_sha256, method, layer)
    assert (projection.dims, projection.width) == (dims, about.sizes[layer])
    assert projection.settings["dialogues"] == 3
    assert "from 3 dialogues (1.0 minutes)" in projection.about
    assert {"trustworthiness", "continuity", "stability", "unstable"} <= set(projection.trust)
    projection.save(tmp_path / "space.json")
    again = load_embedding(tmp_path / "space.json")
    states = tiny_collection.frames(0, [layer])[layer][:, 0]
    np.testing.assert_array_equal(place(again, states), projection.project(states))


def test_only_the_same_seed_gives_the_same_projection(tiny_collection: Collection) -> None:
    first, again, other = (
        fit_projection(tiny_collection, "tsne", points=60, refits=0, seed=seed)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.places, again.places)
    assert not np.array_equal(first.reference, other.reference)
    most = (len(first.places) - 1) / 3  # no more than so few points allow
    assert first.settings["perplexity"] == pytest.approx(most)


def test_a_view_without_a_file_shows_the_bundled_plane_or_else_principal_components(
    tiny_collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    projection = projection_for(tiny_collection, None)
    assert (projection.method, projection.layer, projection.dims) == ("pca", "latent", 2)
    plane = fit_projection(tiny_collection, "plane", refits=0)
    monkeypatch.setattr(fitting, "load_embedding", lambda path=None: plane)
    assert projection_for(tiny_collection, None) is plane
    assert projection_for(tiny_collection, None, "latent_speaker").method == "pca"
    deep = projection_for(tiny_collection, None, dims=3)
    assert (deep.method, deep.dims) == ("pca", 3)


def test_a_file_of_another_network_is_refused(tiny_collection: Collection, tmp_path: Path) -> None:
    ours, bundled, width = (tmp_path / f"{name}.json" for name in ("ours", "bundled", "width"))
    fit_projection(tiny_collection, "pca", layer="latent_speaker", refits=0).save(ours)
    assert projection_for(tiny_collection, ours).layer == "latent_speaker"
    load_embedding().save(bundled)
    with pytest.raises(ConfigError, match=r"bundled\.json: .* of tiny .* got one of turnstream"):
        projection_for(tiny_collection, bundled)
    width.write_text(ours.read_text().replace('"latent_speaker"', '"latent"'))
    with pytest.raises(ConfigError, match=r"width\.json: .* of a layer with .* 12 of 'latent'"):
        projection_for(tiny_collection, width)


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


def test_too_few_states_or_values_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected at least 50 frames .* on, got 40"):
        fit_sample(planted(40), Fit("pca"))
    flat = replace(planted(), states=planted().states[:, :2])
    with pytest.raises(ConfigError, match=r"expected states of more than 2 values .*, got 2"):
        fit_sample(flat, Fit("plane"))


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    heavy = "{'sklearn', 'umap', 'openTSNE', 'matplotlib'} & set(sys.modules)"
    code = f"import sys, turnstream.models.latents.space.place; assert not ({heavy})"
    subprocess.run([sys.executable, "-c", code], check=True)
