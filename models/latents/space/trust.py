"""How far a picture of states can be believed, in figures and in words.

Overlap is the share of each point's nearest neighbours among the states that are its nearest in the
picture. Trustworthiness falls with every point that is near in the picture alone, continuity with
every one that is near among the states alone (Venna & Kaski 2001); both count by rank, and are near
1 of almost any picture. Stability asks which neighbourhoods are there again in another fit: one
that loses half of its members or more (UNSTABLE) is a whim of this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.saved_embedding import SavedEmbedding
from ..drawing import listed

NEIGHBOURS = 15
FIGURES = ("overlap", "trustworthiness", "continuity", "stability")  # as views name them
UNSTABLE = 0.5  # share of neighbours that stay, below which one does not survive a refit
TITLES = {"plane": "plane of two components", "pca": "principal components"}
TITLES |= {"autoencoder": "autoencoder", "tsne": "t-SNE", "umap": "UMAP"}
LAYER_NAMES = {"latent": "last layer", "latent_speaker": "first recurrent layer"}

Float32 = NDArray[np.float32]
Points = NDArray[np.floating[Any]]


def neighbours_of(count: int) -> int:
    """How many neighbours are looked at among so many points."""
    return max(1, min(NEIGHBOURS, (count - 1) // 2))


def faithfulness(states: Float32, places: Float32) -> dict[str, float]:
    """`overlap`, `trustworthiness` and `continuity`, 0 to 1, of states (N, H) and places (N, D)."""
    from sklearn.manifold import trustworthiness

    count = neighbours_of(len(states))
    return {
        "overlap": float(overlap(states, places).mean()),
        "trustworthiness": float(trustworthiness(states, places, n_neighbors=count)),
        "continuity": float(trustworthiness(places, states, n_neighbors=count)),
    }


def overlap(one: Points, other: Points) -> Float32:
    """The share of each point's nearest neighbours that are so in both, 2 x (N, any) -> (N,)."""
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
    """The share of neighbours that stay, mean over refits, (N, D) -> (N,); NaN without refits."""
    if not refits:
        return np.full(len(places), np.nan, np.float32)
    return np.mean([overlap(places, refit) for refit in refits], axis=0).astype(np.float32)


def nearest(places: Points, count: int) -> NDArray[np.int64]:
    """Indices of every point's nearest others, (N, count)."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=count).fit(places).kneighbors(return_distance=False)


def summary(shares: Float32) -> dict[str, float]:
    """Mean stability, chance's, and the share of points that are marked; {} without refits."""
    if np.isnan(shares).any():
        return {}
    return {
        "stability": float(shares.mean()),
        "stability_by_chance": neighbours_of(len(shares)) / (len(shares) - 1),
        "unstable": float((shares < UNSTABLE).mean()),
    }


def stability_at(projection: SavedEmbedding, places: Float32) -> Float32:
    """Stability of the fit's nearest place, (..., D) -> (...); NaN of NaN, and if not measured."""
    found = np.full(places.shape[:-1], np.nan, np.float32)
    known = ~np.isnan(places).any(axis=-1)
    if len(projection.places) and known.any():
        from scipy.spatial import KDTree

        found[known] = projection.stability[KDTree(projection.places).query(places[known])[1]]
    return found


def near_among(states: Float32, count: int) -> NDArray[np.int32]:
    """Indices of every state's nearest others, (N, H) -> (N, count).

    -1 where there are not so many, and for states with NaN, which are nobody's neighbours.
    """
    found = np.full((len(states), count), -1, np.int32)
    known = np.flatnonzero(~np.isnan(states).any(axis=1))
    if (most := min(count, len(known) - 1)) > 0:
        found[known, :most] = known[nearest(states[known], most)]
    return found


def name_of_fit(projection: SavedEmbedding) -> str:
    """Return what a projection is of, such as "t-SNE of the last layer"."""
    layer = LAYER_NAMES.get(projection.layer, projection.layer)
    return f"{TITLES[projection.method]} of the {layer}"


def trust_in_words(projection: SavedEmbedding) -> str:
    """Return how far a projection can be believed: what was measured, and the figures."""
    trust = projection.trust
    if "trustworthiness" not in trust:
        return "How far this can be believed has not been measured."
    judged, again = int(trust["judged"]), "not fitted again, so unknown"
    if "stability" in trust:
        drawn = "dialogues" if projection.settings.get("dialogues", 1) > 1 else "frames"
        drawn = f"on {drawn} drawn with replacement"
        how = drawn if projection.has_formula else "from other random starts"
        again = f"{trust['stability']:.0%} ({trust['stability_by_chance']:.1%} by chance), {how}"
    figures = {
        f"trustworthiness of {judged} points": f"{trust['trustworthiness']:.2f}",
        "continuity": f"{trust['continuity']:.2f} (both count by rank, near 1 for most pictures)",
        "neighbours that stay in a fit made again": again,
        "points that lose more than half of theirs (hollow)": (
            f"{trust['unstable']:.0%}" if "unstable" in trust else ""
        ),
    }
    said = f"{overlap_in_words(trust['overlap'], judged)} " if "overlap" in trust else ""
    whims = " Most neighbourhoods do not survive: who lies beside whom says little."
    return said + f"Measured: {listed(figures)}" + whims * (trust.get("unstable", 0) > UNSTABLE)


def figures_in_words(projection: SavedEmbedding) -> str:
    """Return the figures of a projection's trust; "" where none was measured."""
    found = [f"{name} {projection.trust[name]:.2f}" for name in FIGURES if name in projection.trust]
    return ", ".join(found)
