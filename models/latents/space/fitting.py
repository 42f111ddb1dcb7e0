"""Fits projections of latent states on a collection, and places other states in them.

Principal components, the plane and the autoencoder are formulas. t-SNE and UMAP (embed.py) are
none: new states are placed among those of the fit. What each fit is worth is measured (trust.py):
formulas are fitted again on other dialogues (drawn with replacement; on other frames where there is
but one), t-SNE and UMAP from other random starts.
"""

from __future__ import annotations

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
from ..drawing import many
from ..moments import SITUATIONS
from ..parts import Parts
from . import embed, trust
from .plane import fit_pca, fit_plane

FORMULAS = ("plane", "pca", "autoencoder")
POINTS, REFERENCES = 20000, 2000  # to fit formulas, and t-SNE and UMAP, on
FEWEST_POINTS = 50
MOST_REFERENCES = 20000  # what t-SNE and UMAP can hold in a file and in exact neighbour searches
REFITS = 5
JUDGED = 2000  # points of which trust is measured: all pairs of them are compared
BACKGROUND = 600  # of these, kept with a formula for pictures
EVEN = 0.5  # share of the points to draw and to judge that is drawn alike from every situation
RANGE_PERCENT = {"plane": (3, 97), "tsne": (0, 100), "umap": (0, 100)}  # to draw; of others INNER
INNER = (0.5, 99.5)
PLACED_AT_ONCE = 4000
# To the right of what, and above what, a situation lies, so that pictures of fits look alike.
UPRIGHT = (("speaking", "listening"), ("about to speak", "done"))

Float32 = NDArray[np.float32]
Placer = Callable[[Float32], Float32]
Fitted = tuple[Formula, "Sample", Float32, list[Float32]]


@dataclass(frozen=True)
class Fit:
    """How to fit; the same data and seed give the same.

    A method of METHODS in 2 or 3 dimensions; a plane has 2. It is fitted again `refits` times; 0
    leaves stability unknown. Perplexity is of t-SNE, neighbours of UMAP; None takes embed.py's.
    """

    method: str
    dims: int = 2
    seed: int = 0
    refits: int = REFITS
    perplexity: float | None = None
    neighbours: int | None = None


@dataclass(frozen=True)
class Sample:
    """States to fit on (N, H), what their speakers were doing (N,), and their dialogues (N,)."""

    states: Float32
    situations: NDArray[np.str_]
    dialogues: NDArray[np.int64]

    def rows(self, rows: NDArray[np.int64]) -> Sample:
        return Sample(self.states[rows], self.situations[rows], self.dialogues[rows])


def fit_projection(
    collection: Collection,
    method: str,
    *,
    layer: str = "latent",
    points: int | None = None,
    parts: Path | None = None,
    **options: Any,
) -> SavedEmbedding:
    """Fit a projection of one of LAYERS on all dialogues of a collection.

    Formulas are fitted on about so many frames of single speakers, as often as they occur; of
    t-SNE's and UMAP's, which are few, half are drawn alike from every situation, so that rare
    moments are seen. Fits are kept in `parts` until all are done, to resume what was cut short.
    `options` are those of Fit. ConfigError for what cannot be fitted.
    """
    fit, is_formula = Fit(method, **options), method in FORMULAS
    if points is None:
        points = POINTS if is_formula else REFERENCES
    _check_request(fit, layer, points)
    spare = 0.0 if is_formula else EVEN
    drawn = collection.sample(points, [layer, "situation"], seed=fit.seed, spare=spare)
    about, dialogues = collection.about, len(collection.dialogues)
    settings: dict[str, Any] = {"points": len(drawn["frame"]), "seed": fit.seed}
    settings |= {"refits": fit.refits, "dialogues": dialogues}
    if method == "autoencoder":
        from .autoencoder import moving_steps

        moving = moving_steps(collection, layer, drawn)
        drawn = {name: values[moving] for name, values in drawn.items()}
        settings["still_points_left_out"] = int((~moving).sum())
    sample = Sample(drawn[layer], drawn["situation"], drawn["number"])
    found = fit_sample(sample, fit, parts)
    frames = sum(collection.frame_count(number) for number in range(dialogues))
    minutes = frames / collection.frame_rate_hz / 60
    settings |= {"minutes": minutes, **found.settings}
    on = f"{len(sample.states)} frames of single speakers from {many(dialogues, 'dialogue')}"
    words = f"{found.about} Fitted on {on} ({minutes:.1f} minutes)."
    named = {"layer": layer, "model": about.model, "weights_sha256": about.weights_sha256}
    return replace(found, settings=settings, about=words, **named)


