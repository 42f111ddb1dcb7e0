"""t-SNE and UMAP: of one set of states, of the same points at several stages, and of new states.

Stages are fitted together, so that what does not change does not move: with openTSNE each begins at
the places of the one before, and every point is held by a spring to its places before and after,
swept over all stages (the penalty of Rauber, Falcao & Telea 2016, "Visualizing time-dependent data
using dynamic t-SNE"); umap-learn's AlignedUMAP has the same penalty.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bars import bar

PERPLEXITY, NEIGHBOURS, MIN_DIST = 30.0, 15, 0.1
EARLY_ITERATIONS, ITERATIONS, LATER_ITERATIONS = 250, 500, 120
SPRING = 0.1  # of the way to the neighbouring stages' mean place, in every iteration of t-SNE
SWEEPS = 2  # over all stages, forth and back, after the first

Floats = NDArray[np.floating[Any]]
Placer = Callable[[Floats], Floats]


def fit_tsne(
    stages: Sequence[Floats], dims: int, perplexity: float, seed: int, random_start: bool = False
) -> Floats:
    """Places at every stage, (E, N, dims), of N points whose states are (N, H) at each."""
    from openTSNE import TSNEEmbedding, initialization

    affinities = [_affinities(stage, perplexity, seed) for stage in stages]
    options: dict[str, Any] = {"negative_gradient_method": "bh", "random_state": seed, "n_jobs": 1}
    places: dict[int, Floats] = {}
    order = list(range(len(stages)))
    sweep = order[::-1]  # from the last, trained stage back
    if len(stages) > 1:
        sweep = bar(sweep + (order + order[::-1]) * (SWEEPS // 2), "t-SNE", "stage")
    for number in sweep:
        beside = [places[n] for n in (number - 1, number + 1) if n in places]
        if beside:
            target = np.mean(beside, axis=0)

            def pull(_: int, __: float, now: Any, target: Floats = target) -> None:
                now += SPRING * (target - now)

            embedding = TSNEEmbedding(places.get(number, target), affinities[number], **options)
            pulled = {"callbacks": pull, "callbacks_every_iters": 1}
            found = embedding.optimize(LATER_ITERATIONS, momentum=0.5, **pulled)
        else:
            begin: Any = initialization.random if random_start else initialization.pca
            begun = begin(stages[number], dims, random_state=seed)
            embedding = TSNEEmbedding(begun, affinities[number], **options)
            embedding = embedding.optimize(EARLY_ITERATIONS, exaggeration=12, momentum=0.8)
            found = embedding.optimize(ITERATIONS, momentum=0.8)
        places[number] = np.asarray(found, np.float64)
    return np.stack([places[number] for number in order])


def fit_umap(
    stages: Sequence[Floats], dims: int, neighbours: int, seed: int, random_start: bool = False
) -> Floats:
    """Places of N points at every stage, (E, N, dims); arguments as for `fit_tsne`."""
    if len(stages) == 1:
        start = "random" if random_start else "spectral"
        return mapper(dims, neighbours, seed, start, None).fit_transform(stages[0])[None]
    same = {point: point for point in range(len(stages[0]))}
    options: dict[str, Any] = {"n_components": dims, "n_neighbors": neighbours}
    with _quiet_umap():
        import umap

        aligned = umap.AlignedUMAP(alignment_regularisation=0.05, random_state=seed, **options)
        aligned.fit(list(stages), relations=[same] * (len(stages) - 1))
    return np.stack([np.asarray(place, np.float64) for place in aligned.embeddings_])


def tsne_placer(reference: Floats, places: Floats, perplexity: float) -> Placer:
    """What places new states (N, H) among fitted ones, by openTSNE's `transform`."""
    from openTSNE import TSNEEmbedding

    # openTSNE interpolates on a grid, which is quicker once it is built, in the plane only.
    gradient = "fft" if places.shape[1] < 3 else "bh"
    options: dict[str, Any] = {"negative_gradient_method": gradient, "random_state": 0}
    affinities = _affinities(reference, perplexity, 0)
    fitted = TSNEEmbedding(places.astype(np.float64), affinities, **options)
    middle = (places.max(axis=0) + places.min(axis=0)) / 2  # to which `transform` moves the origin
    return lambda states: np.asarray(fitted.transform(states), np.float32) + middle


def umap_placer(reference: Floats, places: Floats, neighbours: int) -> Placer:
    """What places new states (N, H) among fitted ones, by umap-learn's `transform`."""
    fitted = mapper(places.shape[1], neighbours, 0, places, 0)
    fitted.fit(reference)
    fitted.embedding_, fitted.n_epochs = places, None  # `fit` scales even what it does not move
    return lambda states: np.asarray(fitted.transform(states), np.float32)


def mapper(dims: int, neighbours: int, seed: int, start: Any, epochs: int | None) -> Any:
    """A UMAP that is not yet fitted; `start` is a name or places."""
    with _quiet_umap():
        from umap import UMAP

    options: dict[str, Any] = {"n_components": dims, "n_neighbors": neighbours, "n_jobs": 1}
    return UMAP(min_dist=MIN_DIST, init=start, n_epochs=epochs, random_state=seed, **options)


def _affinities(states: Floats, perplexity: float, seed: int) -> Any:
    from openTSNE.affinity import PerplexityBasedNN

    options: dict[str, Any] = {"perplexity": perplexity, "random_state": seed, "n_jobs": 1}
    return PerplexityBasedNN(states, method="exact", **options)


@contextmanager
def _quiet_umap() -> Iterator[None]:
    """umap-learn warns that it has no TensorFlow, and that every seeded fit uses one thread."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ImportWarning)
        warnings.filterwarnings("ignore", module=r"umap|sklearn|numba")
        warnings.filterwarnings("ignore", message="n_jobs value")
        yield
