"""Tensors that are not computed, but cut and joined from columns of matrices that exist.

A step splits its state, puts new frames behind old ones and cuts the result again. If every cut and
join copied its numbers, a batch would spend more time on copies than on some of its products. So
they only note where the numbers are, and one node collects them where a product or the next state
needs them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Columns:
    """Adjacent columns of a matrix of the new graph.

    Attributes:
        matrix: name of the matrix.
        first, last: the first column, and the one after the last.
    """

    matrix: str
    first: int
    last: int


@dataclass(frozen=True)
class Joined:
    """A matrix that consists of columns of others, side by side.

    Attributes:
        pieces: the columns in order. Adjacent columns of one matrix are one piece.
    """

    pieces: tuple[Columns, ...]

    def cut(self, first: int, last: int) -> Joined:
        """Returns the columns from `first` to before `last`."""
        kept: list[Columns] = []
        start = 0
        for piece in self.pieces:
            low, high = (
                min(max(bound - start + piece.first, piece.first), piece.last)
                for bound in (first, last)
            )
            if low < high:
                kept.append(Columns(piece.matrix, low, high))
            start += piece.last - piece.first
        return Joined(tuple(kept))


@dataclass(frozen=True)
class Layers:
    """A tensor (L, R, H): one matrix for each layer of a recurrent network."""

    layers: tuple[Joined, ...]


def join(*matrices: Joined) -> Joined:
    """Returns the matrices side by side."""
    pieces: list[Columns] = []
    for piece in (piece for matrix in matrices for piece in matrix.pieces):
        if pieces and (pieces[-1].matrix, pieces[-1].last) == (piece.matrix, piece.first):
            pieces[-1] = Columns(piece.matrix, pieces[-1].first, piece.last)
        else:
            pieces.append(piece)
    return Joined(tuple(pieces))


def transposed_shape(order: NDArray[np.integer]) -> tuple[int, int] | None:
    """Returns (n, m) if this order of columns transposes a matrix (n, m) stored in a row.

    ONNX Runtime transposes ten times faster than it gathers single columns.
    """
    if len(order) < 4 or order[1] < 2 or len(order) % order[1]:
        return None
    shape = (len(order) // int(order[1]), int(order[1]))
    transposes = np.array_equal(order, np.arange(len(order)).reshape(shape).T.ravel())
    return shape if transposes else None
