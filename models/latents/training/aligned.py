"""One picture for many stages of a network, in which what does not change does not move.

Fitted one by one, t-SNE and UMAP turn, mirror and rearrange the picture from stage to stage. Here
all stages are fitted together: principal components of all at once, or t-SNE or UMAP with a penalty
on ways between stages (space/embed.py). Before, they are turned onto each other in their own space
(orthogonal Procrustes, Schoenemann 1966), so that networks whose units are in another order, or
whose layers have another width, can be compared: a turn changes no distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ..bars import bar
from ..space.embed import NEIGHBOURS, PERPLEXITY, fit_tsne, fit_umap
from ..space.trust import overlap

METHODS = ("pca", "tsne", "umap")
STILL_SHARE = 0.1  # of the points; whose neighbours change least are called still
LEAST_POINTS = 30

Floats = NDArray[np.floating[Any]]
Stages = Sequence[Floats]


@dataclass(frozen=True)
class Drift:
    """How still a picture is, mean over stages: medians of ways in units of its `radius`.

    Attributes:
        still: of the STILL_SHARE of points whose neighbours change least.
        all: of all points.
        same: of all points where a stage comes twice: what is left is the projection's whim.
        overlap: of neighbours in states and picture (trust.py): what holding still costs.
    """

    still: float
    all: float
    same: float
    overlap: float


def turned_onto(stage: Floats, reference: Floats) -> Floats:
    """A stage (N, H), turned, mirrored and moved to lie as near as it can to a reference (N, K).

    The narrower of the two counts as having zeros in the missing directions: (N, max(H, K)).
    """
    from scipy.linalg import orthogonal_procrustes

    width = max(stage.shape[1], reference.shape[1])
    a, b = (_widened(x.astype(np.float64), width) for x in (stage, reference))
    turn, _ = orthogonal_procrustes(a - a.mean(axis=0), b - b.mean(axis=0))
    return (a - a.mean(axis=0)) @ turn + b.mean(axis=0)


def turned_stages(stages: Stages) -> list[Floats]:
    """Every stage turned onto the one after it, from the last one back, (N, H) each."""
    turned: list[Floats] = [stages[-1].astype(np.float64)]
    for stage in reversed(stages[:-1]):
        turned.insert(0, turned_onto(stage, turned[0]))
    return [_widened(stage, max(stage.shape[1] for stage in turned)) for stage in turned]


def fit_together(stages: Stages, method: str, dims: int = 2, seed: int = 0) -> Floats:
    """Places of all points at all stages, in one picture by one of METHODS, (E, N, dims).

    Stages are states of the same N points, (N, H) each; H may differ. ConfigError if there are too
    few points, or for another method.
    """
    if len(stages[0]) < LEAST_POINTS:
        raise ConfigError(f"expected at least {LEAST_POINTS} points, got {len(stages[0])}")
    if not all(np.isfinite(stage).all() for stage in stages):
        raise ConfigError("expected numbers in all states, got NaN or infinity")
    return _fit(turned_stages(stages), method, dims, seed)


def fit_apart(stages: Stages, method: str, dims: int = 2, seed: int = 0) -> Floats:
    """Each stage fitted on its own, then turned onto the one before it, (E, N, dims)."""
    places: list[Floats] = []
    for number, stage in enumerate(bar(stages, "stages fitted apart", "stage")):
        fitted = _fit([stage.astype(np.float64)], method, dims, seed + number)[0]
        places.append(turned_onto(fitted, places[-1]) if places else fitted)
    return np.stack(places)


def measure_drift(stages: Stages, places: Floats, same: Floats) -> Drift:
    """How still places of stages are, (E, N, D).

    `same` are places of two stages that are the same states twice, by the same method, (2, N, D).
    """
    ways = np.linalg.norm(np.diff(places, axis=0), axis=2) / radius(places)
    still: list[np.floating[Any]] = []
    for (before, after), way in zip(pairwise(stages), ways, strict=True):
        kept = overlap(before, after)
        stillest = np.argsort(-kept, kind="stable")[: max(1, round(STILL_SHARE * len(kept)))]
        still.append(np.median(way[stillest]))
    faithful = [overlap(stage, place).mean() for stage, place in zip(stages, places, strict=True)]
    return Drift(
        float(np.mean(still)),
        float(np.median(ways, axis=1).mean()),
        float(np.median(np.linalg.norm(same[1] - same[0], axis=1)) / radius(same)),
        float(np.mean(faithful)),
    )


def radius(places: Floats) -> float:
    """Root mean square distance of places, (..., D), from their middle."""
    flat = places.reshape(-1, places.shape[-1])
    return float(np.sqrt(((flat - flat.mean(axis=0)) ** 2).sum(axis=1).mean())) or 1.0


def _widened(stage: Floats, width: int) -> Floats:
    return np.pad(stage, ((0, 0), (0, width - stage.shape[1])))


def _fit(stages: Sequence[Floats], method: str, dims: int, seed: int) -> Floats:
    most = len(stages[0]) - 1
    if method == "pca":
        from sklearn.decomposition import PCA

        fitted = PCA(dims, random_state=seed).fit(np.concatenate(stages))
        return np.stack([fitted.transform(stage) for stage in stages])
    if method == "tsne":
        return fit_tsne(stages, dims, min(PERPLEXITY, most // 3), seed)
    if method == "umap":
        return fit_umap(stages, dims, min(NEIGHBOURS, most), seed)
    raise ConfigError(f"expected a method, one of {', '.join(METHODS)}, got {method!r}")
