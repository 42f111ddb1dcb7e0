"""A fixed plane through the space of latent states, in which a conversation's path can be watched.

The plane is spanned by two principal components of a layer's states in many dialogues: the first,
along which they vary most (speaking or not, as it turns out), and, of the next few, the one that
best tells who is done from who only pauses, which is what the model is for. One is fitted for the
bundled model and shipped with it, so that a state is at the same place in every conversation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.saved_embedding import DenseLayer, Formula

CANDIDATES = 6  # principal components that the second direction is chosen from

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def fit_plane(states: Float32, situations: NDArray[np.str_]) -> Formula:
    """Fit the plane to states of single speakers, (N, H), of SITUATIONS, (N,), as one linear layer.

    Its rows are orthonormal. Among the settings are `principal`, which components they are, from 1,
    and `explained`, the share of the variance that lies in each. Without two states of "done" and
    of "pausing" the second direction is the second principal component.
    """
    mean, directions, explained = principal_directions(states, CANDIDATES)
    places = (states - mean) @ directions[1:].T
    done, pausing = (places[situations == name] for name in ("done", "pausing"))
    second, told = 1, ""
    if min(len(done), len(pausing)) > 1:
        spread = np.sqrt(done.var(axis=0) + pausing.var(axis=0)) + np.finfo(float).tiny
        second += int(np.argmax(np.abs(done.mean(axis=0) - pausing.mean(axis=0)) / spread))
        told = ", the one of the next few that best tells done from pausing"
    chosen = [0, second]
    across, up = (
        f"principal component {number + 1} ({explained[number]:.0%} of the variance)"
        for number in chosen
    )
    about = f"To the right: {across}. Up: {up}{told}."
    principal = [1, second + 1]
    return _linear(mean, directions[chosen], explained[chosen], about, principal=principal)


def fit_pca(states: Float32, dims: int) -> Formula:
    """The first principal components of states (N, H), as one linear layer."""
    mean, rows, explained = principal_directions(states, dims)
    *shares, last = (f"{share:.0%}" for share in explained)
    about = f"The first {dims} principal components, with {', '.join(shares)} and {last} of the "
    return _linear(mean, rows, explained, f"{about}variance.")


def principal_directions(states: Float32, count: int) -> tuple[Float64, Float64, Float64]:
    """Mean (H,), principal directions (K, H) and their shares of variance (K,) of states (N, H)."""
    mean = states.mean(axis=0, dtype=np.float64)
    centred = states - mean
    # Of (H, H): the right singular vectors of (N, H) itself, at little memory.
    _, variances, directions = np.linalg.svd(centred.T @ centred)
    return mean, directions[:count], variances[:count] / max(variances.sum(), np.finfo(float).tiny)


def _linear(
    mean: Float64, rows: Float64, explained: Float64, about: str, **settings: Any
) -> Formula:
    layer = DenseLayer(rows.astype(np.float32), (-rows @ mean).astype(np.float32))
    return Formula((layer,), {**settings, "explained": explained.tolist()}, about=about)
