"""Sounds that are not turns: synthetic noise and reversed speech. All are (N,) float32 at 16 kHz.

A steady sound has an RMS of 1 over its whole length. An intermittent sound has an RMS of 1 where
it sounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.signal import lfilter

from turnstream.models.dialogues.activity import Samples
from turnstream.models.dialogues.noise import babble, hum, music
from turnstream.models.dialogues.nonspeech import (
    breath_in,
    breath_out,
    cough,
    lip_smack,
    taps,
    typing,
)
from turnstream.models.dialogues.utterances import SAMPLE_RATE_HZ

Rng = np.random.Generator
Kind = Callable[[int, Rng], Samples]
CLIP_S = 3.0
CLICK_PERIOD_S = (0.15, 0.3)
BREATH_GAP_S = (0.3, 1.5)


def white(length: int, rng: Rng) -> Samples:
    """White noise."""
    return rng.standard_normal(length, dtype=np.float32)


def pink(length: int, rng: Rng) -> Samples:
    """Pink noise."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
    return _unit(np.fft.irfft(spectrum, length).astype(np.float32))


def fan(length: int, rng: Rng) -> Samples:
    """Low broadband noise with the hum of the blades."""
    rush = _unit(np.asarray(lfilter([1.0], [1.0, -0.97], white(length, rng)), np.float32))
    time_s = np.arange(length) / SAMPLE_RATE_HZ
    blades = sum(0.3 / k * np.sin(2 * np.pi * 93 * k * time_s) for k in range(1, 6))
    return _unit((rush + blades).astype(np.float32))


def swelling(length: int, rng: Rng) -> Samples:
    """Pink noise that swells four times a second, at the rate of syllables."""
    swell = 1 + np.sin(2 * np.pi * 4 * np.arange(length) / SAMPLE_RATE_HZ)
    return _unit((pink(length, rng) * swell).astype(np.float32))


def ringing(length: int, rng: Rng) -> Samples:
    """The ringing tone of a telephone: 2 s of every 6 s."""
    time_s = np.arange(length) / SAMPLE_RATE_HZ
    tone = np.sin(2 * np.pi * 440 * time_s) + np.sin(2 * np.pi * 480 * time_s)
    return (tone * (time_s % 6 < 2)).astype(np.float32)


def steady_kinds(speech: Samples) -> dict[str, Kind]:
    """Return steady sounds by name.

    Args:
        speech: (2, N), whose reversed voices make the babble.
    """
    size = round(CLIP_S * SAMPLE_RATE_HZ)
    clips = [
        row[start : start + size]
        for row in speech[:, ::-1]
        for start in range(0, len(row) - size, size)
    ]
    loud = [clip for clip in clips if _rms(clip) > 0.3 * max(map(_rms, clips))]
    return {
        "white": white,
        "pink": pink,
        "fan": fan,
        "hum": hum,
        "swelling": swelling,
        "ringing": ringing,
        "music": music,
        "babble of 6": lambda length, rng: babble(loud, length, 6, rng),
        "babble of 3": lambda length, rng: babble(loud, length, 3, rng),
    }


def intermittent_kinds() -> dict[str, Kind]:
    """Return sounds with silence between their parts, by name."""
    return {
        "clicks, 1 sample": _repeated(lambda rng: np.ones(1, np.float32), CLICK_PERIOD_S),
        "clicks, 5 ms": _repeated(
            lambda rng: rng.standard_normal(80, dtype=np.float32), CLICK_PERIOD_S
        ),
        "breaths in": _repeated(breath_in, BREATH_GAP_S),
        "breaths out": _repeated(breath_out, BREATH_GAP_S),
        "lips": _repeated(lip_smack, BREATH_GAP_S),
        "typing": _repeated(typing, BREATH_GAP_S),
        "taps": _repeated(taps, BREATH_GAP_S),
        "coughs": _repeated(cough, BREATH_GAP_S),
    }


def at_level(sound: Samples, level_dbfs: float) -> Samples:
    """Scale the sound so that its RMS where it sounds has a level; clip at full scale."""
    return np.clip(sound / _rms(sound[sound != 0]) * 10 ** (level_dbfs / 20), -1, 1).astype(
        np.float32
    )


def _repeated(make: Callable[[Rng], Samples], gap_s: Sequence[float]) -> Kind:
    def sound(length: int, rng: Rng) -> Samples:
        whole, start = (
            np.zeros(length, np.float32),
            round(rng.uniform(0, gap_s[1]) * SAMPLE_RATE_HZ),
        )
        while start < length:
            one = make(rng)[: length - start]
            whole[start : start + len(one)] = one
            start += len(one) + round(rng.uniform(gap_s[0], gap_s[1]) * SAMPLE_RATE_HZ)
        return whole

    return sound


def _rms(sound: Samples) -> float:
    return max(1e-9, float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))))


def _unit(sound: Samples) -> Samples:
    return sound / np.float32(_rms(sound))
