"""The definitions of events, on hand-made cases."""

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.dialogues.activity import segments_to_frames
from turnstream.models.dialogues.events import (
    Onset,
    Pause,
    Transition,
    find_backchannel_windows,
    find_onsets,
    find_pauses,
    find_transitions,
    floor_around,
    with_last_speech,
)
from turnstream.stream.errors import DialogueError

Segments = list[tuple[float, float]]
Floor = NDArray[np.bool_]


def speech(first: Segments, second: Segments, seconds: float = 10.0) -> Floor:
    return segments_to_frames([first, second], round(seconds * 50))


def transitions(first: Segments, second: Segments) -> list[Transition]:
    return find_transitions(speech(first, second))


def test_the_other_speaker_after_silence_is_a_shift():
    assert transitions([(2.0, 4.0)], [(4.5, 6.0)]) == [Transition("shift", 0, 1, 200, 225)]


def test_the_same_speaker_after_silence_is_a_hold():
    assert transitions([], [(2.0, 4.0), (4.5, 6.0)]) == [Transition("hold", 1, 1, 200, 225)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([(2.0, 4.0)], [(4.2, 6.0)]),  # silence too short
        ([(1.0, 2.9)], [(3.5, 5.0)]),  # too early
        ([(2.0, 4.0)], [(3.2, 3.4), (4.5, 6.0)]),  # both active in the second before
        ([(2.0, 4.0), (5.0, 5.2)], [(4.5, 6.0)]),  # both active in the second after
        ([(2.0, 4.0), (4.5, 6.0)], [(4.5, 6.0)]),  # both start at once
        ([(2.0, 4.0)], [(3.0, 4.5)]),  # overlap, no silence
        ([(2.0, 4.0)], []),  # nobody continues
    ],
)
def test_what_is_neither(first: Segments, second: Segments):
    assert transitions(first, second) == []


def test_a_silence_of_exactly_a_quarter_second_counts_from_the_frame_that_fills_it():
    assert len(transitions([(2.0, 4.0)], [(4.26, 6.0)])) == 1  # 13 frames of 20 ms
    assert len(transitions([(2.0, 4.0)], [(4.24, 6.0)])) == 0


@pytest.mark.parametrize(
    ("first", "scored"),
    [
        ([(2.0, 4.0)], True),
        ([(2.0, 3.4), (3.5, 4.0)], True),  # half a second without a break is long enough
        ([(2.0, 3.5), (3.6, 4.0)], False),  # a break in the last half second
        ([(2.0, 3.5)], True),
        ([(2.0, 3.4)], False),  # that half second begins before the third second
    ],
)
def test_shift_prediction_wants_half_a_second_of_unbroken_speech(first: Segments, scored: bool):
    activity = speech(first, [(4.5, 6.0)])
    found = find_transitions(activity)
    assert len(found) == 1
    assert with_last_speech(activity, found) == (found if scored else [])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # One second is enough; a long onset is not also a short one
        ([(2.0, 4.0)], [(4.5, 5.5)], [Onset("long", 1, 225, 275)]),
        ([(2.0, 4.0)], [(4.5, 5.4)], [Onset("short", 1, 225, 270)]),  # after a shift, but short
        ([(2.0, 4.0), (4.5, 6.0)], [], []),  # long, but after a hold
        # In the middle of the other's speech
        ([(2.0, 9.0)], [(4.5, 5.0)], [Onset("short", 1, 225, 250)]),
        ([(0.0, 9.0)], [(4.5, 5.5)], [Onset("short", 1, 225, 275)]),  # a second is still short
        ([(0.0, 9.0)], [(4.5, 5.52)], []),  # longer than a second
        ([(0.0, 9.0)], [(4.5, 5.0), (5.9, 6.3)], []),  # too close to each other
        (
            [(0.0, 9.0)],
            [(4.5, 5.0), (6.0, 6.3)],
            [Onset("short", 1, 225, 250), Onset("short", 1, 300, 315)],
        ),
        ([(0.0, 9.0)], [(2.9, 3.3)], []),  # in the first three seconds
        ([(0.0, 9.0)], [(8.7, 9.1)], []),  # the dialogue ends before a second of silence does
    ],
)
def test_onsets_are_long_or_short(first: Segments, second: Segments, expected: list[Onset]):
    assert find_onsets(speech(first, second)) == expected
    mirrored = [
        Onset(onset.kind, 1 - onset.speaker, onset.start_frame, onset.end_frame)
        for onset in expected
    ]
    assert find_onsets(speech(second, first)) == mirrored


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # From the third second to two before the end
        ([(0.0, 6.5)], [], [("none", 1, 150), ("none", 1, 175), ("none", 1, 200)]),
        ([(0.0, 6.48)], [], [("none", 1, 150), ("none", 1, 175)]),
        ([(4.0, 7.5)], [], [("none", 1, 250)]),  # a second after the start
        ([(4.0, 5.2), (6.0, 7.5)], [], [("none", 1, 250)]),  # a pause of its own does not end it
        # Speech of the other ends it
        ([(4.0, 5.2), (6.0, 7.5)], [(5.4, 5.7)], [("backchannel", 1, 245)]),
        ([(0.0, 4.0)], [(3.5, 3.8)], [("backchannel", 1, 150)]),
        ([(0.0, 4.0)], [(3.48, 3.8)], []),  # the window before it begins too early
        ([], [(0.0, 6.0)], [("none", 0, 150), ("none", 0, 175)]),
    ],
)
def test_backchannel_windows(
    first: Segments, second: Segments, expected: list[tuple[str, int, int]]
):
    assert [
        (w.kind, w.listener, w.start_frame) for w in find_backchannel_windows(speech(first, second))
    ] == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([(0.2, 1.0), (1.5, 3.0)], [], [Pause("hold", 0, 50, 75)]),
        ([(0.2, 1.0)], [(1.5, 10.0)], [Pause("end", 0, 50, 500)]),
        ([(0.2, 1.0), (1.18, 10.0)], [], []),  # shorter than 0.2 s
        ([(0.2, 1.0), (1.2, 10.0)], [], [Pause("hold", 0, 50, 60)]),
        # It began while the other spoke, and the other spoke until the silence
        ([(0.2, 1.0)], [(0.9, 2.0)], []),
        # The same with a break of 0.18 s at its start
        ([(0.2, 1.0)], [(0.5, 0.98), (1.16, 3.0)], []),
        # A break of 0.2 s is a pause
        ([(0.2, 1.0)], [(0.5, 0.98), (1.18, 3.0)], [Pause("end", 0, 50, 500)]),
        ([(0.2, 1.0), (6.02, 10.0)], [], []),  # longer than 5 s
        ([(0.2, 1.0), (6.0, 10.0)], [], [Pause("hold", 0, 50, 300)]),
        ([(0.2, 1.0)], [(7.0, 10.0)], [Pause("end", 0, 50, 500)]),  # a late answer is still an end
        ([(0.2, 1.0), (1.5, 10.0)], [(1.5, 10.0)], [Pause("hold", 0, 50, 75)]),  # both at once
    ],
)
def test_a_pause_is_a_hold_or_an_end(first: Segments, second: Segments, expected: list[Pause]):
    assert find_pauses(speech(first, second)) == expected
    mirrored = [
        Pause(pause.kind, 1 - pause.speaker, pause.start_frame, pause.end_frame)
        for pause in expected
    ]
    assert find_pauses(speech(second, first)) == sorted(mirrored, key=lambda pause: pause.speaker)


