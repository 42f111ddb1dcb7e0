"""One picture for many stages of a network, in which what does not change does not move.

Fitted one by one, t-SNE and UMAP turn, mirror and rearrange the picture from stage to stage, and an
animation shows their whims. Here all stages are fitted together:

- pca: principal components of all stages at once.
- tsne, umap: with a penalty on ways between stages (space/embed.py).

Stages are first turned onto each other in their own space (orthogonal Procrustes), so that networks
whose units are in another order, or whose layers have another width, can be compared: a turn
changes no distance. How still the picture is, is measured: `drift` compares points that did not
change with their places, beside projections that were fitted apart and only turned onto each other.

Source: Schoenemann 1966 for orthogonal Procrustes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ..space.embed import NEIGHBOURS, PERPLEXITY, fit_tsne, fit_umap
from ..space.trust import overlap

METHODS = ("pca", "tsne", "umap")
STILL_SHARE = (
    0.1  # of the points, those whose neighbours change least, are called still between two stages
)
LEAST_POINTS = 30

Floats = NDArray[np.float64]
Stages = Sequence[NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class Drift:
    """How still a picture is: medians over points, in units of its radius.

    The radius is the root mean square distance from its middle.

    Attributes:
        still: way between two stages of the STILL_SHARE of points whose neighbours change least,
            mean over stages.
        all: of all points.
        same: way of all points between two stages that are the same states twice: what is left is
            the projection's whim.
        overlap: of neighbours in the states and in the pictures (trust.py), mean over stages: what
            holding still costs.
    """

    still: float
    all: float
    same: float
    overlap: float


def turned_onto(stage: NDArray[np.floating[Any]], reference: NDArray[np.floating[Any]]) -> Floats:
    """A stage centred, and turned (and mirrored) to lie as near as it can to a reference.

    The reference has the same points and is centred, too.

    Args:
        stage: (N, H).
        reference: (N, K); the narrower of the two counts as having zeros in the missing directions.
    Returns:
        (N, max(H, K)).
    """
    from scipy.linalg import orthogonal_procrustes

    width = max(stage.shape[1], reference.shape[1])
    a, b = (
        np.pad(x.astype(np.float64), ((0, 0), (0, width - x.shape[1]))) for x in (stage, reference)
    )
    turn, _ = orthogonal_procrustes(a - a.mean(axis=0), b - b.mean(axis=0))
    return (a - a.mean(axis=0)) @ turn + b.mean(axis=0)


def turned_stages(stages: Stages) -> list[Floats]:
    """Every stage turned onto the one after it, from the last one back, (N, H) each."""
    check_stages(stages)
    turned = [stages[-1].astype(np.float64)]
    for stage in reversed(stages[:-1]):
        turned.insert(0, turned_onto(stage, turned[0]))
    width = max(stage.shape[1] for stage in turned)
    return [np.pad(stage, ((0, 0), (0, width - stage.shape[1]))) for stage in turned]


def fit_together(
    stages: Stages,
    method: str,
    dims: int = 2,
    seed: int = 0,
    advance: Callable[[], object] = lambda: None,
) -> Floats:
    """Places of all points at all stages, in one picture.

    Args:
        stages: states of the same N points, (N, H) each; H may differ.
        method: one of METHODS.
        dims: of the picture.
        seed: of everything drawn.
        advance: called now and then, `work` times in all.
    Returns:
        (E, N, dims).
    Raises:
        ConfigError: stages that do not fit together, too few points, or another method.
    """
    turned = turned_stages(stages)
    return _fit(turned, method, dims, seed, advance)


def fit_apart(stages: Stages, method: str, dims: int = 2, seed: int = 0) -> Floats:
    """Each stage fitted on its own, then turned onto the one before it, (E, N, dims)."""
    check_stages(stages)
    places: list[Floats] = []
    for number, stage in enumerate(stages):
        fitted = _fit([stage.astype(np.float64)], method, dims, seed + number)[0]
        places.append(turned_onto(fitted, places[-1]) if places else fitted)
    return np.stack(places)


def measure_drift(stages: Stages, places: Floats, same: Floats) -> Drift:
    """How still a picture is.

    Args:
        stages: the states, (N, H) each.
        places: of them, (E, N, D).
        same: places of two stages that are the same states twice, by the same method, (2, N, D).
    """
    size = radius(places)
    still: list[float] = []
    ways: list[float] = []
    for before, after in zip(range(len(stages) - 1), range(1, len(stages)), strict=True):
        kept = overlap(stages[before], stages[after])
        way = np.linalg.norm(places[after] - places[before], axis=1) / size
        stillest = np.argsort(-kept, kind="stable")[: max(1, round(STILL_SHARE * len(kept)))]
        still.append(float(np.median(way[stillest])))
        ways.append(float(np.median(way)))
    faithful = [overlap(stage, place).mean() for stage, place in zip(stages, places, strict=True)]
    return Drift(
        float(np.mean(still)),
        float(np.mean(ways)),
        float(np.median(np.linalg.norm(same[1] - same[0], axis=1)) / radius(same)),
        float(np.mean(faithful)),
    )


def check_stages(stages: Stages) -> None:
    """Raises ConfigError for stages that cannot be shown together."""
    if len(stages) < 2:
        raise ConfigError(f"expected states of at least 2 stages, got {len(stages)}")
    shapes = [stage.shape for stage in stages]
    if any(len(shape) != 2 or shape[0] != shapes[0][0] or shape[1] < 2 for shape in shapes):
        raise ConfigError(
            "expected states (N, H >= 2) of the same N points at every stage, got shapes "
            f"{', '.join(map(str, shapes))}"
        )
    if shapes[0][0] < LEAST_POINTS:
        raise ConfigError(f"expected at least {LEAST_POINTS} points, got {shapes[0][0]}")
    if not all(np.isfinite(stage).all() for stage in stages):
        raise ConfigError("expected numbers in all states, got NaN or infinity")


def radius(places: Floats) -> float:
    """Root mean square distance of places, (..., D), from their middle."""
    flat = places.reshape(-1, places.shape[-1])
    return float(np.sqrt(((flat - flat.mean(axis=0)) ** 2).sum(axis=1).mean())) or 1.0


def _fit(
    stages: Sequence[Floats],
    method: str,
    dims: int,
    seed: int,
    advance: Callable[[], object] = lambda: None,
) -> Floats:
    count = len(stages[0])
    if method == "pca":
        from sklearn.decomposition import PCA

        fitted = PCA(dims, random_state=seed).fit(np.concatenate(stages))
        return np.stack([fitted.transform(stage) for stage in stages])
    if method == "tsne":
        perplexity = min(PERPLEXITY, (count - 1) // 3)
        return np.asarray(fit_tsne(stages, dims, perplexity, seed, advance=advance), np.float64)
    if method == "umap":
        return np.asarray(fit_umap(stages, dims, min(NEIGHBOURS, count - 1), seed), np.float64)
    raise ConfigError(f"expected a method, one of {', '.join(METHODS)}, got {method!r}")
