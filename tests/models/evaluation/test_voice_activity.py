"""Voice activity against known activity, frame by frame."""

from __future__ import annotations

import math

import numpy as np
import pytest

from turnstream.models.dialogues.activity import runs
from turnstream.models.evaluation.predictions import EvaluatedDialogue
from turnstream.models.evaluation.voice_activity import find_speech_onsets, measure_voice_activity

from .conftest import MakeDialogue


def test_shares_are_of_frames_of_the_speaker_in_question(dialogue: MakeDialogue) -> None:
    call = dialogue([(1.0, 3.0)], [(4.0, 9.0)])
    call.stereo.vad[:] = 0.0
    call.stereo.vad[0, 50:125] = 0.5  # 75 of 100 frames of speech
    call.stereo.vad[0, 200:220] = 0.9  # 20 of 400 of silence
    call.stereo.vad[1, 225:450] = 0.51  # 225 of 250
    call.stereo.vad[1, 0:5] = 0.49  # not called speech
    found = measure_voice_activity([call], "stereo")
    assert found.found.value == pytest.approx((75 + 225) / 350)
    assert found.false.value == pytest.approx(20 / 650)
    perfect = dialogue([(1.0, 3.0)], [(4.0, 9.0)])
    perfect.stereo.vad[:] = perfect.activity
    found = measure_voice_activity([perfect], "stereo")
    assert (
        found.found.value,
        found.false.value,
        found.onsets_found.value,
        found.median_delay_s,
    ) == (1.0, 0.0, 1.0, 0.02)
    perfect.stereo.vad[:] = perfect.activity[::-1]  # the speakers exchanged
    assert measure_voice_activity([perfect], "stereo").found.value == 0.0


def test_a_delay_runs_from_the_onset_to_the_end_of_the_first_frame_called_speech(
    dialogue: MakeDialogue,
) -> None:
    starts = (1.0, 3.0, 5.0, 7.0)
    call = dialogue([(start, start + 1.0) for start in starts], [])
    call.stereo.vad[:] = 0.0
    for start, late in zip(
        starts, (0, 4, 24, 25), strict=True
    ):  # the last one is one frame too late
        call.stereo.vad[0, round(start * 50) + late :][: 40 - late] = 1.0
    found = measure_voice_activity([call], "stereo")
    assert (found.onsets, found.onsets_found.value) == (4, 0.75)
    assert found.median_delay_s == pytest.approx(0.1)  # of 0.02, 0.1 and 0.5 s


def test_an_onset_follows_two_tenths_of_silence(dialogue: MakeDialogue) -> None:
    call = dialogue([(0.0, 1.0), (1.2, 2.0), (2.18, 3.0), (9.9, 10.0)], [(0.5, 1.0)])
    assert find_speech_onsets(call.activity[0]) == [60, 495]
    assert find_speech_onsets(call.activity[1]) == [25]
    assert find_speech_onsets(np.zeros(100, bool)) == []


def test_in_mono_each_speaker_is_heard_alone(dialogue: MakeDialogue) -> None:
    call = dialogue([(1.0, 3.0)], [(4.0, 9.0)])
    for said in (call.stereo, *call.mono):
        said.vad[:] = 0.0
    call.mono[0].vad[0] = call.activity[0]
    call.mono[1].vad[1] = call.activity[1]
    assert measure_voice_activity([call], "mono").found.value == 1.0
    assert measure_voice_activity([call], "stereo").found.value == 0.0


def test_the_figures_are_those_of_all_frames_and_their_intervals_over_dialogues(
    random_dialogues: list[EvaluatedDialogue],
) -> None:
    found = measure_voice_activity(random_dialogues, "mono")
    called = np.array([[d.mono[s].vad[s] >= 0.5 for s in (0, 1)] for d in random_dialogues])
    active = np.array([d.activity for d in random_dialogues])
    assert found.found.value == pytest.approx(called[active].mean())
    assert found.false.value == pytest.approx(called[~active].mean())
    silences = [
        (start, end) for d in random_dialogues for row in d.activity for start, end in runs(~row)
    ]
    assert found.onsets == sum(end - start >= 10 and end < 3000 for start, end in silences)
    for share in (found.found, found.false, found.onsets_found):
        assert share.low <= share.value <= share.high


def test_nothing_to_hear_is_no_error(dialogue: MakeDialogue) -> None:
    for calls in ([], [dialogue([], [])]):
        found = measure_voice_activity(calls, "mono")
        assert found.onsets == 0
        assert all(
            math.isnan(value)
            for value in (found.found.value, found.onsets_found.value, found.median_delay_s)
        )
