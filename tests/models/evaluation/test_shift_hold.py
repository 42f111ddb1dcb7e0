import math

import numpy as np
import pytest

from turnstream.models.evaluation.predictions import EvaluatedDialogue
from turnstream.models.evaluation.shift_hold import (
    SILENCES_MS,
    count_shifts,
    counting,
    find_silences,
    read_silences,
    score_silences,
    shift_hold,
)

from .conftest import MakeDialogue

A_SHIFT_AND_A_HOLD = ([(1.0, 4.0)], [(4.6, 6.6), (6.9, 8.9)])  # a shift of 0.6 s, a hold of 0.3 s


def test_the_score_is_that_of_the_other_speaker_at_the_last_frame_heard_by_then(
    dialogue: MakeDialogue,
) -> None:
    call = dialogue(*A_SHIFT_AND_A_HOLD)
    call.stereo.p_next[1, 200 + 12 - 1] = (
        0.9  # B's p_next after 250 ms of the gap, when 212 whole frames have been heard
    )
    call.stereo.p_next[0, 330 + 12 - 1] = 0.75  # A's p_next, in B's pause
    silences = find_silences([call])
    scores = read_silences([call], silences, "stereo")
    assert scores[:, 1] == pytest.approx([0.9, 0.75])
    assert scores[:, 0] == pytest.approx([0.5, 0.5])
    # The mean over 30 and 15 silent frames
    assert scores[:, 3] == pytest.approx([0.5 + 0.4 / 30, 0.5 + 0.25 / 15])
    found = shift_hold([call], "stereo")
    assert (found.at[250].positives, found.at[250].negatives) == (1, 1)
    assert found.at[250].auc.value == 1.0
    assert found.at[250].balanced_accuracy.value == 0.5  # 0.9 is a shift, and so is 0.75
    assert found.at[50].auc.value == 0.5
    assert (found.at[500].positives, found.at[500].negatives) == (1, 0)  # the pause is over by then
    assert math.isnan(found.at[500].auc.value)
    assert (found.averaged.positives, found.averaged.negatives, found.averaged.auc.value) == (
        1,
        1,
        0.0,
    )


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
    assert (found.at[250].positives, found.at[250].negatives, found.at[250].auc.value) == (
        2,
        3,
        1.0,
    )
    assert (found.averaged.positives, found.averaged.negatives) == (0, 0)


def test_nothing_to_score_is_no_error(dialogue: MakeDialogue) -> None:
    for calls in ([], [dialogue([], [])]):
        assert shift_hold(calls, "stereo").averaged.positives == 0


def test_random_scores_are_at_chance(random_dialogues: list[EvaluatedDialogue]) -> None:
    found = shift_hold(random_dialogues, "mono").at[50]
    assert found.positives > 50
    assert found.auc.low < 0.5 < found.auc.high


def test_within_a_speaker_is_within_the_one_before_the_silence(dialogue: MakeDialogue) -> None:
    # Each speaker has a hold and a shift.
    turns = (
        [(1.0, 4.0), (4.6, 6.0)],
        [(6.6, 8.6), (9.2, 11.2)],
    )
    call = dialogue(turns[0] + [(11.8, 14.0)], turns[1], seconds=15.0)
    call.mono[0].p_next[1] = 0.2
    call.mono[0].p_next[1, 300:330] = 0.3  # the shift from 0
    call.mono[1].p_next[0] = 0.9
    call.mono[1].p_next[0, 560:590] = 0.8  # the shift from 1, less sure than the hold
    found = shift_hold([call], "mono").at[250]
    assert (found.positives, found.negatives) == (2, 2)
    assert found.auc.value == 0.5  # 0.3 and 0.8 against 0.2 and 0.9
    assert found.auc_within is not None
    assert found.auc_within.value == 0.5  # right for speaker 0, wrong for speaker 1
    call.mono[0].p_next[1, 300:330] = 0.1
    worse = shift_hold([call], "mono").at[250]
    assert worse.auc_within is not None
    assert (worse.auc.value, worse.auc_within.value) == (0.25, 0.0)


def test_counting_knows_only_what_this_speaker_did_before(dialogue: MakeDialogue) -> None:
    first = [(1.0, 4.0), (4.6, 6.0), (11.8, 13.8)]
    second = [(6.6, 8.6), (9.2, 11.2), (14.4, 16.4)]
    call = dialogue(first, second, seconds=18.0)
    silences = find_silences([call, call])
    kinds = [
        (silence.transition.previous, silence.transition.kind)
        for silence in silences[: len(silences) // 2]
    ]
    assert kinds == [(0, "hold"), (0, "shift"), (1, "hold"), (1, "shift"), (0, "shift")]
    scores = count_shifts(silences)
    assert scores[:5] == pytest.approx([1 / 2, 1 / 3, 1 / 2, 1 / 3, 2 / 4])
    assert scores[5:].tolist() == scores[:5].tolist()  # every dialogue starts from the beginning
    found = counting([call, call])
    assert {found.at[ms].auc.value for ms in SILENCES_MS} == {found.averaged.auc.value}
    expected = [(s > h) + 0.5 * (s == h) for s in (1 / 3, 1 / 3, 1 / 2) for h in (1 / 2, 1 / 2)]
    assert found.averaged.auc.value == pytest.approx(np.mean(expected))
    assert found.averaged.auc_within is not None
    # Speaker 0 has the pairs (1/3, 1/2) and (1/2, 1/2), speaker 1 has (1/3, 1/2).
    assert found.averaged.auc_within.value == pytest.approx(0.5 / 3)


def test_what_follows_does_not_change_an_earlier_count(dialogue: MakeDialogue) -> None:
    first, second = [(1.0, 4.0), (4.6, 6.0), (11.8, 13.8)], [(6.6, 8.6), (9.2, 11.2), (14.4, 16.4)]
    whole, cut = (
        find_silences([dialogue(first, second[:count], seconds=18.0)]) for count in (3, 2)
    )
    assert count_shifts(cut).tolist() == count_shifts(whole)[: len(cut)].tolist()