def fit_sample(sample: Sample, fit: Fit, parts: Path | None = None) -> SavedEmbedding:
    """Fit on given states, unnamed; ConfigError if these or their values are too few."""
    count, width = sample.states.shape
    points = f"{FEWEST_POINTS} frames to fit a projection on"
    _expect(count >= FEWEST_POINTS, f"at least {points}, got {count}")
    values = f"more than {fit.dims} values for a projection with {fit.dims} dimensions"
    _expect(width > fit.dims, f"states of {values}, got {width}")
    kept = Parts(parts, vars(fit) | {"refits": 0}, *vars(sample).values())
    fitted = _fit_formula if fit.method in FORMULAS else _fit_references
    formula, shown, places, again = fitted(sample, fit, kept)
    kept.remove()
    has_place = bool(np.isfinite(places).all())
    _expect(has_place, f"states that {fit.method} can place, got some that it gives no place")
    if formula.layers:
        everywhere, reference = apply_layers(formula.layers, sample.states), np.zeros((0, 0))
        judged, drawn = np.arange(len(places)), BACKGROUND
    else:
        everywhere, reference = places, sample.states
        judged, drawn = np.random.default_rng(fit.seed).permutation(count)[:JUDGED], count
    shares, amount = trust.stability(places, again), len(judged)
    measured = trust.faithfulness(shown.states[judged], places[judged]) | trust.summary(shares)
    measured |= {"judged": float(amount), "neighbours": float(trust.neighbours_of(amount))}
    low, high = np.percentile(everywhere, RANGE_PERCENT.get(fit.method, INNER), axis=0).tolist()
    return SavedEmbedding(
        **{"method": fit.method, "layer": "", "model": "", "weights_sha256": ""},
        layers=formula.layers,
        places=places[:drawn],
        situations=shown.situations[:drawn],
        stability=shares[:drawn],
        low=tuple(low),
        high=tuple(high),
        landmarks=_landmarks(everywhere, sample),
        reference=reference.astype(np.float32),
        trust=measured | formula.trust,
        settings=formula.settings,
        about=formula.about,
    )


def projection_for(
    collection: Collection, path: Path | None, layer: str = "latent", dims: int = 2
) -> SavedEmbedding:
    """The projection in which a view shows a collection.

    That is the file's, whatever its layer and dimensions (ConfigError if it is of another network);
    else the bundled plane, if it is of this network and these; else the collection's PCA.
    """
    network = collection.about
    if path is None:
        bundled = load_embedding() if (layer, dims) == ("latent", 2) else None
        if bundled is not None and bundled.weights_sha256 == network.weights_sha256:
            return bundled
        return fit_projection(collection, "pca", layer=layer, dims=dims)
    found = load_embedding(path)
    if found.weights_sha256 != network.weights_sha256:
        raise ConfigError(
            f"{path}: expected a projection of {network.model} ({network.weights_sha256[:8]}), got "
            f"one of {found.model or 'another network'} ({found.weights_sha256[:8]})"
        )
    if network.sizes.get(found.layer) != found.width:
        sizes = ", ".join(f"{name}: {size}" for name, size in network.sizes.items())
        raise ConfigError(
            f"{path}: expected a projection of a layer with these values, {sizes}; got "
            f"{found.width} of {found.layer!r}"
        )
    return found


def place(projection: SavedEmbedding, states: Float32) -> Float32:
    """Where states lie in a projection, (N, H) -> (N, D); ConfigError for another width."""
    return placer(projection)(states)


def placer(projection: SavedEmbedding) -> Placer:
    """`place` for many calls: what it needs is built once."""
    if projection.has_formula:
        return projection.project
    fitted, settings = (projection.reference, projection.places), projection.settings
    if projection.method == "tsne":
        rebuilt = embed.tsne_placer(*fitted, settings["perplexity"])
    else:
        rebuilt = embed.umap_placer(*fitted, settings["neighbours"])

    def placed(states: Float32) -> Float32:
        expected = f"states (N, {projection.width}), as the projection was fitted on"
        _expect(states.shape[1:] == (projection.width,), f"{expected}, got {states.shape}")
        starts = range(0, len(states), PLACED_AT_ONCE)
        blocks = [rebuilt(states[start : start + PLACED_AT_ONCE]) for start in starts]
        return np.concatenate([np.zeros((0, projection.dims)), *blocks]).astype(np.float32)

    return placed


def place_known(put: Placer, states: Float32, dims: int) -> Float32:
    """Where states lie, (..., H) -> (..., D), by a `placer`; NaN where a state is NaN."""
    flat = states.reshape(-1, states.shape[-1])
    known = ~np.isnan(flat[:, 0])
    places = np.full((len(flat), dims), np.nan, np.float32)
    if known.any():
        places[known] = put(flat[known])
    return places.reshape(*states.shape[:-1], dims)


def _fit_formula(sample: Sample, fit: Fit, kept: Parts) -> Fitted:
    """The formula, states to judge and draw, and their places in it and in each refit."""
    rng, formula = np.random.default_rng(fit.seed), _formula(sample, fit, fit.seed)
    *inner, last = formula.layers  # the last is linear
    signs = _signs(apply_layers(formula.layers, sample.states), sample)
    turned = DenseLayer(last.weight * signs[:, None], last.bias * signs)
    formula = replace(formula, layers=(*inner, turned))
    shown = sample.rows(_draw(sample.situations, JUDGED, rng))

    def refit(number: int, rows: NDArray[np.int64]) -> dict[str, Float32]:
        other = _formula(sample.rows(rows), fit, fit.seed + 1 + number)
        return {"places": apply_layers(other.layers, shown.states)}

    again = [
        kept.of(number, partial(refit, number, _resampled(sample.dialogues, rng)))["places"]
        for number in bar(range(fit.refits), f"{fit.method}, again", "fit")
    ]
    return formula, shown, apply_layers(formula.layers, shown.states), again


