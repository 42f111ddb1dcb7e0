"""Held and whispered vowels, filled pauses and hums, made of a speaker's recorded speech.

Read speech has no hesitations and no "mm-hm". These are made from a steady vowel of the same
speaker, so that the voice stays the same.
Source: Moulines & Charpentier 1990 (pitch-synchronous overlap-add, TD-PSOLA).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from .activity import Samples
from .utterances import SAMPLE_RATE_HZ


def sustain(
    clip: Samples,
    centre: int,
    pitch_hz: float,
    contour_hz: NDArray[np.float64],
    rng: np.random.Generator,
) -> Samples:
    """Hold the sound around `centre`, with a given pitch.

    Args:
        clip: samples, (N,).
        centre: middle of a voiced stretch of at least three periods.
        pitch_hz: pitch of the clip there.
        contour_hz: wanted pitch every 10 ms, (T,).
        rng: picks grains and jitter. Without them the vowel buzzes.
    Returns:
        T * 10 ms of sound. Both ends are tapered over one period.
    """
    period = round(SAMPLE_RATE_HZ / pitch_hz)
    window = np.hanning(2 * period + 1)[:-1].astype(np.float32)
    grains = [
        clip[at - period : at + period] * window
        for at in (centre - period, centre, centre + period)
        if period <= at <= len(clip) - period
    ]
    length = len(contour_hz) * SAMPLE_RATE_HZ // 100
    held = np.zeros(length + 2 * period, np.float32)
    at = 0.0
    while grains and at < length:
        held[int(at) : int(at) + 2 * period] += grains[rng.integers(len(grains))] * np.float32(
            1 + 0.05 * rng.standard_normal()
        )
        at += (
            SAMPLE_RATE_HZ
            / contour_hz[min(int(at) * 100 // SAMPLE_RATE_HZ, len(contour_hz) - 1)]
            * (1 + 0.008 * rng.standard_normal())
        )
    return held[period : period + length]


def whisper(
    clip: Samples, centre: int, pitch_hz: float, length: int, rng: np.random.Generator
) -> Samples:
    """Return the sound around `centre` as a whisper, (length,).

    It is noise with the spectrum of one period. The arguments are those of `sustain`.
    """
    period = round(SAMPLE_RATE_HZ / pitch_hz)
    around = clip[max(0, centre - period) : centre + period]
    colour = around * np.hanning(len(around)).astype(np.float32)
    return np.convolve(rng.standard_normal(length, dtype=np.float32), colour, mode="full")[
        :length
    ].astype(np.float32)


def contour(
    rng: np.random.Generator, start_hz: float, end_hz: float, duration_s: float
) -> NDArray[np.float64]:
    """Return a pitch contour with a small random wobble, one value per 10 ms."""
    steps = max(4, round(duration_s * 100))
    wobble = np.cumsum(rng.standard_normal(steps)) * 0.004
    return np.geomspace(start_hz, end_hz, steps) * np.exp(wobble - wobble.mean())


def fade(sound: Samples, in_s: float, out_s: float) -> Samples:
    """Apply raised-cosine fades at both ends; lengths in seconds."""
    faded = sound.copy()
    for length_s, ramp_at in ((in_s, slice(None)), (out_s, slice(None, None, -1))):
        count = min(round(length_s * SAMPLE_RATE_HZ), len(faded))
        ramp = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, count, endpoint=False, dtype=np.float32))
        faded[ramp_at][:count] *= ramp
    return faded


def muffle(sound: Samples, cutoff_hz: float) -> Samples:
    """Apply a second-order low-pass, as a closed mouth does."""
    return np.asarray(
        sosfilt(butter(2, cutoff_hz, fs=SAMPLE_RATE_HZ, output="sos"), sound), np.float32
    )


def filled_pause(
    clip: Samples, vowel: int, vowel_hz: float, pitch_hz: float, rng: np.random.Generator
) -> Samples:
    """Return an "uh" or "um": level or slightly falling pitch, low in the speaker's range."""
    duration_s = rng.uniform(0.18, 0.55)
    start_hz = pitch_hz * rng.uniform(0.82, 1.0)
    sound = fade(
        sustain(
            clip,
            vowel,
            vowel_hz,
            contour(rng, start_hz, start_hz * rng.uniform(0.88, 1.0), duration_s),
            rng,
        ),
        0.03,
        0.06,
    )
    if rng.random() < 0.5:
        closed = min(len(sound), round(rng.uniform(0.08, 0.25) * SAMPLE_RATE_HZ))
        hum = muffle(sound, 450) * 0.7
        ramp = np.clip(
            (np.arange(len(sound)) - (len(sound) - closed)) / (0.03 * SAMPLE_RATE_HZ), 0, 1
        ).astype(np.float32)
        sound = np.asarray(sound * (1 - ramp) + hum * ramp, np.float32)
    return sound * (10 ** np.linspace(0, -rng.uniform(0, 0.5), len(sound))).astype(np.float32)


def listener_hum(
    clip: Samples, vowel: int, vowel_hz: float, pitch_hz: float, rng: np.random.Generator
) -> Samples:
    """Return a "mm", "mm-hm" or "uh-huh": one or two pulses, the second often higher."""
    base_hz = pitch_hz * rng.uniform(0.8, 1.05)
    open_mouth = rng.random() < 0.4
    pulses: list[Samples] = []
    for i in range(1 if rng.random() < 0.4 else 2):
        duration_s = rng.uniform(0.12, 0.3) * (1.3 if i else 1.0)
        start_hz = base_hz * (rng.uniform(1.0, 1.3) if i else 1.0)
        pulse = sustain(
            clip,
            vowel,
            vowel_hz,
            contour(rng, start_hz, start_hz * rng.uniform(0.8, 1.2), duration_s),
            rng,
        )
        pulses += [
            fade(pulse if open_mouth else muffle(pulse, 550), 0.03, 0.06),
            np.zeros(round(rng.uniform(0.0, 0.05) * SAMPLE_RATE_HZ), np.float32),
        ]
    return np.concatenate(pulses[:-1])
