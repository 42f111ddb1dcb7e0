"""The columns of the live view: what they show of the past, and what they leave out."""

from __future__ import annotations

import numpy as np
import pytest

from turnstream.stream.live.terminal_history import History

from .terminal_pictures import prediction


def test_columns_lie_at_fixed_times() -> None:
    history = History()
    for frame in range(25):
        history.add(prediction(frame, vad=(frame / 25, 0.0)))
    before = history.columns(10, 100)
    history.add(prediction(25))
    after = history.columns(10, 100)
    assert before.frames == after.frames == 10
    np.testing.assert_array_equal(before.vad[:, :-1], after.vad[:, :-1])
    np.testing.assert_allclose(
        before.vad[0, -2], np.mean([frame / 25 for frame in range(10, 20)]), rtol=1e-6
    )
    assert np.isnan(before.vad[0, :7]).all()


def test_a_column_with_a_change_of_holder_belongs_to_the_new_one() -> None:
    history = History()
    for frame in range(10):
        new = frame >= 7
        history.add(prediction(frame, holder=int(new), p_shift=0.2 if new else 0.9))
    columns = history.columns(1, 10)
    assert columns.holder[0] == 1
    assert columns.p_shift[0] == pytest.approx(0.2)


def test_lost_frames_leave_gaps_and_a_new_conversation_shows_nothing_of_the_old() -> None:
    history = History()
    for frame in (*range(10), *range(30, 40)):
        history.add(prediction(frame))
    assert np.isnan(history.columns(4, 40).vad[0]).tolist() == [False, True, True, False]
    history.add(prediction(0, vad=(0.2, 0.2)))
    assert np.isnan(history.columns(4, 40).vad[0]).tolist() == [True, True, True, False]
    assert history.columns(4, 40).vad[0, -1] == pytest.approx(0.2)
