"""What lies between a mouth and the model: room, noise, level, telephone line, bleed of the other channel, and mono.

Everything is drawn per dialogue and per side, so that the recording says nothing about who holds the floor.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, oaconvolve, sosfilt

from ..errors import DialogueError
from .activity import BoolFrames, Samples
from .utterances import SAMPLE_RATE_HZ

TELEPHONE_SHARE = 0.6
MONO_SHARE = 0.1
BLEED_SHARE = 0.3
ROOM_SHARE = 0.35
NOISE_SHARE = 0.45
PACKET_LOSS_SHARE = 0.1
CLIPPING_SHARE = 0.03
SILENT_LINE_SHARE = 0.12  # digital silence where a channel does not speak
PACKET_SAMPLES = 320
REFUSED_LICENCES = ("share alike", "sharealike", "-sa")


@dataclass
class Surroundings:
    """Rooms (impulse responses, direct sound at 0) and noises to draw from; empty lists mean none."""

    rooms: list[Samples] = field(default_factory=list[Samples])
    noises: list[Samples] = field(default_factory=list[Samples])


def read_surroundings(folder: Path) -> Surroundings:
    """Impulse responses in `rooms/` and noises anywhere under `noise/`; both folders may be missing.

    `rooms/manifest.csv` has columns file and licence; rooms under a share-alike licence are left out. Noises have no list and
    no licences here: every audio file (.ogg, .wav, .flac) is used, so what may not be used must not be in the folder.

    Raises:
        DialogueError: rooms/manifest.csv lacks a column, or an audio file cannot be read.
    """
    rooms: list[Samples] = []
    manifest = folder / "rooms" / "manifest.csv"
    if manifest.is_file():
        with manifest.open(encoding="utf-8", newline="") as lines:
            table = csv.DictReader(lines, restval="")
            if {"file", "licence"} - set(table.fieldnames or ()):
                raise DialogueError(f"{manifest}: expected columns file and licence, got {', '.join(table.fieldnames or ['an empty file'])}")
            for row in table:
                if not any(word in row["licence"].lower() for word in REFUSED_LICENCES):
                    response = _read_mono(manifest.parent / row["file"])
                    direct = int(np.abs(response).argmax())
                    rooms.append(response[direct : direct + SAMPLE_RATE_HZ] / np.abs(response[direct]))
    noises = [_read_mono(path) for path in sorted((folder / "noise").rglob("*")) if path.suffix in {".ogg", ".wav", ".flac"}]
    return Surroundings(rooms, [noise for noise in noises if len(noise) > SAMPLE_RATE_HZ and np.abs(noise).max() > 1e-4])


def _read_mono(path: Path) -> Samples:
    try:
        audio, rate = sf.read(path, dtype="float32", always_2d=True)
    except (sf.LibsndfileError, OSError) as error:
        raise DialogueError(f"{path}: expected an audio file that libsndfile reads, got: {error}") from None
    mono = audio.mean(axis=1)
    return mono if rate == SAMPLE_RATE_HZ else soxr.resample(mono, rate, SAMPLE_RATE_HZ)


def through_channel(dry: NDArray[np.float32], speaking: BoolFrames, surroundings: Surroundings, rng: np.random.Generator) -> NDArray[np.int16]:
    """What the two channels would have recorded.

    Args:
        dry: both speakers alone and clean, (2, N) at 16 kHz.
        speaking: their activity, (2, T) at 50 Hz, to measure levels where there is speech.
        surroundings: rooms and noises.
        rng: draws everything.
    Returns:
        (2, N) int16.
    """
    telephone = _line_ends(rng)
    sides = [_one_side(dry[c], speaking[c], surroundings, rng, telephone[c]) for c in (0, 1)]
    if rng.random() < BLEED_SHARE:
        clean = [side.copy() for side in sides]
        for c in (0, 1):
            if rng.random() < 0.75:
                delay = int(rng.uniform(0, 0.15) * SAMPLE_RATE_HZ)
                sides[c][delay:] += 10 ** (rng.uniform(-50, -20) / 20) * clean[1 - c][: len(clean[1 - c]) - delay]
    heard = np.stack(sides)
    if rng.random() < CLIPPING_SHARE:
        heard *= 10 ** (rng.uniform(3, 12) / 20) / max(float(np.abs(heard).max()), 1e-3)
    if rng.random() < MONO_SHARE:
        heard[1] = 0
    return np.clip(np.round(heard * 32767), -32768, 32767).astype(np.int16)


def _line_ends(rng: np.random.Generator) -> tuple[bool, bool]:
    both = rng.random() < TELEPHONE_SHARE
    one = int(rng.integers(2)) if rng.random() < 0.2 else -1
    return (both or one == 0), (both or one == 1)


def _one_side(dry: Samples, speaking: BoolFrames, surroundings: Surroundings, rng: np.random.Generator, telephone: bool) -> Samples:
    spoken = np.repeat(speaking, SAMPLE_RATE_HZ // 50)[: len(dry)]
    level = float(np.sqrt(np.mean(dry[: len(spoken)][spoken] ** 2))) if spoken.any() else 0.05
    side = _microphone(dry, rng)
    if surroundings.rooms and rng.random() < ROOM_SHARE:
        response = surroundings.rooms[int(rng.integers(len(surroundings.rooms)))].copy()
        response[1:] *= rng.uniform(0.1, 1.0)
        response /= np.sqrt(np.sum(response**2))
        side = oaconvolve(side, response)[: len(side)].astype(np.float32)
    if rng.random() >= SILENT_LINE_SHARE:
        side += level * 10 ** (-rng.uniform(25, 65) / 20) * _hiss(len(side), rng)
        if surroundings.noises and rng.random() < NOISE_SHARE:
            side += level * 10 ** (-rng.uniform(5, 40) / 20) * _background(len(side), surroundings.noises, rng)
    wanted = 10 ** (float(np.clip(rng.normal(-26, 6), -42, -10)) / 20)
    side *= wanted / max(level, 1e-4)
    return _telephone(side, rng) if telephone else side


def _microphone(dry: Samples, rng: np.random.Generator) -> Samples:
    """A tilt and a low cut, different for every side."""
    tilt = rng.uniform(-0.35, 0.35)
    tilted = lfilter([1.0, -tilt], [1.0], dry)
    return np.asarray(sosfilt(butter(2, rng.uniform(30, 180), "highpass", fs=SAMPLE_RATE_HZ, output="sos"), tilted), np.float32)


def _hiss(length: int, rng: np.random.Generator) -> Samples:
    """Steady noise of unit RMS, from white to brown."""
    white = rng.standard_normal(length, dtype=np.float32)
    pole = rng.uniform(0.0, 0.98)
    noise = np.asarray(lfilter([1.0], [1.0, -pole], white), np.float32)
    return noise * np.float32(np.sqrt(1 - pole**2))


def _background(length: int, noises: Sequence[Samples], rng: np.random.Generator) -> Samples:
    """One or two recorded noises in a loop, unit RMS, sometimes only for a part of the dialogue."""
    background = np.zeros(length, np.float32)
    for _ in range(1 + int(rng.random() < 0.3)):
        noise = noises[int(rng.integers(len(noises)))]
        looped = np.resize(np.roll(noise, int(rng.integers(len(noise)))), length)
        background += looped / max(float(np.sqrt(np.mean(noise**2))), 1e-5)
    if rng.random() < 0.4:
        start, end = np.sort(rng.integers(0, length, 2))
        background[:start] = 0
        background[end:] = 0
    return background


def _telephone(side: Samples, rng: np.random.Generator) -> Samples:
    """300-3400 Hz at 8 kHz, mu-law, sometimes with lost packets that are repeated or silent."""
    narrow = soxr.resample(side, SAMPLE_RATE_HZ, 8000, quality="LQ")
    band = butter(2, (rng.uniform(120, 320), rng.uniform(3200, 3700)), "bandpass", fs=8000, output="sos")
    narrow = np.clip(sosfilt(band, narrow), -1, 1)
    if rng.random() < 0.8:
        coded = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127) / 127
        narrow = np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255
    wide = soxr.resample(narrow.astype(np.float32), 8000, SAMPLE_RATE_HZ, quality="LQ")
    wide = np.resize(wide, len(side)) if len(wide) >= len(side) else np.pad(wide, (0, len(side) - len(wide)))
    if rng.random() < PACKET_LOSS_SHARE:
        lost = rng.random(len(wide) // PACKET_SAMPLES) < rng.uniform(0.003, 0.03)
        for packet in np.flatnonzero(lost):
            at = int(packet) * PACKET_SAMPLES
            wide[at : at + PACKET_SAMPLES] = 0.5 * wide[at - PACKET_SAMPLES : at] if at and rng.random() < 0.5 else 0
    return wide
