"""Targets: each value at frames where it can be told by hand, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.dialogues.activity import segments_to_frames
from turnstream.models.latents.cells.targets import TARGETS, find_targets, since, stretches, until
from turnstream.models.latents.collection import Event
from turnstream.models.latents.writing import frame_columns

# 0: speaks 0.5-4, 4.5-7, 12.5-16; 1: 7.5-9.5, 10.2-12, a backchannel at 14.0-14.4, 16.6-19
SEGMENTS = [
    [(0.5, 4.0), (4.5, 7.0), (12.5, 16.0)],
    [(7.5, 9.5), (10.2, 12.0), (14.0, 14.4), (16.6, 19.0)],
]


def event(kind: str, speaker: int, start_s: float, end_s: float) -> Event:
    return Event(0, "d", "", kind, speaker, 1 - speaker, start_s, end_s, "", None, None)


@pytest.fixture(scope="module")
def found() -> dict[str, NDArray[np.float32]]:
    activity = segments_to_frames(SEGMENTS, 1000)
    silences = [
        {"kind": "hold", "start_s": 4.0, "end_s": 4.5, "correct": 1.0},
        {"kind": "shift", "start_s": 7.0, "end_s": 7.5, "correct": 0.0},
    ]
    frames = frame_columns(activity, np.zeros_like(activity), silences) | {
        "p_next": np.full((1000, 2), 0.25)
    }
    frames = {name: np.broadcast_to(values, (1000, 2)) for name, values in frames.items()}
    values = find_targets(frames, [event("backchannel", 1, 14.0, 14.4)], 50.0)
    return {target.name: value for target, value in zip(TARGETS, values, strict=True)}


def at(values: NDArray[np.float32], second: float, speaker: int) -> float:
    return float(values[round(second * 50), speaker])


def test_speech_of_either_and_both(found: dict[str, NDArray[np.float32]]) -> None:
    assert (at(found["own speech"], 1.0, 0), at(found["own speech"], 1.0, 1)) == (1, 0)
    assert (at(found["other's speech"], 1.0, 0), at(found["other's speech"], 1.0, 1)) == (0, 1)
    assert (at(found["overlap"], 14.2, 0), at(found["overlap"], 13.0, 0)) == (1, 0)
    assert np.isnan(at(found["overlap"], 4.2, 0))


def test_times(found: dict[str, NDArray[np.float32]]) -> None:
    assert at(found["time since own speech"], 8.0, 0) == pytest.approx(1.02)
    assert np.isnan(at(found["time since own speech"], 0.2, 0))
    assert np.isnan(at(found["time since own speech"], 1.0, 0))
    assert at(found["time since any speech"], 4.2, 1) == pytest.approx(0.22)
    assert np.isnan(at(found["time since any speech"], 8.0, 0))
    assert at(found["time into own turn"], 11.0, 1) == pytest.approx(
        3.5
    )  # from 7.5 on, the pause between included
    assert np.isnan(at(found["time into own turn"], 14.2, 1))  # a backchannel takes no turn
    assert at(found["time into own turn"], 15.0, 0) == pytest.approx(
        2.5
    )  # nor does it end the other's


def test_an_end_of_turn_is_an_end_of_speech_after_which_the_other_speaks(
    found: dict[str, NDArray[np.float32]],
) -> None:
    speech, turn = found["end of speech within 0.5 s"], found["end of turn within 0.5 s"]
    assert (at(speech, 3.6, 0), at(turn, 3.6, 0)) == (1, 0)  # goes on at 4.5
    assert (at(speech, 6.6, 0), at(turn, 6.6, 0)) == (1, 1)  # the other goes on at 7.5
    assert (at(speech, 6.0, 0), at(turn, 6.0, 0)) == (0, 0)
    assert np.isnan(at(speech, 14.2, 0))  # both speak
    assert np.isnan(at(turn, 8.0, 0))
    np.testing.assert_array_equal(np.flatnonzero(turn[300:350, 0] == 1) + 300, range(325, 350))
    np.testing.assert_array_equal(
        np.flatnonzero(found["end of turn within 1 s"][300:350, 0] == 1) + 300, range(300, 350)
    )


def test_what_the_dialogue_does_not_answer_is_unknown(
    found: dict[str, NDArray[np.float32]],
) -> None:
    assert at(found["end of speech within 0.5 s"], 18.8, 1) == 1
    assert np.isnan(at(found["end of turn within 0.5 s"], 18.8, 1))  # nobody speaks after 19.0
    activity = np.ones((2, 100), bool)
    activity[1] = False
    columns = {
        name: np.broadcast_to(values, (100, 2))
        for name, values in frame_columns(activity, activity & False, []).items()
    }
    alone = find_targets(columns | {"p_next": np.zeros((100, 2))}, [], 50.0)[
        [target.name for target in TARGETS].index("end of speech within 0.5 s")
    ]
    assert (alone[:75, 0] == 0).all()
    assert np.isnan(alone[75:, 0]).all()


def test_shift_and_hold_are_asked_of_who_spoke_before(
    found: dict[str, NDArray[np.float32]],
) -> None:
    values = found["shift, not hold"]
    assert (at(values, 4.2, 0), at(values, 7.2, 0)) == (0, 1)
    assert np.isnan(values[:, 1]).all()
    assert stretches(~np.isnan(values)) == 2


def test_backchannels_now_and_coming(found: dict[str, NDArray[np.float32]]) -> None:
    assert (at(found["own backchannel"], 14.2, 1), at(found["own backchannel"], 8.0, 1)) == (1, 0)
    coming = found["own backchannel within 0.5 s"]
    assert (at(coming, 13.6, 1), at(coming, 13.0, 1)) == (1, 0)
    assert np.isnan(at(coming, 14.2, 1))


def test_since_and_until() -> None:
    flags = np.array([False, True, False, False, True, False])
    np.testing.assert_array_equal(since(flags), [np.nan, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(until(flags), [1, 0, 2, 1, 0, np.nan])
    assert stretches(np.array([[True, False], [True, True], [False, True], [True, False]])) == 3
