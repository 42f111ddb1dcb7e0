"""Fits projections of latent states on a collection, and places other states in them.

Principal components, the plane and the autoencoder are formulas. t-SNE and UMAP (embed.py) are
none: their fitted states are kept, and new ones are placed among these, so a file holds no pickle.
What each fit is worth is measured with it (trust.py): formulas are fitted again on other dialogues
(drawn with replacement; on other frames where there is but one), t-SNE and UMAP from other random
starts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ....stream.saved_embedding import (
    METHODS,
    DenseLayer,
    Formula,
    SavedEmbedding,
    apply_layers,
    load_embedding,
)
from ..bars import bar
from ..collection import LAYERS, Collection
from ..moments import SITUATIONS
from ..parts import Parts
from . import trust
from .embed import (
    MIN_DIST,
    NEIGHBOURS,
    PERPLEXITY,
    fit_tsne,
    fit_umap,
    tsne_placer,
    umap_placer,
)
from .plane import fit_pca, fit_plane

FORMULAS = ("plane", "pca", "autoencoder")
POINTS = {"plane": 20000, "pca": 20000, "autoencoder": 20000, "tsne": 2000, "umap": 2000}
FEWEST_POINTS = 50
MOST_REFERENCES = 20000  # what t-SNE and UMAP can hold in a file and in exact neighbour searches
REFITS = 5
JUDGED = 2000  # points of which trust is measured: all pairs of them are compared
BACKGROUND = 600  # of these, kept with a formula for pictures
EVEN = 0.5  # share of the points to draw and to judge that is drawn alike from every situation
RANGE_PERCENT = {
    "plane": (3, 97),
    "pca": (0.5, 99.5),
    "autoencoder": (0.5, 99.5),
    "tsne": (0, 100),
    "umap": (0, 100),
}  # the part to draw
PLACED_AT_ONCE = 4000

Float32 = NDArray[np.float32]
Placer = Callable[[Float32], Float32]


@dataclass(frozen=True)
class Sample:
    """States to fit on (N, H), what their speakers were doing (N,), and their dialogues (N,)."""

    states: Float32
    situations: NDArray[np.str_]
    dialogues: NDArray[np.int64]

    def rows(self, rows: NDArray[np.int64]) -> Sample:
        """Some of them."""
        return Sample(self.states[rows], self.situations[rows], self.dialogues[rows])


def fit_projection(
    collection: Collection,
    method: str,
    *,
    layer: str = "latent",
    dims: int = 2,
    points: int | None = None,
    seed: int = 0,
    refits: int = REFITS,
    perplexity: float | None = None,
    neighbours: int | None = None,
    parts: Path | None = None,
) -> SavedEmbedding:
    """Fit a projection on all dialogues of a collection; the same for the same data and seed.

    Args:
        collection: to fit on.
        method: one of METHODS.
        layer: one of LAYERS.
        dims: 2 or 3; a plane has 2.
        points: about how many frames of single speakers to fit on (None: POINTS). Formulas are
            fitted on frames as often as they occur; of t-SNE's and UMAP's, which are few, half are
            drawn alike from every situation, so that rare moments are seen.
        seed: of all chance.
        refits: how often to fit again; 0 leaves stability unknown.
        perplexity: of t-SNE.
        neighbours: of UMAP.
        parts: folder for the fits that are done already, so that work that was cut short is gone on
            with; removed in the end.
    Raises:
        ConfigError: what cannot be fitted.
    """
    points = POINTS.get(method, 0) if points is None else points
    _check_request(method, layer, dims, points, refits, perplexity, neighbours)
    drawn = collection.sample(
        points, [layer, "situation"], seed=seed, spare=0.0 if method in FORMULAS else EVEN
    )
    settings: dict[str, Any] = {
        "points": len(drawn["frame"]),
        "seed": seed,
        "refits": refits,
        "dialogues": len(collection.dialogues),
    }
    if method == "autoencoder":
        from .autoencoder import moving_steps

        moving = moving_steps(collection, layer, drawn)
        drawn = {name: values[moving] for name, values in drawn.items()}
        settings["still_points_left_out"] = int((~moving).sum())
    sample = Sample(drawn[layer], drawn["situation"], drawn["number"])
    projection = fit_sample(
        sample,
        method,
        dims=dims,
        seed=seed,
        refits=refits,
        perplexity=perplexity,
        neighbours=neighbours,
        parts=parts,
    )
    frames = sum(collection.frame_count(number) for number in range(len(collection.dialogues)))
    minutes = frames / collection.frame_rate_hz / 60
    settings |= {"minutes": minutes} | projection.settings
    dialogues = _counted(len(collection.dialogues), "dialogue")
    fitted_on = (
        f"Fitted on {len(sample.states)} frames of single speakers from {dialogues} "
        f"({minutes:.1f} minutes)."
    )
    about = f"{projection.about} {fitted_on}"
    named = {"model": collection.about.model, "weights_sha256": collection.about.weights_sha256}
    return replace(projection, layer=layer, settings=settings, about=about, **named)


def fit_sample(
    sample: Sample,
    method: str,
    *,
    dims: int = 2,
    seed: int = 0,
    refits: int = REFITS,
    perplexity: float | None = None,
    neighbours: int | None = None,
    parts: Path | None = None,
) -> SavedEmbedding:
    """Fit a projection on given states; layer and model are left unnamed. See `fit_projection`.

    Raises:
        ConfigError: too few states.
    """
    count = len(sample.states)
    if count < FEWEST_POINTS:
        raise ConfigError(
            f"expected at least {FEWEST_POINTS} frames to fit a projection on, got {count}"
        )
    if sample.states.shape[1] <= dims:
        raise ConfigError(
            f"expected states of more than {dims} values for a projection with {dims} dimensions, "
            f"got {sample.states.shape[1]}"
        )
    fitted = _fit_formula if method in FORMULAS else _fit_references
    perplexity = min(perplexity or PERPLEXITY, (count - 1) / 3)
    neighbours = min(neighbours or NEIGHBOURS, count - 1)
    breadth = perplexity if method == "tsne" else neighbours
    given = hashlib.sha256(
        b"".join(
            values.tobytes() for values in (sample.states, sample.situations, sample.dialogues)
        )
    ).hexdigest()
    kept = Parts(parts, json.dumps([method, dims, seed, breadth, given]))
    projection = fitted(sample, method, dims, seed, refits, breadth, kept)
    kept.remove()
    if not np.isfinite(projection.places).all():
        raise ConfigError(
            f"expected states that {method} can place, got some that it gives no place"
        )
    return projection


def projection_for(
    collection: Collection, path: Path | None, layer: str = "latent", dims: int = 2
) -> SavedEmbedding:
    """The projection in which a view shows a collection.

    That is the file's; else the bundled plane, if it is of this network; else the collection's PCA.

    Args:
        collection: to show.
        path: file, or None; its layer and dimensions are the file's.
        layer, dims: to show without a file.
    Raises:
        ConfigError: a file of another network's states.
    """
    network = collection.about
    if path is not None:
        projection = load_embedding(path)
        if projection.weights_sha256 != network.weights_sha256:
            raise ConfigError(
                f"{path}: expected a projection of {network.model} ({network.weights_sha256[:8]}), "
                f"got one of {projection.model or 'another network'} "
                f"({projection.weights_sha256[:8]})"
            )
        if (
            projection.layer not in network.sizes
            or projection.width != network.sizes[projection.layer]
        ):
            sizes = ", ".join(f"{name}: {size}" for name, size in network.sizes.items())
            raise ConfigError(
                f"{path}: expected a projection of a layer with these values, {sizes}; got "
                f"{projection.width} of {projection.layer!r}"
            )
        return projection
    if layer == "latent" and dims == 2:
        bundled = load_embedding()
        if bundled.weights_sha256 == network.weights_sha256:
            return bundled
    return fit_projection(collection, "pca", layer=layer, dims=dims)


def place(projection: SavedEmbedding, states: Float32) -> Float32:
    """Where states lie in a fitted projection, (N, H) -> (N, D).

    Raises:
        ConfigError: the states have another width.
    """
    return placer(projection)(states)


def placer(projection: SavedEmbedding) -> Placer:
    """`place` for many calls: what it needs is built once."""
    if projection.has_formula:
        return projection.project
    fitted, settings = (projection.reference, projection.places), projection.settings
    rebuilt = (
        tsne_placer(*fitted, settings["perplexity"])
        if projection.method == "tsne"
        else umap_placer(*fitted, settings["neighbours"])
    )

    def placed(states: Float32) -> Float32:
        if states.ndim != 2 or states.shape[1] != projection.width:
            raise ConfigError(
                f"expected states (N, {projection.width}), as the projection was fitted on, got "
                f"{states.shape}"
            )
        blocks = [
            rebuilt(states[start : start + PLACED_AT_ONCE])
            for start in range(0, len(states), PLACED_AT_ONCE)
        ]
        return np.concatenate([np.zeros((0, projection.dims)), *blocks]).astype(np.float32)

    return placed


def place_known(put: Placer, states: Float32, dims: int) -> Float32:
    """Where states lie, (..., H) -> (..., D); NaN where a state is NaN.

    Args:
        put: of `placer`.
        states: some of them NaN.
        dims: of the projection.
    """
    flat = states.reshape(-1, states.shape[-1])
    known = ~np.isnan(flat[:, 0])
    places = np.full((len(flat), dims), np.nan, np.float32)
    if known.any():
        places[known] = put(flat[known])
    return places.reshape(*states.shape[:-1], dims)


# ---- formulas ----


def _fit_formula(
    sample: Sample, method: str, dims: int, seed: int, refits: int, _: float, kept: Parts
) -> SavedEmbedding:
    rng = np.random.default_rng(seed)
    formula = _oriented(_formula(sample, method, dims, seed), sample)
    judged = sample.rows(_draw(sample.situations, JUDGED, rng))
    again: list[Float32] = []
    for number in bar(range(refits), f"{method}, again", "fit"):
        other = partial(
            _formula,
            sample.rows(_resampled(sample.dialogues, rng)),
            method,
            dims,
            seed + 1 + number,
        )
        again.append(
            kept.of(
                number, lambda other=other: {"places": apply_layers(other().layers, judged.states)}
            )["places"]
        )
    places = apply_layers(formula.layers, judged.states)
    shares = trust.stability(places, again)
    everywhere = apply_layers(formula.layers, sample.states)
    low, high = np.percentile(everywhere, RANGE_PERCENT[method], axis=0)
    return SavedEmbedding(
        method=method,
        layer="",
        model="",
        weights_sha256="",
        layers=formula.layers,
        places=places[:BACKGROUND],
        situations=judged.situations[:BACKGROUND],
        stability=shares[:BACKGROUND],
        low=_floats(low),
        high=_floats(high),
        landmarks=_landmarks(everywhere, sample.situations),
        trust=_trust(judged.states, places, shares) | formula.trust,
        settings=formula.settings,
        about=formula.about,
    )


def _formula(sample: Sample, method: str, dims: int, seed: int) -> Formula:
    if method == "plane":
        return fit_plane(sample.states, sample.situations)
    if method == "pca":
        return fit_pca(sample.states, dims)
    from .autoencoder import fit_autoencoder

    return fit_autoencoder(sample.states, dims, seed)


def _resampled(dialogues: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of as many dialogues as there are, drawn with replacement; of one dialogue, its rows."""
    names = np.unique(dialogues)
    if len(names) == 1:
        return rng.integers(len(dialogues), size=len(dialogues))
    return np.concatenate(
        [np.nonzero(dialogues == name)[0] for name in rng.choice(names, len(names))]
    )


