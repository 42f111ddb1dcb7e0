"""How far a picture of states can be believed.

Overlap is the share of each point's nearest neighbours among the states that are its nearest in the picture: what a reader takes for alike.

Trustworthiness falls with every point that is near in the picture and not among the states; continuity, with every one that is near
among the states and not in the picture (Venna & Kaski 2001). Both count by rank, and so are near 1 of almost any picture of many points. Stability asks which neighbourhoods of the picture are there again when the
projection is fitted again. A neighbourhood that loses half of its members or more (UNSTABLE) is a whim of this fit, and is marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 15
FIGURES = ("overlap", "trustworthiness", "continuity", "stability")  # as views name them
UNSTABLE = 0.5  # share of neighbours that stay, below which a neighbourhood does not count as surviving a refit

Float32 = NDArray[np.float32]
Points = NDArray[np.floating[Any]]


def neighbours_of(count: int) -> int:
    """How many neighbours are looked at among so many points."""
    return max(1, min(NEIGHBOURS, (count - 1) // 2))


def faithfulness(states: Float32, places: Float32) -> dict[str, float]:
    """`overlap`, `trustworthiness` and `continuity`, from 0 to 1 (every neighbour is one in both).

    Args:
        states: (N, H).
        places: of the same, (N, D).
    """
    from sklearn.manifold import trustworthiness

    count = neighbours_of(len(states))
    return {
        "overlap": float(overlap(states, places).mean()),
        "trustworthiness": float(trustworthiness(states, places, n_neighbors=count)),
        "continuity": float(trustworthiness(places, states, n_neighbors=count)),
    }


def overlap(one: Points, other: Points) -> Float32:
    """Of each point, the share of its nearest neighbours in one space that are so in the other, (N,).

    Args:
        one, other: the same points, (N, any) each.
    """
    count = neighbours_of(len(one))
    near, there = nearest(one, count), nearest(other, count)
    shared = (near[:, :, None] == there[:, None, :]).any(axis=2)
    return shared.mean(axis=1).astype(np.float32)


def overlap_in_words(share: float, count: int) -> str:
    """Return the mean overlap of so many points, beside chance, as a sentence."""
    neighbours = neighbours_of(count)
    return (
        f"{share:.0%} of a point's {neighbours} nearest neighbours among the full states are its "
        f"nearest here, too ({neighbours / (count - 1):.1%} by chance)."
    )


def stability(places: Float32, refits: Sequence[Float32]) -> Float32:
    """Of each point, the share of its nearest neighbours that are among them in a refit, the mean over refits, (N,); NaN without any.

    Args:
        places: (N, D).
        refits: places of the same points in other fits, (N, any).
    """
    if not refits:
        return np.full(len(places), np.nan, np.float32)
    return np.mean([overlap(places, refit) for refit in refits], axis=0).astype(np.float32)


def nearest(places: Points, count: int) -> NDArray[np.int64]:
    """Indices of every point's nearest others, (N, count)."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=count).fit(places).kneighbors(return_distance=False)


def summary(shares: Float32) -> dict[str, float]:
    """What stability amounts to: its mean, what chance would give, and the share of points that are marked. Empty without refits."""
    if np.isnan(shares).any():
        return {}
    chance = neighbours_of(len(shares)) / (len(shares) - 1)
    return {
        "stability": float(shares.mean()),
        "stability_by_chance": chance,
        "unstable": float((shares < UNSTABLE).mean()),
    }
