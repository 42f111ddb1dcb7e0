"""Sounds in a speaker's channel that are not speech: laughter, breaths, lips, coughs, typing, taps.

Their frames are not labelled as speech. Every function returns (N,) at 16 kHz with RMS SPEECH_RMS
where it sounds, so that one gain sets its level relative to speech. `draw_nonspeech` picks one and
applies a natural gain.
Source for laughter (4-6 bursts per second, breathy, high and falling pitch): Bachorowski, Smoski &
Owren 2001.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.signal import butter, sosfilt

from .activity import Samples
from .psola import contour, fade, sustain, whisper
from .utterances import SAMPLE_RATE_HZ

SPEECH_RMS = 10 ** (-26 / 20)  # RMS of phrases before the channel
PEAK = 0.9
LAUGHTER_SHARE = 0.3
LAUGHTER_GAIN_DB = (-10.0, 3.0)


def laughter(
    clip: Samples, vowel: int, vowel_hz: float, pitch_hz: float, rng: np.random.Generator
) -> Samples:
    """A "ha ha ha" of two to nine bursts in the speaker's own vowel.

    Args:
        clip: an utterance of the speaker, (N,).
        vowel: middle of a steady vowel in it.
        vowel_hz: pitch there.
        pitch_hz: usual pitch of the speaker.
        rng: draws tempo, pitch, breathiness and length.
    """
    bursts = int(rng.integers(2, 10))
    tempo_hz = rng.uniform(4.0, 6.0)
    top_hz, fall = pitch_hz * rng.uniform(1.1, 1.8), rng.uniform(0.6, 0.85)
    weakening_db, breathiness, voiceless = (
        rng.uniform(4, 14),
        rng.uniform(0.15, 0.5),
        rng.random() < 0.15,
    )
    laugh = np.zeros(round((bursts + 1) / tempo_hz * SAMPLE_RATE_HZ), np.float32)
    for i in range(bursts):
        position = i / bursts
        vowel_s = rng.uniform(0.4, 0.55) / tempo_hz
        breath_s = rng.uniform(0.2, 0.35) / tempo_hz
        start_hz = top_hz * fall**position * rng.uniform(0.95, 1.05)
        voiced = sustain(
            clip,
            vowel,
            vowel_hz,
            contour(rng, start_hz, start_hz * rng.uniform(0.8, 0.95), vowel_s),
            rng,
        )
        voiced = fade(_unit(voiced), 0.025, 0.05)
        breath = fade(
            _unit(
                whisper(clip, vowel, vowel_hz, round(breath_s * SAMPLE_RATE_HZ) + len(voiced), rng)
            ),
            0.02,
            0.08,
        )
        ha = breathiness * breath
        ha[len(breath) - len(voiced) :] += 0.0 if voiceless else voiced
        at = round((i + rng.uniform(-0.05, 0.05)) / tempo_hz * SAMPLE_RATE_HZ) if i else 0
        room = min(len(ha), len(laugh) - at)
        laugh[at : at + room] += np.float32(10 ** (-weakening_db * position / 20)) * ha[:room]
    return _at_speech_level(np.trim_zeros(laugh, "b"))


def breath_in(rng: np.random.Generator) -> Samples:
    """An inhalation: 0.2-0.6 s of noise with a slow rise and a quick end."""
    duration_s = rng.uniform(0.2, 0.6)
    low_hz = rng.uniform(500, 1200)
    return _at_speech_level(
        fade(
            _band_noise(duration_s, (low_hz, low_hz * rng.uniform(3, 6)), rng),
            0.6 * duration_s,
            rng.uniform(0.03, 0.1),
        )
    )


def breath_out(rng: np.random.Generator) -> Samples:
    """A sigh: 0.4-1.2 s with a quick start and a slow end, darker than an inhalation."""
    duration_s = rng.uniform(0.4, 1.2)
    low_hz = rng.uniform(150, 500)
    return _at_speech_level(
        fade(
            _band_noise(duration_s, (low_hz, low_hz * rng.uniform(4, 8)), rng),
            rng.uniform(0.05, 0.15),
            0.8 * duration_s,
        )
    )


def lip_smack(rng: np.random.Generator) -> Samples:
    """One or two clicks of tongue or lips, a few milliseconds each."""
    places_s = np.cumsum([0.01, *rng.uniform(0.05, 0.15, int(rng.integers(2)))])
    return _train(
        [
            (place, _click(rng.uniform(1200, 3500), rng.uniform(0.003, 0.01), rng))
            for place in places_s
        ]
    )


def cough(rng: np.random.Generator) -> Samples:
    """One to three explosive bursts, each mixed with rough low noise."""
    coughs: list[tuple[float, Samples]] = []
    at_s = 0.0
    for i in range(int(rng.integers(1, 4))):
        duration_s = rng.uniform(0.12, 0.3)
        burst = _unit(fade(_band_noise(duration_s, (300, 4500), rng), 0.008, 0.9 * duration_s))
        rough = 1 + 0.7 * np.sin(
            2 * np.pi * rng.uniform(50, 110) * np.arange(len(burst)) / SAMPLE_RATE_HZ
        )
        chest = _unit(
            fade(_band_noise(duration_s, (200, 900), rng), 0.02, 0.7 * duration_s)
            * rough.astype(np.float32)
        )
        coughs.append((at_s, (np.float32(0.75**i) * (burst + 0.8 * chest)).astype(np.float32)))
        at_s += duration_s + rng.uniform(0.05, 0.3)
    return _at_speech_level(_train(coughs))


def typing(rng: np.random.Generator) -> Samples:
    """A run of 3-25 keys at 3-9 per second. Each key clicks when pressed and when released."""
    key_hz, ringing_s, tempo_hz = (
        rng.uniform(1000, 4000),
        rng.uniform(0.002, 0.008),
        rng.uniform(3, 9),
    )
    keys: list[tuple[float, Samples]] = []
    at_s = 0.01
    for _ in range(int(rng.integers(3, 26))):
        down = np.float32(rng.uniform(0.4, 1.0)) * _click(
            key_hz * rng.uniform(0.8, 1.25), ringing_s, rng
        )
        keys += [
            (at_s, down),
            (
                at_s + rng.uniform(0.05, 0.11),
                0.4 * _click(key_hz * rng.uniform(0.9, 1.4), ringing_s, rng),
            ),
        ]
        at_s += rng.gamma(4.0, 0.25) / tempo_hz
    return _train(keys)


def taps(rng: np.random.Generator) -> Samples:
    """One to five knocks on the desk or the microphone."""
    knock_hz, ringing_s = rng.uniform(90, 500), rng.uniform(0.008, 0.04)
    places_s = np.cumsum([0.01, *rng.uniform(0.12, 0.6, int(rng.integers(5)))])
    return _train(
        [
            (
                place,
                np.float32(rng.uniform(0.4, 1.0))
                * _click(knock_hz * rng.uniform(0.95, 1.05), ringing_s, rng),
            )
            for place in places_s
        ]
    )


# Each sound with its level (RMS in dB re speech) and its share of all sounds except laughter.
_KINDS: tuple[tuple[Callable[[np.random.Generator], Samples], tuple[float, float], float], ...] = (
    (breath_in, (-30.0, -12.0), 0.35),
    (breath_out, (-30.0, -12.0), 0.15),
    (lip_smack, (-24.0, -8.0), 0.15),
    (cough, (-8.0, 5.0), 0.08),
    (typing, (-28.0, -8.0), 0.15),
    (taps, (-20.0, -4.0), 0.12),
)


def draw_nonspeech(
    rng: np.random.Generator, clip: Samples, vowel: int, vowel_hz: float, pitch_hz: float
) -> Samples:
    """One of the sounds of this module at a natural level, (N,).

    Args:
        rng: draws the kind of sound and its details.
        clip: an utterance of the speaker, (N,), at any level.
        vowel: middle of a steady vowel in it, or -1 if there is none (then there is no laughter).
        vowel_hz, pitch_hz: pitch of that vowel, and usual pitch of the speaker.
    """
    if vowel >= 0 and min(vowel_hz, pitch_hz) > 0 and rng.random() < LAUGHTER_SHARE:
        sound, gain_db = laughter(clip, vowel, vowel_hz, pitch_hz, rng), LAUGHTER_GAIN_DB
    else:
        make, gain_db, _ = _KINDS[int(rng.choice(len(_KINDS), p=[share for *_, share in _KINDS]))]
        sound = make(rng)
    return sound * np.float32(10 ** (rng.uniform(*gain_db) / 20))


def _band_noise(
    duration_s: float, band_hz: tuple[float, float], rng: np.random.Generator
) -> Samples:
    white = rng.standard_normal(round(duration_s * SAMPLE_RATE_HZ), dtype=np.float32)
    return np.asarray(
        sosfilt(butter(1, band_hz, "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), white), np.float32
    )


def _click(centre_hz: float, ringing_s: float, rng: np.random.Generator) -> Samples:
    """A decaying resonance with some noise, peak about 1."""
    time_s = np.arange(round(8 * ringing_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    ring = np.sin(2 * np.pi * (centre_hz * time_s + rng.random())) + 0.5 * rng.standard_normal(
        len(time_s)
    )
    return fade((ring * np.exp(-time_s / ringing_s)).astype(np.float32), 0.0005, 0.001)


def _train(events: list[tuple[float, Samples]]) -> Samples:
    """Place sounds at their times in seconds, overlaps added up; the sum is at speech level."""
    train = np.zeros(
        max(round(at_s * SAMPLE_RATE_HZ) + len(sound) for at_s, sound in events), np.float32
    )
    for at_s, sound in events:
        start = round(at_s * SAMPLE_RATE_HZ)
        train[start : start + len(sound)] += sound
    return _at_speech_level(train)


def _at_speech_level(sound: Samples) -> Samples:
    """Scale a sound to RMS SPEECH_RMS, or less if its peak would exceed PEAK.

    The RMS covers the blocks of 10 ms within 30 dB of the loudest one.
    """
    step = SAMPLE_RATE_HZ // 100
    power = (np.pad(sound, (0, -len(sound) % step)).reshape(-1, step) ** 2).mean(axis=1)
    rms = float(np.sqrt(power[power >= power.max() / 1000].mean()))
    return sound * np.float32(
        min(SPEECH_RMS / max(rms, 1e-6), PEAK / max(float(np.abs(sound).max()), 1e-6))
    )


def _unit(sound: Samples) -> Samples:
    return sound / max(float(np.sqrt(np.mean(sound**2))), 1e-5)
