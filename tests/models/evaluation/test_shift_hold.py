import math

import numpy as np
import pytest

from turnstream.models.evaluation.predictions import EvaluatedDialogue
from turnstream.models.evaluation.shift_hold import SILENCES_MS, find_silences, read_silences, score_silences, shift_hold

from .conftest import MakeDialogue

A_SHIFT_AND_A_HOLD = ([(1.0, 4.0)], [(4.6, 6.6), (6.9, 8.9)])  # a shift of 0.6 s, a hold of 0.3 s


def test_the_score_is_that_of_the_other_speaker_at_the_last_frame_heard_by_then(dialogue: MakeDialogue) -> None:
    call = dialogue(*A_SHIFT_AND_A_HOLD)
    call.stereo.p_next[1, 200 + 12 - 1] = 0.9  # B's p_next after 250 ms of the gap, when 212 whole frames have been heard
    call.stereo.p_next[0, 330 + 12 - 1] = 0.75  # A's, in B's pause
    silences = find_silences([call])
    scores = read_silences([call], silences, "stereo")
    assert scores[:, 1] == pytest.approx([0.9, 0.75])
    assert scores[:, 0] == pytest.approx([0.5, 0.5])
    assert scores[:, 3] == pytest.approx([0.5 + 0.4 / 30, 0.5 + 0.25 / 15])  # the mean over 30 and 15 silent frames
    found = shift_hold([call], "stereo")
    assert (found.at[250].positives, found.at[250].negatives) == (1, 1)
    assert found.at[250].auc.value == 1.0
    assert found.at[250].balanced_accuracy.value == 0.5  # 0.9 is a shift, and so is 0.75
    assert found.at[50].auc.value == 0.5
    assert (found.at[500].positives, found.at[500].negatives) == (1, 0)  # the pause is over by then
    assert math.isnan(found.at[500].auc.value)
    assert (found.averaged.positives, found.averaged.negatives, found.averaged.auc.value) == (1, 1, 0.0)


def test_mono_reads_what_was_said_of_the_speaker_before_the_silence(dialogue: MakeDialogue) -> None:
    call = dialogue(*A_SHIFT_AND_A_HOLD)
    call.mono[0].p_next[:] = 0.8
    call.mono[1].p_next[:] = 0.3
    assert read_silences([call], find_silences([call]), "mono")[:, 1] == pytest.approx([0.8, 0.3])
    assert shift_hold([call], "mono").at[50].balanced_accuracy.value == 1.0


def test_a_baseline_may_leave_events_out(dialogue: MakeDialogue) -> None:
    calls = [dialogue(*A_SHIFT_AND_A_HOLD)] * 3
    silences = find_silences(calls)
    scores = np.tile([[0.9], [0.1]], (3, len(SILENCES_MS) + 1))
    scores[0, :] = np.nan
    scores[:, -1] = np.nan
    found = score_silences(silences, scores)
    assert (found.at[250].positives, found.at[250].negatives, found.at[250].auc.value) == (2, 3, 1.0)
    assert (found.averaged.positives, found.averaged.negatives) == (0, 0)


def test_nothing_to_score_is_no_error(dialogue: MakeDialogue) -> None:
    for calls in ([], [dialogue([], [])]):
        assert shift_hold(calls, "stereo").averaged.positives == 0


def test_random_scores_are_at_chance(random_dialogues: list[EvaluatedDialogue]) -> None:
    found = shift_hold(random_dialogues, "mono").at[50]
    assert found.positives > 50
    assert found.auc.low < 0.5 < found.auc.high
