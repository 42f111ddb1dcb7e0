import numpy as np
import pytest

from turnstream.models.dialogues.activity import segments_to_frames
from turnstream.models.dialogues.events import Transition, find_transitions
from turnstream.models.errors import DialogueError


def transitions(first: list[tuple[float, float]], second: list[tuple[float, float]]) -> list[Transition]:
    return find_transitions(segments_to_frames([first, second], 500))


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
        ([(2.0, 4.0)], []),  # nobody goes on
    ],
)
def test_what_is_neither(first: list[tuple[float, float]], second: list[tuple[float, float]]):
    assert transitions(first, second) == []


def test_a_silence_of_exactly_a_quarter_second_counts_from_the_frame_that_fills_it():
    assert len(transitions([(2.0, 4.0)], [(4.26, 6.0)])) == 1  # 13 frames of 20 ms
    assert len(transitions([(2.0, 4.0)], [(4.24, 6.0)])) == 0


def brute_force(activity: np.ndarray) -> list[Transition]:
    """The definition frame by frame, in plain Python."""
    first, second = activity.tolist()
    length = len(first)
    found: list[Transition] = []
    for start in range(1, length):
        if first[start] or second[start] or not (first[start - 1] or second[start - 1]) or start / 50 < 3:
            continue
        end = start
        while end < length and not first[end] and not second[end]:
            end += 1
        if end == length or (end - start) / 50 < 0.25:
            continue
        before = {s for s, row in enumerate((first, second)) for t in range(start - 50, start) if t >= 0 and row[t]}
        after = {s for s, row in enumerate((first, second)) for t in range(end, end + 50) if t < length and row[t]}
        if len(before) == len(after) == 1:
            (a,), (b,) = before, after
            found.append(Transition("hold" if a == b else "shift", a, b, start, end))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_equals_an_independent_implementation_on_random_activity(seed: int):
    rng = np.random.default_rng(seed)
    activity = np.zeros((2, 3000), bool)
    at = 0
    while at < 3000:
        length = int(rng.integers(5, 120))
        activity[rng.integers(2), at : at + length] = True
        at += length + int(rng.integers(-10, 60))
        at = max(at, 0)
    expected = brute_force(activity)
    assert find_transitions(activity) == expected
    assert expected


def test_activity_of_one_speaker_is_refused():
    with pytest.raises(DialogueError, match=r"two speakers, \(2, T\), got shape \(1, 100\)"):
        find_transitions(np.zeros((1, 100), bool))
