"""A tiny data folder for the simulation.

It has buzzing voices instead of people, one short RTTM conversation, a room and a noise.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile as sf

RATE_HZ = 16000
SYLLABLE_S = 0.25


def buzz(pitch_hz: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Return the harmonics of one pitch in syllables."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * pitch_hz * k * t) / k for k in range(1, 12))
    syllables = 0.55 - 0.45 * np.cos(2 * np.pi * t / SYLLABLE_S + np.pi)
    return (0.1 * tone * syllables + 1e-4 * rng.standard_normal(len(t))).astype(np.float32)


def utterance(
    pitch_hz: float, first_s: float, second_s: float, rng: np.random.Generator
) -> np.ndarray:
    """Return 0.4 s of quiet, speech, 0.3 s of quiet, speech, 0.4 s of quiet."""

    def quiet(seconds: float) -> np.ndarray:
        return (1e-4 * rng.standard_normal(round(seconds * RATE_HZ))).astype(np.float32)

    return np.concatenate(
        [
            quiet(0.4),
            buzz(pitch_hz, first_s, rng),
            quiet(0.3),
            buzz(pitch_hz, second_s, rng),
            quiet(0.4),
        ]
    )


def write_simulation_data(folder: Path) -> Path:
    """Fill a folder with the data that `turnstream simulate --data` reads."""
    rng = np.random.default_rng(0)
    tones = folder / "speech" / "tones"
    tones.mkdir(parents=True)
    rows = []
    for speaker in range(24):
        for clip in range(4):
            name = f"{speaker:02d}_{clip}.ogg"
            sf.write(
                tones / name, utterance(100 + 5 * speaker, 0.5 + 0.25 * clip, 1.0, rng), RATE_HZ
            )
            rows.append([name, f"tone_{speaker}", "It buzzes." if clip else "it buzzes and,"])
    with (tones / "manifest.csv").open("w", newline="") as out:
        csv.writer(out).writerows([["file", "speaker", "transcript"], *rows])
    chat = folder / "timing" / "spjallromur"
    chat.mkdir(parents=True)
    lines = [
        f"SPEAKER chat 1 {4.0 * i:.2f} {2.0 + 0.1 * (i % 5):.2f} <NA> <NA> {'ab'[i % 2]} <NA> <NA>"
        for i in range(60)
    ]
    (chat / "chat.rttm").write_text("\n".join(lines))
    (folder / "rooms").mkdir()
    sf.write(
        folder / "rooms" / "hall.wav",
        np.exp(-np.arange(4000) / 800) * rng.standard_normal(4000) * 0.1,
        RATE_HZ,
    )
    (folder / "rooms" / "manifest.csv").write_text(
        "file,licence\nhall.wav,public domain\nmissing.wav,Attribution Share Alike\n"
    )
    (folder / "noise").mkdir()
    sf.write(folder / "noise" / "hum.wav", 0.1 * np.sin(np.arange(32000) * 0.05), RATE_HZ)
    return folder
