"""The bundled network with the policy: noise starts no turn, faint speech starts one.

Each sound has a few seconds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.stream.bench import sample_audio
from turnstream.stream.engine import Engine
from turnstream.stream.pcm import to_float32
from turnstream.stream.policy import PRESETS, PolicySettings
from turnstream.stream.prediction import TurnEvent
from turnstream.stream.session import Session

RATE_HZ = 16000
SECONDS = 4.0
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def starts(
    engine: Engine, sounds: list[Floats], policy: str | PolicySettings = "fast"
) -> list[int]:
    """Return how many turns of the user each sound starts.

    The sound, (N,), is in the user's channel; the other channel is silent.
    """
    sessions = [Session(engine.metadata, policy=policy, buffer_s=SECONDS + 1) for _ in sounds]
    for session, sound in zip(sessions, sounds, strict=True):
        session.push_audio(to_float32(sound))
    events: list[list[TurnEvent]] = [[] for _ in sounds]
    state = engine.init_state(len(sounds))
    for _ in range(round(SECONDS * 50)):
        output, state = engine.step(np.stack([session.take_frame() for session in sessions]), state)
        for row, session in enumerate(sessions):
            events[row] += session.accept(output, row).events
    return [
        sum(event.type == "start_of_turn" and event.speaker == 0 for event in found)
        for found in events
    ]


def speech() -> Floats:
    """Return the first seconds of the sample in which the user speaks."""
    user = sample_audio(RATE_HZ)[:, 0].astype(np.float64)
    loud = np.flatnonzero(np.abs(user) > 0.1 * np.abs(user).max())[0]
    start = max(0, int(loud) - RATE_HZ // 2)
    return user[start : start + round(SECONDS * RATE_HZ)]


def at(level_dbfs: float, sound: Floats) -> Floats:
    """Return the sound with the RMS of its loud parts at a level."""
    loud = sound[np.abs(sound) > 0.1 * np.abs(sound).max()]
    return np.clip(sound / np.sqrt(np.mean(loud**2)) * 10 ** (level_dbfs / 20), -1, 1)


def steady_noises() -> dict[str, Floats]:
    count = round(SECONDS * RATE_HZ)
    time_s, white = np.arange(count) / RATE_HZ, np.random.default_rng(0).standard_normal(count)
    pink = np.fft.irfft(
        np.fft.rfft(white) / np.sqrt(np.maximum(1, np.arange(count // 2 + 1))), count
    )
    hum = np.sum([np.sin(2 * np.pi * 50 * k * time_s + k) / k for k in range(1, 16)], axis=0)
    return {
        "white": white,
        "pink": pink,
        "hum": hum,
        "fan": pink / pink.std() + 0.5 * hum,
        "swelling": pink * (1 + np.sin(2 * np.pi * 4 * time_s)),
    }


def test_steady_noise_up_to_minus_45_dbfs_starts_no_turn(engine: Engine) -> None:
    named = [
        (f"{name} {level}", at(level, noise))
        for name, noise in steady_noises().items()
        for level in (-75, -60, -45)
    ]
    found = starts(engine, [sound for _, sound in named])
    assert [name for (name, _), count in zip(named, found, strict=True) if count] == []


def test_clicks_start_no_turn(engine: Engine) -> None:
    rng, count = np.random.default_rng(0), round(SECONDS * RATE_HZ)
    sounds: list[Floats] = []
    for length in (1, 80):
        clicks = np.zeros(count)
        for place in rng.integers(0, count - length, round(4 * SECONDS)):
            clicks[place : place + length] = rng.choice([-0.5, 0.5], length)
        sounds.append(clicks)
    assert starts(engine, sounds) == [0, 0]


def test_speech_below_the_least_level_starts_no_turn(engine: Engine) -> None:
    faint = [at(-68, speech()), at(-68, speech()[::-1])]  # reversed speech is babble
    assert starts(engine, faint) == [0, 0]
    loud = [at(-50, speech())]
    assert starts(engine, loud, replace(PRESETS["fast"], min_level_dbfs=-30)) == [0]
    assert min(starts(engine, loud)) > 0


@pytest.mark.parametrize("preset", [*PRESETS])
def test_speech_at_minus_50_dbfs_starts_a_turn(engine: Engine, preset: str) -> None:
    assert min(starts(engine, [at(-50, speech()), at(-20, speech()), at(-6, speech())], preset)) > 0
