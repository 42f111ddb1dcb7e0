import numpy as np
import pytest

from turnstream.models.dialogues.activity import (
    bridge_gaps,
    energy_segments,
    level_db,
    runs,
    segments_to_frames,
)

RATE_HZ = 16000


def test_gaps_shorter_than_asked_are_bridged_and_others_stay():
    assert bridge_gaps([(1.0, 2.0), (2.1, 3.0), (3.2, 4.0)], gap_s=0.2) == [(1.0, 3.0), (3.2, 4.0)]


def test_overlapping_and_unsorted_segments_are_merged():
    assert bridge_gaps([(2.0, 3.0), (0.0, 1.0), (0.5, 0.8)], gap_s=0.0) == [(0.0, 1.0), (2.0, 3.0)]


def test_segments_become_frames_at_the_nearest_edges():
    assert runs(segments_to_frames([[(0.019, 0.041), (0.1, 0.2)]], 50)[0]) == [(1, 2), (5, 10)]


def test_segments_beyond_the_end_are_cut():
    assert segments_to_frames([[(0.9, 5.0)], []], 50)[0].sum() == 5


def test_runs_give_start_and_exclusive_end():
    assert runs(np.array([True, False, True, True])) == [(0, 1), (2, 4)]
    assert runs(np.zeros(0, bool)) == []


def test_level_of_a_full_scale_sine_is_minus_three_decibels():
    sine = np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    assert level_db(sine, RATE_HZ) == pytest.approx(np.full(100, -3.01), abs=0.02)


def test_energy_detector_finds_bursts_within_ten_milliseconds():
    rng = np.random.default_rng(1)
    audio = (1e-3 * rng.standard_normal(3 * RATE_HZ)).astype(np.float32)
    audio[RATE_HZ : 2 * RATE_HZ] += (0.1 * rng.standard_normal(RATE_HZ)).astype(np.float32)
    (found,) = energy_segments(audio, RATE_HZ)
    assert found == pytest.approx((1.0, 2.0), abs=0.011)


@pytest.mark.parametrize(
    "audio", [np.zeros(RATE_HZ, np.float32), np.zeros(0, np.float32), np.zeros(100, np.float32)]
)
def test_silence_has_no_segments(audio: np.ndarray):
    assert energy_segments(audio, RATE_HZ) == []
