"""The pause tracker: when the pause model is asked, and what its answer changes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from turnstream.stream.floor import VAD_ON, FloorTracker
from turnstream.stream.pause_model import PauseMix
from turnstream.stream.pause_tracker import ASK_AFTER_S, ASK_AGAIN_S, DECIDED, PauseTracker
from turnstream.stream.prediction import Pair

FRAME_S = 0.02
MOMENTS_S = (ASK_AFTER_S, ASK_AGAIN_S)
ASKED = [round(moment / FRAME_S) - 1 for moment in MOMENTS_S]  # frames of a pause
MIX = PauseMix(0.7, 0.5)


SILENCE, SPEECH = (0.1, 0.1), [(0.9, 0.1), (0.1, 0.9), (0.9, 0.9)]


def hear(tracker: PauseTracker, frames: int, vad: Pair, holder: int | None) -> list[int]:
    """Update by some frames and answer every question; return the frames with a question."""
    asked: list[int] = []
    for frame in range(frames):
        tracker.update(vad, holder, FRAME_S)
        if tracker.due is not None:
            assert tracker.due == holder
            asked.append(frame)
            tracker.answer(1.0)
    return asked


@pytest.mark.parametrize("holder", [0, 1])
def test_the_holder_is_asked_about_twice_in_an_undecided_pause(holder: int) -> None:
    tracker = PauseTracker()
    assert hear(tracker, 20, SPEECH[holder], holder) == []
    for _ in range(2):
        assert hear(tracker, 50, SILENCE, holder) == ASKED
        assert hear(tracker, 1, SPEECH[holder], holder) == []


@pytest.mark.parametrize("frame_s", [0.01, 0.02, 0.04, 0.1])
def test_the_question_comes_with_the_first_frame_that_reaches_the_time(frame_s: float) -> None:
    tracker, asked = PauseTracker(), list[int]()
    for frame in range(50):
        tracker.update(SILENCE, 1, frame_s)
        if tracker.due is not None:
            asked.append(frame + 1)
            tracker.answer(1.0)
    assert asked == [math.ceil(round(moment / frame_s, 6)) for moment in MOMENTS_S]


def test_two_times_in_one_frame_are_one_question() -> None:
    tracker = PauseTracker()
    tracker.update(SILENCE, 1, 0.25)
    tracker.answer(1.0)
    tracker.update(SILENCE, 1, 0.25)
    assert tracker.due is None


def test_the_second_answer_replaces_the_first() -> None:
    tracker, answers = PauseTracker(), [1.2, -2.0]
    for frame in range(50):
        tracker.update(SILENCE, 0, FRAME_S)
        if tracker.due is not None:
            tracker.answer(answers.pop(0))
        assert tracker.logit == (None if frame < ASKED[0] else 1.2 if frame < ASKED[1] else -2.0)


@pytest.mark.parametrize("logit", [-DECIDED, DECIDED, 4.0])
def test_a_decided_pause_is_not_asked_about_again(logit: float) -> None:
    tracker, asked = PauseTracker(), list[int]()
    for frame in range(50):
        tracker.update(SILENCE, 0, FRAME_S)
        if tracker.due is not None:
            asked.append(frame)
            tracker.answer(logit)
    assert asked == ASKED[:1]
    assert tracker.logit == logit


def test_a_shorter_silence_asks_nothing() -> None:
    tracker = PauseTracker()
    for _ in range(5):
        assert hear(tracker, ASKED[0], SILENCE, 0) == []
        assert hear(tracker, 1, SPEECH[0], 0) == []


def test_a_pause_begins_where_the_floor_still_counts_the_speaker_as_speaking() -> None:
    # In noise `vad` falls slowly, and stays between the thresholds of the floor for a while.
    floor, tracker = FloorTracker(), PauseTracker()
    asked: list[int] = []
    for frame, own in enumerate([0.9] * 10 + [0.45] * 20):
        floor.update((own, 0.0), FRAME_S)
        assert floor.active == (True, False)
        asked += [frame + at for at in hear(tracker, 1, (own, 0.0), floor.holder)]
    assert asked == [10 + frame for frame in ASKED]


@pytest.mark.parametrize("holder", [0, 1])
def test_a_speaker_at_the_threshold_speaks(holder: int) -> None:
    at = (VAD_ON, 0.0) if holder else (0.0, VAD_ON)
    assert hear(PauseTracker(), 50, at, holder) == []


def test_nobody_is_asked_about_before_anyone_has_held_the_floor() -> None:
    assert hear(PauseTracker(), 50, SILENCE, None) == []


@pytest.mark.parametrize("vad", SPEECH)
def test_speech_of_anyone_ends_the_mix(vad: Pair) -> None:
    tracker = PauseTracker()
    hear(tracker, 10, SILENCE, 0)
    assert tracker.mixed((0.6, 0.4), 0, MIX) != (0.6, 0.4)
    tracker.update(vad, 0, FRAME_S)
    assert tracker.mixed((0.6, 0.4), 0, MIX) == (0.6, 0.4)
    assert tracker == PauseTracker()


def test_nothing_is_mixed_before_the_answer_or_without_a_holder() -> None:
    assert PauseTracker(3, due=0).mixed((0.6, 0.4), 0, MIX) == (0.6, 0.4)
    assert PauseTracker(4, logit=2.0).mixed((0.6, 0.4), None, MIX) == (0.6, 0.4)


@pytest.mark.parametrize("p_shift", [0.02, 0.4, 0.97])
@pytest.mark.parametrize("logit", [-3.0, 0.0, 1.5])
def test_the_logits_are_weighted_and_added(p_shift: float, logit: float) -> None:
    # Independent computation: a weighted product of odds.
    odds = (p_shift / (1 - p_shift)) ** MIX.network * np.exp(logit) ** MIX.pause
    expected = odds / (1 + odds)
    tracker = PauseTracker(5, logit=logit)
    mixed = tracker.mixed((1 - p_shift, p_shift), 0, MIX)
    assert mixed[1] == pytest.approx(expected, abs=1e-12)
    assert sum(mixed) == pytest.approx(1, abs=1e-15)
    assert tracker.mixed((p_shift, 1 - p_shift), 1, MIX) == mixed[::-1]


@pytest.mark.parametrize("p_next", [(0.0, 1.0), (1.0, 0.0), (1e-30, 1.0), (0.5, 0.5)])
@pytest.mark.parametrize("logit", [-1e300, -2000.0, -50.0, 50.0, 2000.0, 1e300])
def test_extreme_values_give_probabilities(p_next: Pair, logit: float) -> None:
    mixed = PauseTracker(5, logit=logit).mixed(p_next, 0, MIX)
    assert all(0 <= p <= 1 for p in mixed)
    assert sum(mixed) == pytest.approx(1)
    assert (mixed[1] > mixed[0]) == (logit > 0)


# ---- as JSON ----

TRACKERS = [
    PauseTracker(),
    PauseTracker(3, 1),
    PauseTracker(3, 0),
    PauseTracker(9, None, -0.125),
    PauseTracker(10, 0, 1.5),
]


@pytest.mark.parametrize("tracker", TRACKERS, ids=str)
def test_a_tracker_is_restored_from_json(tracker: PauseTracker) -> None:
    assert PauseTracker.from_plain(json.loads(json.dumps(tracker.to_plain()))) == tracker


@pytest.mark.parametrize(
    "changes",
    [
        {"silent_frames": -1},
        {"silent_frames": 1.5},
        {"silent_frames": True},
        {"silent_frames": None},
        {"due": 2},
        {"due": -1},
        {"due": True},
        {"due": False},
        {"due": 1.0},
        {"due": "0"},
        {"due": []},
        {"logit": math.nan},
        {"logit": -math.inf},
        {"logit": 1},
        {"logit": True},
        {"logit": "0.5"},
        {"logit": [0.5]},
    ],
    ids=str,
)
def test_damaged_values_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected a count, a speaker or null and a number, got"):
        PauseTracker.from_plain(PauseTracker(3, 1, 0.5).to_plain() | changes)


@pytest.mark.parametrize("name", ["silent_frames", "due", "logit"])
def test_a_missing_value_is_refused(name: str) -> None:
    plain = PauseTracker().to_plain()
    del plain[name]
    with pytest.raises(KeyError, match=name):
        PauseTracker.from_plain(plain)
