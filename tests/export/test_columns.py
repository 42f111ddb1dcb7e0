from __future__ import annotations

import numpy as np
import pytest

from turnstream.export.columns import Columns, Joined, join, transposed_shape

STATE = Joined((Columns("state", 0, 10),))
NEW = Joined((Columns("new", 0, 4),))


def numbers(joined: Joined) -> list[tuple[str, int]]:
    """Return the matrix and the column of every column, in order."""
    return [(p.matrix, column) for p in joined.pieces for column in range(p.first, p.last)]


def test_a_cut_of_a_join_is_the_cut_of_its_columns() -> None:
    joined = join(STATE.cut(2, 10), NEW)
    whole = numbers(joined)
    assert len(whole) == 12
    for first in range(12):
        for last in range(first + 1, 13):
            assert numbers(joined.cut(first, last)) == whole[first:last]


def test_adjacent_cuts_become_one_piece_again() -> None:
    assert join(STATE.cut(0, 3), STATE.cut(3, 7), STATE.cut(7, 10)) == STATE


def test_cuts_in_another_order_stay_apart() -> None:
    swapped = join(STATE.cut(5, 10), STATE.cut(0, 5))
    assert swapped.pieces == (Columns("state", 5, 10), Columns("state", 0, 5))


def test_an_order_that_transposes_a_matrix_is_recognised() -> None:
    order = np.arange(12).reshape(3, 4).T.ravel()
    assert transposed_shape(order) == (3, 4)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [0, 2, 3, 1], [3, 2, 1, 0], [0, 3, 1, 4, 2]])
def test_another_order_is_not_called_a_transposition(order: list[int]) -> None:
    assert transposed_shape(np.array(order)) is None
