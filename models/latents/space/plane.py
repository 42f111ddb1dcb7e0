"""A fixed plane through the space of latent states, in which a conversation's path can be watched.

The plane is spanned by two principal components of a layer's states in many dialogues: the first,
along which they vary most (speaking or not, as it turns out), and, of the next few, the one that
best tells who is done from who only pauses, which is what the model is for. One such plane is
fitted for the bundled model and shipped with it, so that the same state is at the same place in
every conversation:

    turnstream latents project COLLECTION --method plane --out plane.json
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ....stream.saved_embedding import DenseLayer, Formula

CANDIDATES = 6  # principal components that the second direction is chosen from

Float32 = NDArray[np.float32]


def fit_plane(states: Float32, situations: NDArray[np.str_]) -> Formula:
    """Fit the plane; the same states give the same plane up to the signs of its directions.

    Without states of both "done" and "pausing" the second direction is the second principal
    component.

    Args:
        states: of single speakers, (N, H).
        situations: of each, one of SITUATIONS, (N,).
    Returns:
        One linear layer with orthonormal rows; `principal`, which components these are, from 1, and
        `explained`, the share of the variance that lies in each, among the settings.
    Raises:
        ConfigError: fewer than three states, or shapes that do not fit.
    """
    if (
        states.ndim != 2
        or states.shape[0] < 3
        or states.shape[1] < 2
        or situations.shape != states.shape[:1]
    ):
        raise ConfigError(
            f"expected at least 3 states (N, H >= 2) and their situations (N,), got {states.shape} "
            f"and {situations.shape}"
        )
    mean, directions, explained = principal_directions(states, CANDIDATES)
    places = (states - mean) @ directions.T
    done, pausing = (places[situations == name] for name in ("done", "pausing"))
    chosen = [0, 1 + _most_telling(done[:, 1:], pausing[:, 1:])]
    rows = directions[chosen]
    across, up = (
        f"principal component {number + 1} ({explained[number]:.0%} of the variance)"
        for number in chosen
    )
    told = (
        ", the one of the next few that best tells done from pausing"
        if len(done) > 1 and len(pausing) > 1
        else ""
    )
    return Formula(
        (DenseLayer(rows.astype(np.float32), (-rows @ mean).astype(np.float32)),),
        settings={
            "principal": [number + 1 for number in chosen],
            "explained": [float(explained[number]) for number in chosen],
        },
        about=f"To the right: {across}. Up: {up}{told}.",
    )


def fit_pca(states: Float32, dims: int) -> Formula:
    """The first principal components, as one linear layer.

    Args:
        states: (N, H).
        dims: how many.
    """
    mean, rows, explained = principal_directions(states, dims)
    shares = [f"{share:.0%}" for share in explained]
    return Formula(
        (DenseLayer(rows.astype(np.float32), (-rows @ mean).astype(np.float32)),),
        settings={"explained": [float(share) for share in explained]},
        about=f"The first {dims} principal components, with {', '.join(shares[:-1])} and "
        f"{shares[-1]} of the variance.",
    )


def principal_directions(
    states: Float32, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean (H,), principal directions (K, H) and their shares of variance (K,) of states (N, H)."""
    mean = states.mean(axis=0, dtype=np.float64)
    centred = states - mean
    _, variances, directions = np.linalg.svd(
        centred.T @ centred
    )  # (H, H): the right singular vectors of (N, H) itself, at little memory
    return mean, directions[:count], variances[:count] / max(variances.sum(), np.finfo(float).tiny)


def _most_telling(done: NDArray[np.float64], pausing: NDArray[np.float64]) -> int:
    """The column in which the two (N, K) lie farthest apart, by spread; the first without both."""
    if len(done) < 2 or len(pausing) < 2:
        return 0
    spread = np.sqrt(done.var(axis=0) + pausing.var(axis=0)) + np.finfo(float).tiny
    return int(np.argmax(np.abs(done.mean(axis=0) - pausing.mean(axis=0)) / spread))
