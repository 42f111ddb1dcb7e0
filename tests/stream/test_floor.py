"""Speech activity with hysteresis, and who holds the floor."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.stream.floor import HOLDER_S, VAD_OFF, VAD_ON, FloorTracker

USER, OTHER, BOTH, NOBODY = (0.9, 0.1), (0.1, 0.9), (0.9, 0.9), (0.1, 0.1)
BETWEEN = (VAD_ON + VAD_OFF) / 2
FRAME_S = 0.02
HOLDER_FRAMES = round(HOLDER_S / FRAME_S)
Pair = tuple[float, float]


def run(tracker: FloorTracker, *spans: tuple[Pair, int], frame_s: float = FRAME_S) -> FloorTracker:
    for vad, frames in spans:
        for _ in range(frames):
            tracker.update(vad, frame_s)
    return tracker


def test_nobody_holds_the_floor_before_anyone_has_spoken() -> None:
    assert run(FloorTracker(), (NOBODY, 50)).holder is None


def test_who_speaks_alone_becomes_holder_after_the_fifth_frame() -> None:
    assert run(FloorTracker(), (USER, HOLDER_FRAMES - 1)).holder is None
    assert run(FloorTracker(), (USER, HOLDER_FRAMES)).holder == 0
    assert run(FloorTracker(), (OTHER, HOLDER_FRAMES)).holder == 1


@pytest.mark.parametrize(
    ("frame_s", "frames"), [(0.01, 10), (0.02, 5), (0.04, 3), (0.05, 2), (0.1, 1)]
)
def test_a_tenth_of_a_second_alone_makes_a_holder_whatever_the_frame(
    frame_s: float, frames: int
) -> None:
    assert run(FloorTracker(), (USER, frames - 1), frame_s=frame_s).holder is None
    assert run(FloorTracker(), (USER, frames), frame_s=frame_s).holder == 0


def test_activity_starts_high_and_stops_low() -> None:
    tracker = run(FloorTracker(), ((BETWEEN, BETWEEN), 10))
    assert tracker.active == (False, False)
    run(tracker, ((VAD_ON, 0.0), 1))
    assert tracker.active == (True, False)
    run(tracker, ((BETWEEN, BETWEEN), 10))
    assert tracker.active == (True, False)
    run(tracker, ((VAD_OFF, 0.0), 1))
    assert tracker.active == (True, False)
    run(tracker, ((VAD_OFF - 1e-6, 0.0), 1))
    assert tracker.active == (False, False)


def test_a_wavering_probability_is_one_stretch_of_speech() -> None:
    assert run(FloorTracker(), ((0.6, 0.0), 1), ((BETWEEN, 0.0), HOLDER_FRAMES - 1)).holder == 0


def test_clicks_make_no_holder() -> None:
    clicks = [(OTHER, HOLDER_FRAMES - 1), (NOBODY, 1)] * 10
    assert run(FloorTracker(), *clicks).holder is None
    assert run(FloorTracker(), (USER, 10), (NOBODY, 5), *clicks).holder == 0


def test_two_clicks_of_different_speakers_do_not_add_up() -> None:
    assert run(FloorTracker(), (USER, HOLDER_FRAMES - 1), (OTHER, HOLDER_FRAMES - 1)).holder is None


def test_overlap_does_not_change_the_holder() -> None:
    assert run(FloorTracker(), (USER, 10), (BOTH, 100)).holder == 0
    assert run(FloorTracker(), (BOTH, 100)).holder is None


def test_frames_alone_are_counted_anew_after_overlap() -> None:
    assert (
        run(
            FloorTracker(),
            (USER, 10),
            (OTHER, HOLDER_FRAMES - 1),
            (BOTH, 1),
            (OTHER, HOLDER_FRAMES - 1),
        ).holder
        == 0
    )


def test_who_comes_out_of_an_overlap_alone_becomes_holder() -> None:
    assert run(FloorTracker(), (USER, 10), (BOTH, 20), (OTHER, HOLDER_FRAMES)).holder == 1


def test_the_holder_stays_through_silence() -> None:
    assert run(FloorTracker(), (OTHER, 10), (NOBODY, 1000)).holder == 1


def test_what_is_too_quiet_makes_no_holder() -> None:
    tracker = FloorTracker()
    for _ in range(100):
        tracker.update(USER, FRAME_S, (-60.1, -10.0))
    assert (tracker.active, tracker.holder) == ((True, False), None)


def test_loud_frames_alone_make_a_holder_though_quiet_ones_lie_between() -> None:
    tracker = FloorTracker()
    for number in range(2 * HOLDER_FRAMES - 1):
        assert tracker.holder is None
        tracker.update(OTHER, FRAME_S, (-10.0, -60.0 if number % 2 == 0 else -90.0))
    assert tracker.holder == 1


def test_not_a_number_is_not_speech() -> None:
    assert run(FloorTracker(), ((math.nan, math.nan), 10)).active == (False, False)


probability = st.floats(0, 1, width=32)


@given(st.lists(st.tuples(probability, probability), max_size=60), st.integers(0, 60))
def test_going_on_from_plain_values_changes_nothing(vads: list[Pair], cut: int) -> None:
    whole, first = FloorTracker(), FloorTracker()
    for vad in vads[:cut]:
        first.update(vad, FRAME_S)
    second = FloorTracker.from_plain(json.loads(json.dumps(first.to_plain())))
    for vad in vads:
        whole.update(vad, FRAME_S)
    for vad in vads[cut:]:
        second.update(vad, FRAME_S)
    assert second == whole


@given(st.lists(st.tuples(probability, probability), max_size=60))
def test_the_speakers_are_treated_alike(vads: list[Pair]) -> None:
    tracker, mirrored = FloorTracker(), FloorTracker()
    for user, other in vads:
        tracker.update((user, other), FRAME_S)
        mirrored.update((other, user), FRAME_S)
        assert mirrored.active == tracker.active[::-1]
        assert mirrored.holder == (None if tracker.holder is None else 1 - tracker.holder)