def _fit_references(sample: Sample, fit: Fit, kept: Parts) -> Fitted:
    """A formula without layers, all states, and their places in the fit and in each refit."""
    most: float = len(sample.states) - 1
    if fit.method == "tsne":
        breadth = min(fit.perplexity or embed.PERPLEXITY, most / 3)
        settings, about = {"perplexity": breadth}, f"t-SNE with a perplexity of {breadth:g}."
        fit_one: Callable[..., Float32] = embed.fit_tsne
    else:
        breadth = min(fit.neighbours or embed.NEIGHBOURS, most)
        settings = {"neighbours": breadth, "min_dist": embed.MIN_DIST}
        fit_one, about = embed.fit_umap, f"UMAP with {breadth:g} neighbours."

    def fitted(start: int) -> dict[str, Float32]:
        seed = fit.seed + start
        return {"places": fit_one([sample.states], fit.dims, breadth, seed, start > 0)[0]}

    starts = bar(range(fit.refits + 1), fit.method, "fit")
    first, *again = (kept.of(start, partial(fitted, start))["places"] for start in starts)
    places = (first - (first.max(axis=0) + first.min(axis=0)) / 2).astype(np.float32)
    places *= _signs(places, sample)
    return Formula((), settings, about=about), sample, places, again


def _formula(sample: Sample, fit: Fit, seed: int) -> Formula:
    if fit.method == "plane":
        return fit_plane(sample.states, sample.situations)
    if fit.method == "pca":
        return fit_pca(sample.states, fit.dims)
    from .autoencoder import fit_autoencoder

    return fit_autoencoder(sample.states, fit.dims, seed)


def _resampled(dialogues: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of as many dialogues as there are, drawn with replacement; of one dialogue, its rows."""
    names = np.unique(dialogues)
    if len(names) == 1:
        return rng.integers(len(dialogues), size=len(dialogues))
    drawn = rng.choice(names, len(names))
    return np.concatenate([np.flatnonzero(dialogues == name) for name in drawn])


def _draw(situations: NDArray[np.str_], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most `count` rows in random order, EVEN of them alike from every situation."""
    names, of, amounts = np.unique(situations, return_inverse=True, return_counts=True)
    chances = (1 - EVEN) / len(situations) + EVEN / (len(names) * amounts[of])
    chances /= chances.sum()
    return rng.choice(len(chances), min(count, len(chances)), replace=False, p=chances)


def _check_request(fit: Fit, layer: str, points: int) -> None:
    method, is_formula = fit.method, fit.method in FORMULAS
    _expect(method in METHODS, f"a method among {', '.join(METHODS)}, got {method!r}")
    _expect(layer in LAYERS, f"a layer among {', '.join(LAYERS)}, got {layer!r}")
    dims = ["2"] if method == "plane" else ["2", "3"]
    _expect(str(fit.dims) in dims, f"{' or '.join(dims)} dimensions of {method}, got {fit.dims}")
    some = f"{FEWEST_POINTS}" + f" and at most {MOST_REFERENCES}" * (not is_formula)
    enough = FEWEST_POINTS <= points <= (np.inf if is_formula else MOST_REFERENCES)
    _expect(enough, f"at least {some} points to fit {method} on, got {points}")
    _expect(fit.refits >= 0, f"0 or more refits, got {fit.refits}")
    for name, of, least in (("perplexity", "tsne", 1), ("neighbours", "umap", 2)):
        if (value := getattr(fit, name)) is not None:
            words = f"{name} for {of} alone, of {least} or more, got {value:g} for {method}"
            _expect(method == of and value >= least, words)


def _expect(is_so: bool, words: str) -> None:
    if not is_so:
        raise ConfigError(f"expected {words}")


def _landmarks(places: Float32, sample: Sample) -> dict[str, tuple[float, ...]]:
    groups = {name: places[sample.situations == name] for name in SITUATIONS[1:]}
    return {name: tuple(here.mean(axis=0).tolist()) for name, here in groups.items() if len(here)}


def _signs(places: Float32, sample: Sample) -> Float32:
    """1 or -1 for each direction: -1 where it must be turned to be UPRIGHT."""
    landmarks, signs = _landmarks(places, sample), np.ones(places.shape[1], np.float32)
    for axis, (greater, smaller) in enumerate(UPRIGHT):
        if {greater, smaller} <= set(landmarks):
            signs[axis] = 1 if landmarks[greater][axis] >= landmarks[smaller][axis] else -1
    return signs
