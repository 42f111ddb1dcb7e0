"""The embedding space of stop points: principal components of unlabelled speech.

Networks predict a teacher's embeddings in this space, and judges score them in it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIT_STOP_POINTS = 20000
SMALLEST_DEVIATION = 1e-4


@dataclass(frozen=True)
class StopPointSpace:
    """Principal components of standardised embeddings.

    Attributes:
        mean, scale: of each dimension of an embedding, (D,).
        basis: directions of the components, (D, E).
        deviation: standard deviation of each component, (E,).
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    basis: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @classmethod
    def fit(cls, embeddings: NDArray[np.float16], count: int) -> StopPointSpace:
        """Fit the first `count` components of embeddings (P, D)."""
        sample = embeddings[:FIT_STOP_POINTS].astype(np.float32)
        mean, scale = sample.mean(axis=0), sample.std(axis=0) + SMALLEST_DEVIATION
        standard = (sample - mean) / scale
        values, vectors = np.linalg.eigh(np.cov(standard, rowvar=False))
        basis = vectors[:, np.argsort(values)[::-1][:count]].astype(np.float32)
        return cls(mean, scale, basis, (standard @ basis).std(axis=0))

    def coordinates(self, embeddings: NDArray[Any]) -> NDArray[np.float32]:
        """Transform embeddings (P, D) into components (P, E)."""
        standard: NDArray[np.float32] = (embeddings.astype(np.float32) - self.mean) / self.scale
        return standard @ self.basis

    def coordinates_of(self, embeddings: NDArray[np.float16]) -> NDArray[np.float32]:
        """Transform very many embeddings, in parts, to save memory."""
        return np.concatenate(
            [
                self.coordinates(part)
                for part in np.array_split(embeddings, max(1, len(embeddings) // 5000))
            ]
        )

    def save(self, path: Path) -> None:
        np.savez(path, **dataclasses.asdict(self))

    @classmethod
    def load(cls, path: Path) -> StopPointSpace:
        # np.load on a path would leave a broken archive open.
        with path.open("rb") as file, np.load(file) as stored:
            return cls(**{field.name: stored[field.name] for field in dataclasses.fields(cls)})
