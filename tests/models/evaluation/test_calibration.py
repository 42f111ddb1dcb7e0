import math

import numpy as np
import pytest

from turnstream.models.evaluation.calibration import calibrate, calibration
from turnstream.models.evaluation.predictions import EvaluatedDialogue

from .conftest import MakeDialogue


def test_the_error_of_known_cases() -> None:
    # One bin predicts 0.3, and the event happens once in two cases.
    # Another bin predicts 0.9, and the event happens in three cases of three.
    p, happened = np.array([0.3, 0.3, 0.9, 0.9, 0.9]), np.array([True, False, True, True, True])
    found = calibrate(p, happened, np.zeros(5, np.int64), np.arange(5))
    assert found.count == 5
    assert found.error.value == pytest.approx(2 / 5 * 0.2 + 3 / 5 * 0.1)
    filled = {round(b.low * 15): (b.count, b.mean_p, b.share) for b in found.bins if b.count}
    assert filled == {4: (2, pytest.approx(0.3), 0.5), 13: (3, pytest.approx(0.9), 1.0)}
    assert all(math.isnan(b.mean_p) and math.isnan(b.share) for b in found.bins if not b.count)


def test_there_are_fifteen_equal_bins_and_one_belongs_to_the_last() -> None:
    p, happened = np.array([0.0, 1.0, 1 / 15]), np.array([False, True, True])
    found = calibrate(p, happened, np.arange(3), np.arange(3))
    assert [b.count for b in found.bins] == [1, 1, *[0] * 12, 1]
    assert [b.high - b.low for b in found.bins] == pytest.approx([1 / 15] * 15)
    assert found.error.value == pytest.approx((1 - 1 / 15) / 3)


@pytest.mark.parametrize("seed", range(3))
def test_the_error_is_the_mean_distance_over_the_bins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, happened = rng.random(500), rng.random(500) < 0.4
    error = 0.0
    for low in range(15):
        members = [i for i in range(500) if low / 15 <= p[i] < (low + 1) / 15]
        if members:
            error += (
                len(members)
                / 500
                * abs(np.mean([p[i] for i in members]) - np.mean([happened[i] for i in members]))
            )
    found = calibrate(p, happened, rng.integers(0, 9, 500), np.arange(500))
    assert found.error.value == pytest.approx(error)
    assert found.error.low < found.error.high


def test_what_is_right_as_often_as_it_says_has_next_to_no_error() -> None:
    rng = np.random.default_rng(0)
    p, count = rng.random(50_000), np.arange(50_000)
    found = calibrate(p, rng.random(50_000) < p, np.zeros(50_000, np.int64), count)
    assert found.error.value < 0.02
    assert found.by_chance == pytest.approx(found.error.value, abs=0.005)


def test_chance_alone_gives_few_predictions_an_error() -> None:
    # Of 4 predictions of 0.5, a binomial share lies off by 3 / 16 on average.
    p, happened = np.full(4, 0.5), np.array([True, True, False, False])
    found = calibrate(p, happened, np.zeros(4, np.int64), np.arange(4))
    assert found.error.value == 0.0
    assert found.by_chance == pytest.approx(3 / 16, abs=0.03)
    sure = calibrate(happened.astype(float), happened, np.zeros(4, np.int64), np.arange(4))
    assert sure.by_chance == 0.0


def test_frames_of_one_silence_are_one_draw_of_chance() -> None:
    p, happened = np.full(4, 0.5), np.zeros(4, bool)
    found = calibrate(p, happened, np.zeros(4, np.int64), np.zeros(4, np.int64))
    assert found.by_chance == pytest.approx(0.5)


def test_silences_are_read_after_a_quarter_second_and_in_every_frame(
    dialogue: MakeDialogue,
) -> None:
    # A hold of 10 silent frames, too short to be read once; then a shift of 25 frames.
    call = dialogue([(1.0, 2.0), (2.2, 3.0)], [(3.5, 9.0)])
    call.stereo.p_next[1] = 0.2
    call.stereo.p_next[1, 150 + 12 - 1] = 0.8
    found = calibration([call], "stereo")
    assert found.at_250_ms.count == 1
    assert found.at_250_ms.error.value == pytest.approx(0.2)
    # Nobody speaks before the first second, and nobody after the ninth.
    assert found.silent_frames.count == 35
    said, true = 34 * 0.2 + 0.8, 25
    assert found.silent_frames.error.value == pytest.approx(((true - 1) - (said - 0.8) + 0.2) / 35)


def test_mono_reads_the_speaker_who_spoke_last(dialogue: MakeDialogue) -> None:
    call = dialogue([(1.0, 3.0)], [(3.5, 9.0)])
    call.mono[0].p_next[1] = 1.0
    assert calibration([call], "mono").at_250_ms.error.value == 0.0


def test_a_known_backchannel_neither_holds_nor_takes_the_floor(dialogue: MakeDialogue) -> None:
    call = dialogue([(1.0, 3.0), (5.0, 9.0)], [(3.5, 3.8)])
    call.stereo.p_next[0] = 0.0
    call.stereo.p_next[1] = 1.0
    # An apparent shift to B, and a shift back to A that was not predicted.
    assert calibration([call], "stereo").at_250_ms.error.value == 0.5
    call.backchannel[1] = call.activity[1]
    assert calibration([call], "stereo").at_250_ms.error.value == 1.0  # two silences inside a hold


def test_nothing_to_read_is_no_error(dialogue: MakeDialogue) -> None:
    for calls in ([], [dialogue([], [])]):
        found = calibration(calls, "stereo")
        assert found.silent_frames.count == found.at_250_ms.count == 0
        assert math.isnan(found.at_250_ms.error.value)


def test_random_probabilities_are_badly_calibrated(
    random_dialogues: list[EvaluatedDialogue],
) -> None:
    found = calibration(random_dialogues, "mono").silent_frames
    assert found.error.value > 0.1
    assert sum(b.count for b in found.bins) == found.count
