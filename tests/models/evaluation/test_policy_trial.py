"""Policy presets tried on conversations for which the right actions are known."""

from __future__ import annotations

import numpy as np
import pytest

from turnstream import PolicySettings, Prediction, TurnPolicy
from turnstream.models.dialogues.activity import Segment, segments_to_frames
from turnstream.models.evaluation.policy_trial import try_policy, turn_ends
from turnstream.models.evaluation.predictions import DialoguePrediction, EvaluatedDialogue
from turnstream.stream.floor import FloorTracker

SETTINGS = PolicySettings(
    end_threshold=0.5,
    end_silence_secs=0.3,
    timeout_secs=1.0,
    eager_threshold=0.4,
    eager_silence_secs=0.1,
)
SECONDS = 12.0


def conversation(first: list[Segment], second: list[Segment], p_end: float) -> EvaluatedDialogue:
    """Return the predictions of a model that knows who speaks.

    It always predicts with one probability that the first speaker yields.
    """
    activity = segments_to_frames([first, second], round(SECONDS * 50))
    p_next = np.tile(np.array([[1 - p_end], [p_end]], np.float32), activity.shape[1])
    said = DialoguePrediction(
        activity.astype(np.float32), p_next, p_next, p_next, np.zeros_like(p_next)
    )
    alone = activity.copy()
    alone[1] = False
    heard = DialoguePrediction(
        alone.astype(np.float32), p_next, p_next, p_next, np.zeros_like(p_next)
    )
    return EvaluatedDialogue("a", activity, np.zeros_like(activity), said, (heard, said))


def test_holds_longer_than_the_policy_waits_are_cut_off() -> None:
    call = conversation([(1.0, 2.0), (2.24, 4.0), (4.5, 6.0), (6.8, 8.0)], [(9.0, 11.0)], p_end=0.9)
    found = try_policy(SETTINGS, [call], "mono")
    assert (found.holds, found.ends, found.never_ended) == (3, 1, 0)
    # Pauses of 0.24 s, 0.5 s and 0.8 s; the policy waits 0.3 s.
    assert found.cut_off.value == pytest.approx(2 / 3)
    assert found.latency_s.value == pytest.approx(0.3)
    assert found.median_latency_s == pytest.approx(0.3)


def test_an_unsure_model_waits_for_the_time_out() -> None:
    call = conversation([(1.0, 4.0), (4.8, 8.0)], [(9.5, 11.0)], p_end=0.1)
    found = try_policy(SETTINGS, [call], "mono")
    assert found.cut_off.value == 0
    assert found.latency_s.value == pytest.approx(1.0)


def test_a_pause_with_a_short_answer_is_neither_cut_off_nor_ended() -> None:
    answered = conversation([(1.0, 4.0), (6.0, 8.0)], [(4.6, 5.2), (9.0, 11.0)], p_end=0.9)
    held = conversation([(1.0, 4.0), (6.0, 8.0)], [(9.0, 11.0)], p_end=0.9)
    assert [
        (found.holds, found.ends)
        for found in (try_policy(SETTINGS, [call], "mono") for call in (answered, held))
    ] == [(0, 2), (1, 1)]


def test_in_stereo_the_others_start_ends_the_turn() -> None:
    call = conversation([(1.0, 4.0)], [(4.5, 8.0)], p_end=0.1)
    # It acts 0.1 s after the other began.
    assert try_policy(SETTINGS, [call], "stereo").latency_s.value == pytest.approx(0.6)


def test_a_turn_that_is_not_ended_in_time_counts_as_never_ended() -> None:
    slow = PolicySettings(
        end_threshold=0.5,
        end_silence_secs=0.3,
        timeout_secs=5.0,
        eager_threshold=0.4,
        eager_silence_secs=0.1,
    )
    found = try_policy(slow, [conversation([(1.0, 4.0)], [(6.0, 8.0)], p_end=0.1)], "mono")
    assert (found.ends, found.never_ended) == (1, 1)
    assert np.isnan([found.latency_s.value, found.median_latency_s, found.cut_off.value]).all()


def test_an_end_is_called_in_its_own_pause_or_never() -> None:
    # 0.6 s are too short for this policy, 2 s are not
    call = conversation([(1.0, 4.0), (4.6, 6.0)], [(4.2, 5.4), (8.0, 11.0)], p_end=0.1)
    found = try_policy(SETTINGS, [call], "mono")
    assert (found.ends, found.never_ended) == (2, 1)
    assert found.latency_s.value == pytest.approx(1.0)


def test_intervals_are_over_dialogues() -> None:
    sure = conversation([(1.0, 4.0), (4.5, 8.0)], [(9.5, 11.0)], p_end=0.9)
    unsure = conversation([(1.0, 4.0), (4.5, 8.0)], [(9.5, 11.0)], p_end=0.1)
    found = try_policy(SETTINGS, [sure, unsure, sure], "mono")
    assert found.cut_off.value == pytest.approx(2 / 3)
    assert (found.cut_off.low, found.cut_off.high) == (0, 1)


def test_the_ends_are_the_policys_own() -> None:
    call = conversation([(1.0, 2.0), (2.6, 4.0)], [(5.0, 6.0)], p_end=0.9)
    policy, latent, floor = TurnPolicy(SETTINGS), np.zeros((2, 1), np.float32), FloorTracker()
    ends: list[list[float]] = [[], []]
    for t in range(call.activity.shape[1]):
        vad = (float(call.activity[0, t]), float(call.activity[1, t]))
        floor.update(vad, 1 / 50)
        prediction = Prediction(
            t,
            (t + 1) / 50,
            None,
            None,
            None,
            vad,
            (0.1, 0.9),
            (0.1, 0.9),
            (0.1, 0.9),
            (0.0, 0.0),
            latent,
            latent,
            floor.active,
        )
        for event in policy.update(prediction):
            if event.type == "end_of_turn":
                ends[event.speaker].append(event.time_s)
    assert turn_ends(SETTINGS, call.stereo) == tuple(ends)
    assert len(ends[0]) == 2