def _draw(situations: NDArray[np.str_], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most `count` rows in random order, EVEN of them alike from every situation."""
    names, of, amounts = np.unique(situations, return_inverse=True, return_counts=True)
    chances = (1 - EVEN) / len(situations) + EVEN / (len(names) * amounts[of])
    return rng.choice(
        len(situations), min(count, len(situations)), replace=False, p=chances / chances.sum()
    )


def _oriented(formula: Formula, sample: Sample) -> Formula:
    signs = _signs(
        _landmarks(apply_layers(formula.layers, sample.states), sample.situations),
        len(formula.layers[-1].bias),
    )
    last = formula.layers[-1]  # is linear
    return replace(
        formula,
        layers=(*formula.layers[:-1], DenseLayer(last.weight * signs[:, None], last.bias * signs)),
    )


# ---- t-SNE and UMAP ----


def _fit_references(
    sample: Sample, method: str, dims: int, seed: int, refits: int, breadth: float, kept: Parts
) -> SavedEmbedding:
    breadth = breadth if method == "tsne" else int(breadth)
    embed = {"tsne": fit_tsne, "umap": fit_umap}[method]
    starts = bar(range(refits + 1), method, "fit")
    fits = [
        kept.of(
            start,
            lambda start=start: {
                "places": embed([sample.states], dims, breadth, seed + start, start > 0)[0]
            },
        )["places"]
        for start in starts
    ]
    places = (fits[0] - (fits[0].max(axis=0) + fits[0].min(axis=0)) / 2).astype(np.float32)
    places *= _signs(_landmarks(places, sample.situations), dims)
    shares = trust.stability(places, fits[1:])
    judged = np.random.default_rng(seed).permutation(len(places))[:JUDGED]
    return SavedEmbedding(
        method=method,
        layer="",
        model="",
        weights_sha256="",
        layers=(),
        places=places,
        situations=sample.situations,
        stability=shares,
        low=_floats(places.min(axis=0)),
        high=_floats(places.max(axis=0)),
        landmarks=_landmarks(places, sample.situations),
        reference=sample.states,
        trust=_trust(sample.states[judged], places[judged], shares),
        settings={"perplexity": float(breadth)}
        if method == "tsne"
        else {"neighbours": int(breadth), "min_dist": MIN_DIST},
        about=f"t-SNE with a perplexity of {breadth:g}."
        if method == "tsne"
        else f"UMAP with {breadth:g} neighbours.",
    )


# ---- what all have in common ----


def _check_request(
    method: str,
    layer: str,
    dims: int,
    points: int,
    refits: int,
    perplexity: float | None,
    neighbours: int | None,
) -> None:
    if method not in METHODS:
        raise ConfigError(f"expected a method among {', '.join(METHODS)}, got {method!r}")
    if layer not in LAYERS:
        raise ConfigError(f"expected a layer among {', '.join(LAYERS)}, got {layer!r}")
    if dims not in ((2,) if method == "plane" else (2, 3)):
        raise ConfigError(
            f"expected {'2' if method == 'plane' else '2 or 3'} dimensions of {method}, got {dims}"
        )
    if points < FEWEST_POINTS or (method not in FORMULAS and points > MOST_REFERENCES):
        most = "" if method in FORMULAS else f" and at most {MOST_REFERENCES}"
        raise ConfigError(
            f"expected at least {FEWEST_POINTS}{most} points to fit {method} on, got {points}"
        )
    if refits < 0:
        raise ConfigError(f"expected 0 or more refits, got {refits}")
    for name, value, of, least in (
        ("perplexity", perplexity, "tsne", 1),
        ("neighbours", neighbours, "umap", 2),
    ):
        if value is not None and (method != of or value < least):
            raise ConfigError(
                f"expected {name} for {of} alone, of {least} or more, got {value:g} for {method}"
            )


def _trust(states: Float32, places: Float32, shares: Float32) -> dict[str, float]:
    counts = {"judged": float(len(states)), "neighbours": float(trust.neighbours_of(len(states)))}
    return trust.faithfulness(states, places) | trust.summary(shares) | counts


def _landmarks(places: Float32, situations: NDArray[np.str_]) -> dict[str, tuple[float, ...]]:
    return {
        name: _floats(places[situations == name].mean(axis=0))
        for name in SITUATIONS[1:]
        if (situations == name).any()
    }


def _signs(landmarks: dict[str, tuple[float, ...]], dims: int) -> Float32:
    """By which directions are turned, so that pictures of different fits look alike.

    Speaking lies to the right of listening, about to speak above done, where they occur.
    """
    signs = np.ones(dims, np.float32)
    for axis, (greater, smaller) in enumerate(
        (("speaking", "listening"), ("about to speak", "done"))
    ):
        if (
            greater in landmarks
            and smaller in landmarks
            and landmarks[greater][axis] < landmarks[smaller][axis]
        ):
            signs[axis] = -1
    return signs


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
