"""The channel between mouth and model: microphone, room, noise, crosstalk, level and line.

noise.py, crosstalk.py, level.py and telephone.py hold the parts. In some dialogues the second
channel is silent. All effects are drawn per dialogue and per side, so that the recording conditions
say nothing about who holds the floor.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, oaconvolve, sosfilt

from ...stream.errors import DialogueError
from .activity import BoolFrames, Samples
from .crosstalk import add_crosstalk
from .level import gain_control, gate, overdrive, wander
from .noise import background, hiss
from .telephone import Line, draw_lines, over_line
from .utterances import SAMPLE_RATE_HZ

NOMINAL_DB = -26.0  # RMS of speech, dB re full scale
CLEAN_SHARE = 0.3  # share of dialogues with headsets: no room, no noise except a little hiss
MONO_SHARE = 0.1  # the second channel is digital silence
ROOM_SHARE = 0.4
NOISE_SHARE = 0.55
SILENT_LINE_SHARE = 0.12  # sides with digital silence between speech
WANDER_SHARE, GAIN_CONTROL_SHARE, GATE_SHARE = 0.2, 0.15, 0.15
CLIPPING_SHARE, OFFSET_SHARE = 0.03, 0.05
REFUSED_LICENCES = ("share alike", "sharealike", "-sa")


@dataclass
class Surroundings:
    """Sounds to draw from; an empty list means none.

    Attributes:
        rooms: impulse responses; the direct sound is at sample 0.
        noises: recordings longer than one second.
        babble: tracks of several voices at once, made by `noise.babble` from speech of this split.
    """

    rooms: list[Samples] = field(default_factory=list[Samples])
    noises: list[Samples] = field(default_factory=list[Samples])
    babble: list[Samples] = field(default_factory=list[Samples])


def read_surroundings(folder: Path) -> Surroundings:
    """Read impulse responses from `rooms/` and noises from `noise/` and its subfolders.

    Both folders may be missing. `rooms/manifest.csv` has the columns file and licence; rooms under
    a share-alike licence are left out. Noises have no manifest and no licence check: every .ogg,
    .wav and .flac file is used.

    Raises:
        DialogueError: rooms/manifest.csv lacks a column, or an audio file cannot be read.
    """
    rooms: list[Samples] = []
    manifest = folder / "rooms" / "manifest.csv"
    if manifest.is_file():
        with manifest.open(encoding="utf-8", newline="") as lines:
            table = csv.DictReader(lines, restval="")
            if {"file", "licence"} - set(table.fieldnames or ()):
                raise DialogueError(
                    f"{manifest}: expected columns file and licence, "
                    f"got {', '.join(table.fieldnames or ['an empty file'])}"
                )
            for row in table:
                if not any(word in row["licence"].lower() for word in REFUSED_LICENCES):
                    response = _read_mono(manifest.parent / row["file"])
                    direct = int(np.abs(response).argmax())
                    rooms.append(
                        response[direct : direct + SAMPLE_RATE_HZ] / np.abs(response[direct])
                    )
    noises = [
        _read_mono(path)
        for path in sorted((folder / "noise").rglob("*"))
        if path.suffix in {".ogg", ".wav", ".flac"}
    ]
    return Surroundings(
        rooms,
        [noise for noise in noises if len(noise) > SAMPLE_RATE_HZ and np.abs(noise).max() > 1e-4],
    )


def _read_mono(path: Path) -> Samples:
    try:
        audio, rate = sf.read(path, dtype="float32", always_2d=True)
    except (sf.LibsndfileError, OSError) as error:
        raise DialogueError(
            f"{path}: expected an audio file that libsndfile reads, got: {error}"
        ) from None
    mono = audio.mean(axis=1)
    return mono if rate == SAMPLE_RATE_HZ else soxr.resample(mono, rate, SAMPLE_RATE_HZ)


def through_channel(
    dry: NDArray[np.float32],
    speaking: BoolFrames,
    surroundings: Surroundings,
    rng: np.random.Generator,
) -> NDArray[np.int16]:
    """Simulate the recording of both channels.

    Args:
        dry: clean sound of each speaker alone, (2, N) at 16 kHz.
        speaking: activity of both, (2, T) at 50 Hz; levels are measured where there is speech.
        surroundings: rooms and noises.
        rng: draws everything.
    Returns:
        (2, N) int16.
    """
    clean = rng.random() < CLEAN_SHARE
    second = rng.random()
    lines = draw_lines(rng)
    if second < MONO_SHARE:
        only = _at_microphone(dry[0], speaking[0], surroundings, rng, clean)
        channels = [_equipment(only, lines[0], rng), np.zeros_like(only)]
    else:
        sides = [_at_microphone(dry[c], speaking[c], surroundings, rng, clean) for c in (0, 1)]
        channels = [
            _equipment(side, line, rng)
            for side, line in zip(add_crosstalk(sides, surroundings.rooms, rng), lines, strict=True)
        ]
    return np.clip(np.round(np.stack(channels) * 32767), -32768, 32767).astype(np.int16)


def _at_microphone(
    dry: Samples,
    speaking: BoolFrames,
    surroundings: Surroundings,
    rng: np.random.Generator,
    clean: bool,
) -> Samples:
    """One speaker in a room with noise; the speech is at NOMINAL_DB."""
    spoken = np.repeat(speaking, SAMPLE_RATE_HZ // 50)[: len(dry)]
    level = float(np.sqrt(np.mean(dry[: len(spoken)][spoken] ** 2))) if spoken.any() else 0.05
    nominal = 10 ** (NOMINAL_DB / 20)
    side = _microphone(dry * np.float32(nominal / max(level, 1e-4)), rng)
    if not clean and surroundings.rooms and rng.random() < ROOM_SHARE:
        response = surroundings.rooms[int(rng.integers(len(surroundings.rooms)))].copy()
        response[1:] *= rng.uniform(0.1, 1.0)
        response /= np.sqrt(np.sum(response**2))
        side = oaconvolve(side, response)[: len(side)].astype(np.float32)
    if rng.random() < SILENT_LINE_SHARE:
        return side
    side += np.float32(nominal * 10 ** (-_hiss_snr_db(rng, clean) / 20)) * hiss(len(side), rng)
    if not clean and rng.random() < NOISE_SHARE:
        snr_db = rng.uniform(5, 20) if rng.random() < 0.2 else rng.uniform(20, 45)
        side += np.float32(nominal * 10 ** (-snr_db / 20)) * background(
            len(side), surroundings.noises, surroundings.babble, rng
        )
    return side


def _hiss_snr_db(rng: np.random.Generator, clean: bool) -> float:
    if clean:
        return rng.uniform(45, 70)
    return rng.uniform(5, 25) if rng.random() < 0.1 else rng.uniform(25, 65)


def _microphone(dry: Samples, rng: np.random.Generator) -> Samples:
    """Apply a random spectral tilt and a low cut."""
    tilt = rng.uniform(-0.35, 0.35)
    tilted = dry.copy()
    tilted[1:] -= np.float32(tilt) * dry[:-1]
    return np.asarray(
        sosfilt(
            butter(2, rng.uniform(30, 180), "highpass", fs=SAMPLE_RATE_HZ, output="sos"), tilted
        ),
        np.float32,
    )


def _equipment(side: Samples, line: Line, rng: np.random.Generator) -> Samples:
    """Apply gains, gate and line, (N,). The result is within full scale unless it clips."""
    if rng.random() < WANDER_SHARE:
        side = wander(side, rng)
    if rng.random() < GAIN_CONTROL_SHARE:
        side = gain_control(side, NOMINAL_DB, rng)
    if rng.random() < GATE_SHARE:
        side = gate(side, NOMINAL_DB, rng)
    gain_db = (
        rng.uniform(-20, 20) if rng.random() < 0.15 else float(np.clip(rng.normal(0, 6), -16, 16))
    )
    side = side * np.float32(10 ** (gain_db / 20))
    if rng.random() < CLIPPING_SHARE:
        side = overdrive(side, rng)
    side = over_line(side, line, rng)
    return side + np.float32(rng.normal(0, 0.01)) if rng.random() < OFFSET_SHARE else side
