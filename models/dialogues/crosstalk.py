"""One channel audible in the other: leakage of a headset, and the delayed echo of a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, oaconvolve, sosfilt

from .activity import Samples
from .utterances import SAMPLE_RATE_HZ

LEAK_SHARE, ECHO_SHARE = 0.4, 0.15
LEAK_DB, ECHO_DB = (-50.0, -17.0), (-45.0, -15.0)
LEAK_DELAY_S, ECHO_DELAY_S = (0.0, 0.02), (0.06, 0.4)


def add_crosstalk(
    sides: Sequence[Samples], rooms: Sequence[Samples], rng: np.random.Generator
) -> list[Samples]:
    """Return both sides with leakage and echo of the other added, in one direction or in both.

    The sides are (N,) each, at about the same level.
    """
    leaks, echoes = rng.random() < LEAK_SHARE, rng.random() < ECHO_SHARE
    mixed = [side.copy() for side in sides]
    for c in (0, 1):
        if leaks and rng.random() < 0.75:
            mixed[c] += delayed(leak(sides[1 - c], rng), rng.uniform(*LEAK_DELAY_S))
        if echoes and rng.random() < 0.6:
            mixed[c] += delayed(echo(sides[1 - c], rooms, rng), rng.uniform(*ECHO_DELAY_S))
    return mixed


def leak(other: Samples, rng: np.random.Generator) -> Samples:
    """Return what leaks from an earpiece: a quiet, band-limited copy of the other side."""
    band = butter(
        1,
        (rng.uniform(150, 600), rng.uniform(1500, 6000)),
        "bandpass",
        fs=SAMPLE_RATE_HZ,
        output="sos",
    )
    return _quiet(np.asarray(sosfilt(band, other), np.float32), LEAK_DB, rng)


def echo(other: Samples, rooms: Sequence[Samples], rng: np.random.Generator) -> Samples:
    """Return the echo from the far end: through one of the rooms, or else low-passed."""
    if rooms and rng.random() < 0.5:
        response = rooms[int(rng.integers(len(rooms)))][: SAMPLE_RATE_HZ // 4]
        reflected = oaconvolve(other, response / np.sqrt(np.sum(response**2)))[: len(other)]
    else:
        reflected = sosfilt(
            butter(2, rng.uniform(1000, 3400), fs=SAMPLE_RATE_HZ, output="sos"), other
        )
    return _quiet(np.asarray(reflected, np.float32), ECHO_DB, rng)


def delayed(sound: Samples, delay_s: float) -> Samples:
    """`sound` delayed by `delay_s`, (N,), with its length kept."""
    delay = min(round(delay_s * SAMPLE_RATE_HZ), len(sound))
    return np.pad(sound, (delay, 0))[: len(sound)]


def _quiet(sound: Samples, range_db: tuple[float, float], rng: np.random.Generator) -> Samples:
    return sound * np.float32(10 ** (rng.uniform(*range_db) / 20))
