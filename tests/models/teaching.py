"""A teacher for tests.

It has a few buzzing speakers, calls between them, an encoder without weights, and extractions
with chosen values.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from turnstream.models.dialogues.manifest import Dialogue, write_manifest
from turnstream.models.dialogues.utterances import Utterance, UtterancePool, is_validation_speaker
from turnstream.models.teachers.extraction import (
    COMPONENTS,
    EMBEDDINGS,
    FRAMES,
    STOP_POINTS,
    WINDOWS,
    Components,
    Extraction,
    clip_frames,
)

from ..recordings import RATE_HZ, buzz, utterance

FRAME_SAMPLES = 320
BANDS_HZ = (0, 400, 900, 1600, 2600, 4000, 8001)
CHANNELS = len(BANDS_HZ) - 1
SETS = {"chatter": 2, "remarks": 1}  # clips of each speaker
Place = tuple[int, int, int]  # clip, sample, kind


class FakeEncoder:
    """In place of WhisperEncoder: the levels of six bands in each frame of 20 ms."""

    asked = 0  # clips processed by all encoders

    def __init__(
        self, folder: Path | None = None, *, cache: Path | None = None, threads: int = 1
    ) -> None:
        self.folder, self.cache, self.threads = folder, cache, threads

    def encode(self, clips: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        FakeEncoder.asked += len(clips)
        return [band_levels(clip) for clip in clips]


def band_levels(clip: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logarithm of the power in each band, (ceil(N / 320), 6)."""
    frames = -(-len(clip) // FRAME_SAMPLES)
    framed = np.pad(clip, (0, frames * FRAME_SAMPLES - len(clip))).reshape(frames, FRAME_SAMPLES)
    power = np.abs(np.fft.rfft(framed, axis=1)) ** 2 / FRAME_SAMPLES
    bins_hz = np.fft.rfftfreq(FRAME_SAMPLES, 1 / RATE_HZ)
    bands = [
        power[:, (bins_hz >= low) & (bins_hz < high)].sum(axis=1)
        for low, high in zip(BANDS_HZ, BANDS_HZ[1:], strict=False)
    ]
    return np.log10(np.stack(bands, axis=1) + 1e-7).astype(np.float32)


def speakers(learned: int = 5, kept: int = 2) -> list[str]:
    """Return names of training speakers, and of some validation speakers."""
    names = [f"voice_{number}" for number in range(200)]
    of_split = [
        [name for name in names if is_validation_speaker(name) == validation]
        for validation in (False, True)
    ]
    return of_split[0][:learned] + of_split[1][:kept]


def write_speech(folder: Path) -> Path:
    """Fill a folder with the data that `turnstream pretrain teacher --data` reads."""
    rng = np.random.default_rng(0)
    for name, clips in SETS.items():
        (folder / "speech" / name).mkdir(parents=True)
        rows = []
        for number, speaker in enumerate(speakers()):
            for clip in range(clips):
                file = f"{number}_{clip}.wav"
                sf.write(
                    folder / "speech" / name / file,
                    utterance(100 + 17 * (3 * number % 7), 0.9 + 0.2 * clip, 1.2, rng),
                    RATE_HZ,
                )
                rows.append([file, speaker, "It buzzes." if clip else "it buzzes and,"])
        with (folder / "speech" / name / "manifest.csv").open("w", newline="") as out:
            csv.writer(out).writerows([["file", "speaker", "transcript"], *rows])
    return folder


def write_calls(folder: Path, calls: int = 4, turns: int = 16) -> list[Dialogue]:
    """Write calls of two buzzing speakers.

    A speaker who yields the floor whistles at the end of the turn. A speaker who resumes does not.
    """
    folder.mkdir(parents=True)
    found: list[Dialogue] = []
    for number in range(calls):
        rng = np.random.default_rng(number)
        frames = 110 * turns + 200
        sound, active = (
            1e-3 * rng.standard_normal((2, frames * FRAME_SAMPLES)),
            np.zeros((2, frames), bool),
        )
        at, speaker = 20, int(rng.integers(2))
        for _ in range(turns):
            length, gives_away = int(rng.integers(60, 90)), bool(rng.random() < 0.5)
            spoken = slice(at * FRAME_SAMPLES, (at + length) * FRAME_SAMPLES)
            sound[speaker, spoken] += buzz(110 + 40 * speaker, length / 50, rng)
            if gives_away:
                last = np.arange((at + length - 20) * FRAME_SAMPLES, (at + length) * FRAME_SAMPLES)
                sound[speaker, last] += 0.1 * np.sin(2 * np.pi * 3000 / RATE_HZ * last)
            active[speaker, at : at + length] = True
            at += length + int(rng.integers(18, 30))
            speaker = 1 - speaker if gives_away else speaker
        sf.write(folder / f"call{number}.wav", sound.T, RATE_HZ)
        np.savez(folder / f"call{number}.npz", activity=active, backchannel=np.zeros_like(active))
        names = (f"call{number}/0", f"call{number}/1")
        found.append(
            Dialogue(
                f"call{number}",
                (folder / f"call{number}.wav",),
                names,
                activity=folder / f"call{number}.npz",
            )
        )
    write_manifest(folder / "calls.jsonl", found)
    return found


def plant(
    folder: Path,
    pool: UtterancePool,
    values: Callable[[Utterance, int], NDArray[np.int8]],
    places: Sequence[Place],
    embeddings: NDArray[np.float16] | None = None,
) -> Extraction:
    """Write an extraction of a pool with chosen values.

    Args:
        folder: the folder to create.
        pool: the utterances.
        values: returns the components of a clip's frames as int8, (frames, K), for a clip and its
            number of frames.
        places: the places that the teacher was asked about.
        embeddings: embeddings of the places, (P, WINDOWS * channels); random if not given.
    """
    folder.mkdir(parents=True)
    frames = [values(one, clip_frames(pool.samples(one))) for one in pool.utterances]
    width = frames[0].shape[1]
    Components(
        np.zeros(width, np.float32),
        np.eye(width, dtype=np.float32),
        np.ones(width, np.float32),
        np.full(width, 1 / width, np.float32),
    ).save(folder / COMPONENTS)
    np.concatenate(frames).tofile(folder / FRAMES)
    clip, place, kind = (np.array([one[i] for one in places]) for i in range(3))
    np.savez(
        folder / STOP_POINTS,
        clip=clip.astype(np.int32),
        place=place.astype(np.int32),
        kind=kind.astype(np.int8),
        sets=np.array(pool.sets),
    )
    if embeddings is None:
        embeddings = (
            np.random.default_rng(0)
            .standard_normal((len(places), len(WINDOWS) * width))
            .astype(np.float16)
        )
    embeddings.tofile(folder / EMBEDDINGS)
    return Extraction(folder, pool)
