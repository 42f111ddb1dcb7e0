"""Targets: each value at frames where it can be told by hand, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.dialogues.activity import segments_to_frames
from turnstream.models.latents.cells.targets import TARGETS, find_targets, since, stretches, until
from turnstream.models.latents.collection import Event
from turnstream.models.latents.writing import frame_columns

from ..conftest import SEGMENTS

# 0: speaks 0.5-4, 4.5-7, 12.5-16; 1: 7.5-9.5, 10.2-12, a backchannel at 14.0-14.4, 16.6-19
REACTION = Event(0, "d", "", "backchannel", 1, 0, 14.0, 14.4, "", None, None)
SILENCES = [
    {"kind": "hold", "start_s": 4.0, "end_s": 4.5, "correct": 1.0},
    {"kind": "shift", "start_s": 7.0, "end_s": 7.5, "correct": 0.0},
]
NAN = float("nan")

Found = dict[str, NDArray[np.float32]]


def targets_of(activity: NDArray[np.bool_], silences: list, reactions: list[Event]) -> Found:
    columns = frame_columns(activity, np.zeros_like(activity), silences)
    columns |= {"p_next": np.full((activity.shape[1], 2), 0.25)}
    frames = {n: np.broadcast_to(values, activity.T.shape) for n, values in columns.items()}
    values = find_targets(frames, reactions, 50.0)
    return {target.name: value for target, value in zip(TARGETS, values, strict=True)}


@pytest.fixture(scope="module")
def found() -> Found:
    return targets_of(segments_to_frames(SEGMENTS, 1000), SILENCES, [REACTION])


@pytest.mark.parametrize(
    ("target", "expected"),  # by second and speaker
    [
        ("own speech", {(1.0, 0): 1, (1.0, 1): 0}),
        ("other's speech", {(1.0, 0): 0, (1.0, 1): 1}),
        ("overlap", {(14.2, 0): 1, (13.0, 0): 0, (4.2, 0): NAN}),
        ("time since own speech", {(8.0, 0): 1.02, (0.2, 0): NAN, (1.0, 0): NAN}),
        ("time since any speech", {(4.2, 1): 0.22, (8.0, 0): NAN}),
        # From 7.5 on, the pause between included. A backchannel takes no turn, and ends none.
        ("time into own turn", {(11.0, 1): 3.5, (14.2, 1): NAN, (15.0, 0): 2.5}),
        # Goes on at 4.5; the other goes on at 7.5; both speak at 14.2; nobody does after 19.0.
        ("end of speech within 0.5 s", {(3.6, 0): 1, (6.6, 0): 1, (6.0, 0): 0, (14.2, 0): NAN}),
        ("end of speech within 0.5 s", {(18.8, 1): 1}),
        ("end of turn within 0.5 s", {(3.6, 0): 0, (6.6, 0): 1, (6.0, 0): 0, (8.0, 0): NAN}),
        ("end of turn within 0.5 s", {(18.8, 1): NAN}),
        ("shift, not hold", {(4.2, 0): 0, (7.2, 0): 1}),
        ("own backchannel", {(14.2, 1): 1, (8.0, 1): 0}),
        ("own backchannel within 0.5 s", {(13.6, 1): 1, (13.0, 1): 0, (14.2, 1): NAN}),
    ],
)
def test_values_are_those_told_by_hand(
    found: Found, target: str, expected: dict[tuple[float, int], float]
) -> None:
    values = [found[target][round(second * 50), speaker] for second, speaker in expected]
    assert values == pytest.approx([*expected.values()], nan_ok=True)


def test_an_end_of_turn_comes_from_so_long_before_it_on(found: Found) -> None:
    for ahead_s, frames in (("0.5", range(325, 350)), ("1", range(300, 350))):
        coming = found[f"end of turn within {ahead_s} s"][300:350, 0] == 1
        np.testing.assert_array_equal(np.flatnonzero(coming) + 300, frames)


def test_what_the_dialogue_does_not_answer_is_unknown() -> None:
    activity = np.array([[True], [False]]).repeat(100, axis=1)
    alone = targets_of(activity, [], [])["end of speech within 0.5 s"]
    assert (alone[:75, 0] == 0).all()
    assert np.isnan(alone[75:, 0]).all()


def test_shift_and_hold_are_asked_of_who_spoke_before(found: Found) -> None:
    assert np.isnan(found["shift, not hold"][:, 1]).all()
    assert stretches(~np.isnan(found["shift, not hold"])) == 2


def test_since_and_until() -> None:
    flags = np.array([False, True, False, False, True, False])
    np.testing.assert_array_equal(since(flags), [np.nan, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(until(flags), [1, 0, 2, 1, 0, np.nan])
    assert stretches(np.array([[True, False], [True, True], [False, True], [True, False]])) == 3
