from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from turnstream.models.dialogues import nonspeech
from turnstream.models.dialogues.activity import Samples
from turnstream.models.dialogues.utterances import SAMPLE_RATE_HZ

VOWEL_HZ = 125.0
VOWEL = 4000
SOUNDS: list[Callable[[np.random.Generator], Samples]] = [
    nonspeech.breath_in,
    nonspeech.breath_out,
    nonspeech.lip_smack,
    nonspeech.cough,
    nonspeech.typing,
    nonspeech.taps,
    lambda rng: nonspeech.laughter(vowel_clip(), VOWEL, VOWEL_HZ, VOWEL_HZ, rng),
    lambda rng: nonspeech.draw_nonspeech(rng, vowel_clip(), VOWEL, VOWEL_HZ, VOWEL_HZ),
]


def vowel_clip() -> Samples:
    time_s = np.arange(8000) / SAMPLE_RATE_HZ
    return (0.1 * sum(np.sin(2 * np.pi * k * VOWEL_HZ * time_s) / k for k in range(1, 20))).astype(
        np.float32
    )


@pytest.mark.parametrize("make", SOUNDS)
@pytest.mark.parametrize("seed", range(5))
def test_every_sound_is_short_finite_soft_at_its_edges_and_repeatable(
    make: Callable[[np.random.Generator], Samples], seed: int
) -> None:
    sound = make(np.random.default_rng(seed))
    assert sound.ndim == 1
    assert sound.dtype == np.float32
    assert 0.01 < len(sound) / SAMPLE_RATE_HZ < 12
    assert np.isfinite(sound).all()
    peak = np.abs(sound).max()
    assert 0 < peak < 1.5
    assert max(abs(sound[0]), abs(sound[-1])) < 0.05 * peak
    np.testing.assert_array_equal(sound, make(np.random.default_rng(seed)))


@pytest.mark.parametrize("make", SOUNDS[:-1])
def test_sounds_are_as_loud_as_speech_unless_their_peaks_forbid_it(
    make: Callable[[np.random.Generator], Samples],
) -> None:
    sound = make(np.random.default_rng(1))
    frames = sound[: len(sound) // 160 * 160].reshape(-1, 160)
    loudest = np.sqrt((frames**2).mean(axis=1).max())
    assert 0.5 * nonspeech.SPEECH_RMS < loudest < 6 * nonspeech.SPEECH_RMS


def test_laughter_comes_in_bursts_of_four_to_six_per_second() -> None:
    tempos: list[float] = []
    for seed in range(20):
        laugh = nonspeech.laughter(
            vowel_clip(), VOWEL, VOWEL_HZ, VOWEL_HZ, np.random.default_rng(seed)
        )
        level = np.sqrt(np.convolve(laugh**2, np.full(480, 1 / 480), "same"))
        loud = level > 0.15 * level.max()
        onsets = np.flatnonzero(np.diff(loud.astype(int)) == 1)
        if len(onsets) > 2:
            tempos.append(float(SAMPLE_RATE_HZ / np.median(np.diff(onsets))))
    assert len(tempos) > 10
    assert 3.8 < np.median(tempos) < 6.2


def test_without_a_vowel_there_is_no_laughter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonspeech, "laughter", None)
    for seed in range(30):
        assert len(
            nonspeech.draw_nonspeech(np.random.default_rng(seed), vowel_clip(), -1, 0.0, 0.0)
        )
