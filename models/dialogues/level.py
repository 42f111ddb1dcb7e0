"""Level changes by recording equipment: wander, gain control, noise gate and clipping.

A gate may add comfort noise. Every effect depends on the sound of its own channel and on chance,
never on the labels, as in real equipment.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from .activity import Samples
from .noise import hiss
from .utterances import SAMPLE_RATE_HZ

STEP_SAMPLES = SAMPLE_RATE_HZ // 100  # one gain every 10 ms, linear between


def wander(side: Samples, rng: np.random.Generator) -> Samples:
    """Change the level as if the speaker moved: by some dB over many seconds, with rare jumps."""
    duration_s = len(side) / SAMPLE_RATE_HZ
    knots_s = np.cumsum(rng.uniform(3, 20, int(duration_s / 3) + 2)) - 3
    gain_db = np.interp(np.arange(_steps(side)) / 100, knots_s, rng.normal(0, 2.5, len(knots_s)))
    for _ in range(int(rng.integers(3))):
        gain_db[int(rng.integers(len(gain_db))) :] += rng.uniform(-8, 8)
    return _with_gain(side, gain_db)


def gain_control(side: Samples, speech_db: float, rng: np.random.Generator) -> Samples:
    """Pull the speech level towards `speech_db` (RMS, dB re full scale), ignoring pauses.

    The time constant is drawn, 0.3 to 3 s.
    """
    level_db = _level_db(side)
    loud = level_db > speech_db - 20
    pole = np.exp(-1 / (100 * rng.uniform(0.3, 3.0)))
    weight, excess = (
        _smooth(loud.astype(np.float64), pole),
        _smooth(np.where(loud, level_db - speech_db, 0.0), pole),
    )
    gain_db = -rng.uniform(0.3, 0.9) * excess / (weight + 0.05)
    return _with_gain(side, np.clip(gain_db, -12, 12))


def gate(side: Samples, speech_db: float, rng: np.random.Generator) -> Samples:
    """Attenuate quiet stretches after a hang-over time, like a simple noise suppressor.

    Sometimes comfort noise fills the closed stretches.

    Args:
        side: samples, (N,).
        speech_db: RMS of the speech in it, dB re full scale.
        rng: draws threshold, hang-over time, depth and whether there is comfort noise.
    """
    level_db = _level_db(side)
    above_noise_db = float(np.percentile(level_db, 10)) + 5
    loud = level_db > np.clip(above_noise_db, speech_db - rng.uniform(25, 38), speech_db - 15)
    hangover = round(rng.uniform(0.08, 0.5) * 100)
    steps = np.arange(len(loud))
    last_loud = np.maximum.accumulate(np.where(loud, steps, -hangover - 1))
    open_ = (steps - last_loud <= hangover).astype(np.float64)
    pole = rng.uniform(0.0, 0.85)
    opening = np.maximum(open_, _smooth(open_, pole))  # opens at once, closes smoothly
    depth_db = rng.uniform(10, 40) if rng.random() < 0.6 else 90.0
    gated = _with_gain(side, -depth_db * (1 - opening))
    if rng.random() < 0.4:
        closed = np.interp(np.arange(len(side)), (steps + 0.5) * STEP_SAMPLES, 1 - opening).astype(
            np.float32
        )
        gated += (
            np.float32(10 ** ((speech_db - rng.uniform(35, 60)) / 20))
            * closed
            * hiss(len(side), rng)
        )
    return gated


def overdrive(side: Samples, rng: np.random.Generator) -> Samples:
    """Amplify by 3-12 dB above full scale and clip to [-1, 1]."""
    return np.clip(
        side * np.float32(10 ** (rng.uniform(3, 12) / 20) / max(float(np.abs(side).max()), 1e-3)),
        -1,
        1,
    )


def _smooth(steps: NDArray[np.float64], pole: float) -> NDArray[np.float64]:
    return np.asarray(lfilter([1 - pole], [1, -pole], steps))


def _steps(side: Samples) -> int:
    return -(-len(side) // STEP_SAMPLES)


def _level_db(side: Samples) -> NDArray[np.float64]:
    """RMS of the 20 ms that end with each step, in dB."""
    padded = np.pad(side, (0, _steps(side) * STEP_SAMPLES - len(side)))
    power = (padded.reshape(-1, STEP_SAMPLES) ** 2).mean(axis=1, dtype=np.float64)
    return 10 * np.log10(0.5 * (power + np.r_[0.0, power[:-1]]) + 1e-12)


def _with_gain(side: Samples, gain_db: NDArray[np.float64]) -> Samples:
    """Apply one gain per step, linear between the middles of steps.

    Plain array code: np.interp is ten times slower here.
    """
    gain = np.pad(10 ** (gain_db / 20), 1, mode="edge").astype(np.float32)
    lines = gain[:-1, None] + np.diff(gain)[:, None] * (
        np.arange(STEP_SAMPLES, dtype=np.float32) / STEP_SAMPLES
    )
    return np.asarray(side * lines.ravel()[STEP_SAMPLES // 2 :][: len(side)], np.float32)
