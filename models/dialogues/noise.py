"""Background sound of one side: hiss, mains hum, music, babble and recorded noise.

Every sound has an RMS of about 1 over its whole length. The caller sets the level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

from ...stream.errors import DialogueError
from .activity import Samples
from .utterances import SAMPLE_RATE_HZ

SEAM_SAMPLES = round(0.02 * SAMPLE_RATE_HZ)  # cross-fade where a loop repeats
HISS_SAMPLES = 20 * SAMPLE_RATE_HZ
MUSIC_SHARE, HUM_SHARE, BABBLE_SHARE = 0.1, 0.1, 0.25  # of backgrounds; the rest is recorded noise


def hiss(length: int, rng: np.random.Generator) -> Samples:
    """Steady noise between white and brown, (length,).

    It repeats after HISS_SAMPLES, which saves time and cannot be heard.
    """
    white = rng.standard_normal(min(length, HISS_SAMPLES), dtype=np.float32)
    return looped(
        np.asarray(lfilter([1.0], [1.0, -rng.uniform(0.0, 0.98)], white), np.float32), length, rng
    )


def hum(length: int, rng: np.random.Generator) -> Samples:
    """Mains hum: 50 or 60 Hz and its harmonics, (length,)."""
    base_hz = 50 if rng.random() < 0.5 else 60
    steepness = rng.uniform(0.5, 1.5)
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ  # whole periods fit into a second
    second = sum(
        k**-steepness
        * rng.uniform(0.2, 1)
        * np.sin(2 * np.pi * (k * base_hz * time_s + rng.random()))
        for k in range(1, 16)
    )
    return np.resize(_unit(np.asarray(second, np.float32)), length)


def music(length: int, rng: np.random.Generator) -> Samples:
    """Plucked chords in a loop of a few bars, like a radio or hold music, (length,)."""
    beat = round(rng.uniform(0.25, 0.7) * SAMPLE_RATE_HZ)
    beats = 16
    bars = np.zeros(beats * beat, np.float32)
    ringing_s = rng.uniform(0.2, 1.0)
    time_s = np.arange(2 * beat) / SAMPLE_RATE_HZ
    decay = (
        np.exp(-time_s / ringing_s)
        * np.minimum(1, time_s / 0.005)
        * np.minimum(1, time_s[::-1] / 0.05)
    )
    root = int(rng.integers(-12, 5))
    for i in range(beats):
        chord = (
            root + int(rng.choice([0, 5, 7, -3])) + np.array([0, 4, 7])
            if i % 4 == 0
            else root + rng.choice([0, 2, 4, 7, 9, 12], size=1)
        )
        for semitone in chord:
            tone_hz = 220 * 2 ** (semitone / 12)
            tone = sum(np.sin(2 * np.pi * k * tone_hz * time_s) / k**1.5 for k in range(1, 5))
            np.add.at(
                bars,
                (i * beat + np.arange(2 * beat)) % len(bars),
                (rng.uniform(0.5, 1) * decay * tone).astype(np.float32),
            )
    return np.resize(_unit(bars), length)


def babble(clips: Sequence[Samples], length: int, voices: int, rng: np.random.Generator) -> Samples:
    """Several people who talk at once, further away than the speaker.

    Args:
        clips: speech at 16 kHz, (N,) each, of many speakers; a few minutes in all are enough.
        length: number of samples; the result loops without a seam.
        voices: how many talk at the same time. Fewer than three can be understood, and are then a
            turn rather than noise.
        rng: picks clips and levels.
    Returns:
        (length,).
    Raises:
        DialogueError: no clips, or no voices.
    """
    if not clips or voices < 1:
        raise DialogueError(
            f"babble: expected clips of speech and at least one voice, got {len(clips)} clips "
            f"and {voices} voices"
        )
    crowd = np.zeros(length, np.float32)
    for _ in range(voices):
        gain = 10 ** (rng.uniform(-6, 0) / 20)
        start, end = int(rng.integers(length)), 0
        while end < length:
            clip = clips[int(rng.integers(len(clips)))][: length - end]
            at = (start + end + np.arange(len(clip))) % length
            crowd[at] += np.float32(gain) * _unit(clip)
            end += len(clip) + int(rng.uniform(0.0, 0.6) * SAMPLE_RATE_HZ) + 1
    band = butter(
        1,
        (rng.uniform(80, 250), rng.uniform(2000, 5000)),
        "bandpass",
        fs=SAMPLE_RATE_HZ,
        output="sos",
    )
    return _unit(np.asarray(sosfilt(band, crowd), np.float32))


def background(
    length: int, noises: Sequence[Samples], crowds: Sequence[Samples], rng: np.random.Generator
) -> Samples:
    """Return one or two background sounds, sometimes for a part of the dialogue only, (length,).

    Recorded sounds are looped.

    Args:
        length: number of samples.
        noises: recorded noises.
        crowds: tracks of babble.
        rng: draws everything.
    """
    sound = np.zeros(length, np.float32)
    for _ in range(1 + int(rng.random() < 0.3)):
        kind = rng.random()
        if kind < MUSIC_SHARE:
            sound += music(length, rng)
        elif kind < MUSIC_SHARE + HUM_SHARE or not (noises or crowds):
            sound += hum(length, rng)
        else:
            recorded = (
                crowds
                if crowds and (kind < MUSIC_SHARE + HUM_SHARE + BABBLE_SHARE or not noises)
                else noises
            )
            sound += looped(recorded[int(rng.integers(len(recorded)))], length, rng)
    if rng.random() < 0.4:
        start, end = np.sort(rng.integers(0, length + 1, 2))
        ramp = np.interp(
            np.arange(length),
            (start - 0.3 * SAMPLE_RATE_HZ, start, end, end + 0.3 * SAMPLE_RATE_HZ),
            (0, 1, 1, 0),
        )
        sound *= ramp.astype(np.float32)
    return sound


def looped(noise: Samples, length: int, rng: np.random.Generator) -> Samples:
    """Repeat a noise up to `length`, from a random start, with cross-faded ends."""
    seam = min(SEAM_SAMPLES, len(noise) // 2)
    ramp = np.sqrt(np.linspace(0, 1, seam, dtype=np.float32))
    ring = noise[: len(noise) - seam].copy()
    ring[:seam] = ring[:seam] * ramp + noise[len(noise) - seam :] * ramp[::-1]
    return np.resize(np.roll(_unit(ring), int(rng.integers(len(ring)))), length)


def _unit(sound: Samples) -> Samples:
    return sound / max(float(np.sqrt(np.mean(sound**2))), 1e-5)
