import numpy as np
import pytest

from turnstream.models.evaluation.predictions import EvaluatedDialogue
from turnstream.models.evaluation.windows import (
    Window,
    backchannel_prediction,
    backchannel_windows,
    onset_windows,
    read_windows,
    shift_prediction,
    shift_windows,
    short_long,
)

from .conftest import MakeDialogue


def test_shift_prediction_reads_the_other_speaker_in_the_last_half_second_of_speech(
    dialogue: MakeDialogue,
) -> None:
    call = dialogue([(1.0, 4.0)], [(4.6, 6.6), (6.9, 8.9)])
    call.stereo.p_future[1, 175:200] = 0.9  # before the shift
    call.stereo.p_future[0, 305:330] = 0.2  # before the hold
    windows = shift_windows([call])
    assert windows == [Window(0, True, 0, 1, 175, 200), Window(0, False, 1, 0, 305, 330)]
    assert read_windows([call], windows, "p_future", "stereo") == pytest.approx([0.9, 0.2])
    found = shift_prediction([call], "stereo")
    assert (found.positives, found.negatives, found.auc.value, found.weighted_f1.value) == (
        1,
        1,
        1.0,
        1.0,
    )


def test_shift_prediction_within_a_speaker(dialogue: MakeDialogue) -> None:
    call = dialogue([(1.0, 4.0), (4.6, 6.6)], [(7.2, 9.0)])  # 0: a hold, then a shift
    call.mono[0].p_future[1, 305:330] = 0.9
    assert [(window.positive, window.input_speaker) for window in shift_windows([call])] == [
        (False, 0),
        (True, 0),
    ]
    found = shift_prediction([call], "mono")
    assert found.auc_within is not None
    assert (found.auc.value, found.auc_within.value) == (1.0, 1.0)
    apart = dialogue([(1.0, 4.0)], [(4.6, 6.6), (6.9, 8.9)])  # a shift from 0, a hold of 1: no pair
    within = shift_prediction([apart], "mono").auc_within
    assert within is not None
    assert np.isnan(within.value)


def test_shifts_and_holds_are_equally_many_and_always_the_same(
    random_dialogues: list[EvaluatedDialogue],
) -> None:
    windows = shift_windows(random_dialogues)
    assert sum(window.positive for window in windows) * 2 == len(windows) > 40
    assert windows == shift_windows(random_dialogues)
    assert windows == sorted(windows, key=lambda window: (window.dialogue, window.start_frame))


def test_short_or_long_reads_the_one_who_begins(dialogue: MakeDialogue) -> None:
    call = dialogue([(1.0, 4.0)], [(1.0, 1.5), (4.6, 8.0)])
    other = dialogue([(1.0, 8.0)], [(4.0, 4.1)])
    call.stereo.p_future[1, 230:240] = 0.8
    other.stereo.p_future[1, 200:210] = 0.1  # 0.2 s, although the short one ends earlier
    windows = onset_windows([call, other])
    assert windows == [Window(0, True, 1, 1, 230, 240), Window(1, False, 1, 1, 200, 210)]
    assert read_windows([call, other], windows, "p_future", "stereo") == pytest.approx([0.8, 0.1])
    assert short_long([call, other], "stereo").balanced_accuracy.value == 1.0


def test_backchannel_prediction_reads_the_listener_before_a_short_one(
    dialogue: MakeDialogue,
) -> None:
    call = dialogue([(0.0, 9.0)], [(6.0, 6.4)])
    call.stereo.p_backchannel[1, 275:300] = 0.9
    windows = backchannel_windows([call])
    assert windows == [
        Window(0, False, 0, 1, 150, 175),
        Window(0, False, 0, 1, 175, 200),
        Window(0, True, 0, 1, 275, 300),
    ]
    found = backchannel_prediction([call], "stereo")
    assert (found.positives, found.negatives, found.auc.value) == (1, 2, 1.0)


@pytest.mark.parametrize("windows_of", [shift_windows, onset_windows, backchannel_windows])
def test_mono_hears_only_the_speaker_whose_speech_it_is(
    windows_of, random_dialogues: list[EvaluatedDialogue]
) -> None:
    windows = windows_of(random_dialogues)
    scores = read_windows(random_dialogues, windows, "p_future", "mono")
    for window, score in zip(windows, scores, strict=True):
        said = random_dialogues[window.dialogue].mono[window.input_speaker].p_future
        assert score == pytest.approx(
            said[window.scored, window.start_frame : window.end_frame].mean(), rel=1e-5
        )


@pytest.mark.parametrize("measure", [shift_prediction, short_long, backchannel_prediction])
def test_nothing_to_score_is_no_error(measure, dialogue: MakeDialogue) -> None:
    for calls in ([], [dialogue([], [])]):
        found = measure(calls, "mono")
        assert (found.positives, found.negatives, np.isnan(found.auc.value)) == (0, 0, True)
