from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.dialogues import channel
from turnstream.models.dialogues.activity import BoolFrames
from turnstream.models.dialogues.channel import Surroundings, through_channel

FRAMES = 150


def alternating() -> tuple[NDArray[np.float32], BoolFrames]:
    """Three seconds in which the speakers take turns of half a second."""
    speaking = np.zeros((2, FRAMES), bool)
    for c in (0, 1):
        speaking[c] = (np.arange(FRAMES) // 25) % 2 == c
    noise = np.random.default_rng(0).standard_normal((2, FRAMES * 320)).astype(np.float32)
    return 0.05 * noise * np.repeat(speaking, 320, axis=1), speaking


def surroundings() -> Surroundings:
    rng = np.random.default_rng(1)
    room = np.r_[1.0, 0.2 * rng.standard_normal(3000) * np.exp(-np.arange(3000) / 800)].astype(
        np.float32
    )
    noise = rng.standard_normal(20_000).astype(np.float32)
    return Surroundings([room], [noise], [noise[::-1].copy()])


def test_a_seed_fixes_the_recording() -> None:
    dry, speaking = alternating()
    for seed in range(5):
        first = through_channel(dry, speaking, surroundings(), np.random.default_rng(seed))
        np.testing.assert_array_equal(
            first, through_channel(dry, speaking, surroundings(), np.random.default_rng(seed))
        )
        assert first.shape == dry.shape
        assert first.dtype == np.int16


@pytest.mark.parametrize("where", [Surroundings(), surroundings()])
def test_the_speaker_is_louder_than_the_pauses_almost_always(where: Surroundings) -> None:
    dry, speaking = alternating()
    spoken = np.repeat(speaking[0], 320)
    ratios = []
    for seed in range(40):
        first = through_channel(dry, speaking, where, np.random.default_rng(seed))[0].astype(
            np.float64
        )
        assert first.any()
        ratios.append(
            10 * np.log10((np.mean(first[spoken] ** 2) + 1) / (np.mean(first[~spoken] ** 2) + 1))
        )
    assert np.mean(np.array(ratios) > 6) > 0.9
    assert np.median(ratios) > 18


def test_levels_spread_over_forty_decibels_around_the_nominal_one() -> None:
    dry, speaking = alternating()
    spoken = np.repeat(speaking[0], 320)
    levels = [
        20
        * np.log10(
            through_channel(dry, speaking, Surroundings(), np.random.default_rng(seed))[0][
                spoken
            ].std()
            / 32768
        )
        for seed in range(50)
    ]
    assert -34 < np.median(levels) < -22
    assert np.ptp(levels) > 20
    assert min(levels) > -60


def test_about_a_tenth_of_second_channels_is_digital_silence() -> None:
    dry, speaking = alternating()
    second = np.stack(
        [
            through_channel(dry, speaking, Surroundings(), np.random.default_rng(seed))[1, :16000]
            for seed in range(100)
        ]
    )
    silent = ~second.any(axis=1)
    assert 0.04 < silent.mean() < 0.18


def test_beside_a_silent_channel_nothing_of_it_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MONO_SHARE", 1.0)
    monkeypatch.setattr(channel, "CLEAN_SHARE", 1.0)
    dry, speaking = alternating()
    one_speaker = dry.copy()
    one_speaker[1] = 0
    for seed in range(10):
        both = through_channel(dry, speaking, Surroundings(), np.random.default_rng(seed))
        alone = through_channel(one_speaker, speaking, Surroundings(), np.random.default_rng(seed))
        np.testing.assert_array_equal(both, alone)
        assert not both[1].any()


def test_a_side_that_never_speaks_is_finite_and_quiet() -> None:
    dry, speaking = alternating()
    dry[1], speaking[1] = 0, False
    for seed in range(20):
        heard = through_channel(dry, speaking, surroundings(), np.random.default_rng(seed))
        assert np.isfinite(heard).all()
