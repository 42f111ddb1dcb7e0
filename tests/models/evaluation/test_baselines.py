"""The columns of a baseline's scores, against the audio that its scorer was given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.dialogues.activity import Samples, segments_to_frames
from turnstream.models.dialogues.silero import speech_probability
from turnstream.models.evaluation.baselines import (
    DECISION_TIMES_S,
    as_evaluated,
    decision_frames,
    run_silero,
    run_smart_turn,
    silences_to_score,
)
from turnstream.models.evaluation.frontier import find_dialogue_pauses, read_pauses
from turnstream.models.evaluation.recording import Recording
from turnstream.models.evaluation.shift_hold import SILENCES_MS, find_silences, read_silences

HOLD, SHIFT = (0, 200, 250), (0, 400, 440)  # speaker, first silent frame, end


def recording(seconds: float = 16.0) -> Recording:
    """Speaker 0 pauses for 1 s at 4 s and yields at 8 s.

    Every sample of a channel encodes its frame and speaker.
    """
    activity = segments_to_frames([[(1.0, 4.0), (5.0, 8.0)], [(8.8, 15.0)]], round(seconds * 50))
    frames = np.repeat(np.arange(activity.shape[1]), 320)
    return Recording(
        "call", np.stack([frames, -frames]).astype(np.float32), activity, np.zeros_like(activity)
    )


class LengthScorer:
    """Scores a moment by the number of frames heard until then: wrong audio gives wrong scores."""

    def scores(self, clips: Sequence[Samples]) -> NDArray[np.float32]:
        assert all(len(clip) % 320 == 0 for clip in clips)
        return np.array([abs(clip[-1]) / 1000 for clip in clips], np.float32)


def test_only_pauses_and_silences_are_asked_about() -> None:
    # The second pause is an end of turn, and lasts to the end of the dialogue.
    assert silences_to_score(recording()) == [
        HOLD,
        (0, 400, 800),
    ]


def test_a_long_hold_is_asked_about_for_shift_or_hold() -> None:
    call = recording(20.0)
    activity = segments_to_frames([[(1.0, 4.0), (10.0, 12.0)], []], 1000)
    assert silences_to_score(Recording("call", call.audio, activity, np.zeros_like(activity))) == [
        (0, 200, 500)
    ]


def test_an_end_of_turn_is_asked_about_up_to_the_last_decision_though_the_speaker_goes_on() -> None:
    activity = segments_to_frames([[(1.0, 4.0), (5.6, 6.0)], [(4.4, 5.4)]], 500)
    assert (0, 200, 200 + 175) in silences_to_score(
        Recording("call", np.zeros((2, 160000), np.float32), activity, np.zeros_like(activity))
    )


def test_decisions_hear_whole_frames_up_to_their_time() -> None:
    frames = decision_frames(200, 1000, 1000)
    assert frames == sorted({200 + int(seconds * 50 + 1e-6) - 1 for seconds in DECISION_TIMES_S})
    assert {201, 211, 224} <= set(frames)  # 50, 250 and 500 ms
    assert decision_frames(200, 201, 1000) == [201]
    assert max(decision_frames(990, 1000, 1000)) == 999


def test_scores_stand_where_the_measures_read_them() -> None:
    call = recording()
    run = run_smart_turn(LengthScorer(), call)
    evaluated = as_evaluated(call, run.complete)
    silences, pauses = find_silences([evaluated]), find_dialogue_pauses([evaluated])
    read = read_silences([evaluated], silences, "mono")
    for row, silence in zip(read, silences, strict=True):
        start = silence.transition.silence_start_frame
        assert row[: len(SILENCES_MS)] == pytest.approx(
            [(start + ms // 20 - 1) / 1000 for ms in SILENCES_MS]
        )
    assert not np.isnan(read).any()
    at_pauses = read_pauses([evaluated], pauses, "mono")
    np.testing.assert_allclose(at_pauses[1], (400 + np.arange(1, 36) * 5 - 1) / 1000, atol=1e-6)
    np.testing.assert_allclose(
        at_pauses[0, :10], (200 + np.arange(1, 11) * 5 - 1) / 1000, atol=1e-6
    )
    assert run.decisions == len(decision_frames(200, 250, 800)) + len(
        decision_frames(400, 800, 800)
    )
    assert run.cpu_s >= 0


def test_outside_of_pauses_nothing_was_said() -> None:
    complete = run_smart_turn(LengthScorer(), recording()).complete
    assert np.isnan(complete[1]).all()
    assert np.isnan(complete[0, :200]).all()
    assert np.isnan(complete[0, 250:400]).all()


def test_a_later_pause_has_its_own_scores() -> None:
    activity = segments_to_frames([[(1.0, 4.0), (5.0, 6.0)], [(4.4, 4.8), (7.0, 9.0)]], 500)
    call = Recording("call", recording(10.0).audio, activity, np.zeros_like(activity))
    complete = run_smart_turn(LengthScorer(), call).complete
    assert complete[0, 304] == np.float32(304 / 1000)  # 0.1 s into the second pause


def test_a_score_is_p_next_of_the_other_speaker_alone() -> None:
    call = recording()
    complete = np.stack([np.full(800, 0.9), np.full(800, 0.2)]).astype(np.float32)
    evaluated = as_evaluated(call, complete)
    assert evaluated.mono[0].p_next[:, 5] == pytest.approx([0.1, 0.9])
    assert evaluated.mono[1].p_next[:, 5] == pytest.approx([0.2, 0.8])
    assert np.isnan(evaluated.stereo.p_next).all()
    assert np.isnan(evaluated.mono[0].p_backchannel).all()


def test_silero_is_read_at_its_newest_whole_window() -> None:
    pytest.importorskip("silero_vad")
    rng = np.random.default_rng(0)
    activity = np.zeros((2, 100), bool)
    call = Recording(
        "call", (0.1 * rng.standard_normal((2, 32000))).astype(np.float32), activity, activity
    )
    run = run_silero(call)
    speech = speech_probability(call.audio)
    assert run.complete.shape == (2, 100)
    assert run.complete[:, 0].tolist() == [
        0,
        0,
    ]  # after 20 ms there is no whole window of 32 ms yet
    for frame in (1, 2, 50, 99):
        np.testing.assert_allclose(
            run.complete[:, frame], 1 - speech[:, (frame + 1) * 320 // 512 - 1]
        )
    assert run.decisions == speech.size
    assert run.vad is not None
    assert run.vad[:, 0].tolist() == [0, 0]
    np.testing.assert_allclose(run.vad[:, 1:], 1 - run.complete[:, 1:], atol=1e-6)
    evaluated = as_evaluated(call, run.complete, run.vad)
    np.testing.assert_array_equal(evaluated.mono[1].vad, run.vad)
    assert np.isnan(as_evaluated(call, run.complete).mono[1].vad).all()