@pytest.mark.parametrize(
    ("other", "resumes_s", "expected"),
    [
        ([(1.4, 1.8)], 2.4, None),  # a short answer, then the speaker continues
        ([(1.4, 2.38)], 2.4, None),  # 0.98 s
        ([(1.4, 2.4)], 2.6, "end"),  # 1 s
        ([(1.4, 1.8), (2.2, 2.8)], 3.2, "end"),  # a short answer, then more of it: 1 s in all
        ([(1.4, 1.8), (2.2, 2.78)], 3.2, None),  # 0.98 s in all; the silence between adds nothing
        ([(1.4, 1.8), (1.98, 2.4)], 3.2, "end"),  # a break of 0.18 s counts as speech
        ([(1.4, 1.8), (2.0, 2.4)], 3.2, None),  # a silence of 0.2 s does not
        # What begins after the speaker continued does not count
        ([(1.4, 1.8), (3.0, 6.0)], 2.4, None),
        ([(1.4, 4.0)], 1.6, "end"),  # the speaker says something while the other has the floor
        ([(1.4, 1.8), (1.96, 4.0)], 1.9, "end"),  # also in a short break of the other
        ([(1.4, 1.8)], 1.5, None),  # both at once for a moment, and the speaker keeps the floor
        # What the other said before the pause does not count
        ([(0.1, 0.9), (1.4, 1.8)], 2.4, None),
        ([(0.5, 1.1), (1.4, 3.0)], 4.0, None),  # the other was speaking when the pause began
        # The speaker never continues, and the other does not take the floor
        ([(1.4, 1.8)], 10.0, None),
        ([(9.2, 10.0)], 10.0, None),  # the dialogue ends before a second was spoken
        ([(9.0, 10.0)], 10.0, "end"),
    ],
)
def test_the_other_takes_the_floor_with_a_second_of_speech(
    other: Segments, resumes_s: float, expected: str | None
):
    activity = speech([(0.2, 1.0), (resumes_s, 10.0)], other)
    found = [
        pause for pause in find_pauses(activity) if (pause.speaker, pause.start_frame) == (0, 50)
    ]
    assert [pause.kind for pause in found] == ([] if expected is None else [expected])
    assert all(pause.end_frame == round(resumes_s * 50) for pause in found)


@pytest.mark.parametrize(
    "find", [find_transitions, find_onsets, find_backchannel_windows, find_pauses, floor_around]
)
def test_activity_of_one_speaker_is_refused(find):
    with pytest.raises(DialogueError, match=r"two speakers, \(2, T\), got shape \(1, 100\)"):
        find(np.zeros((1, 100), bool))
