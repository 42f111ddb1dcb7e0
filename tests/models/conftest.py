"""A small corpus in a manifest, and what a fake teacher extracted from a few utterances.

In the corpus, bursts of noise stand for speech, and the activity is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import soundfile as sf

from turnstream.models.dialogues.channel import Surroundings
from turnstream.models.dialogues.manifest import Dialogue, read_manifest, write_manifest
from turnstream.models.dialogues.utterances import UtterancePool, decode_speech
from turnstream.models.distillation.loop import distil
from turnstream.models.teachers import extraction
from turnstream.models.teachers.extraction import Extraction

from .linear_teacher import CPU, SETTINGS, plant_linear_teacher, without_equalisation
from .teaching import FakeEncoder, write_speech

RATE_HZ, FRAME_SAMPLES = 16000, 320
SECONDS = 9.0


def turns(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return the activity of two speakers who mostly alternate, (2, T) bool."""
    active = np.zeros((2, frames), bool)
    start, speaker = 0, int(rng.integers(2))
    while start < frames:
        length = int(rng.integers(30, 80))
        active[speaker, start : start + length] = True
        start += length + int(rng.integers(15, 40))
        speaker = 1 - speaker if rng.random() < 0.7 else speaker
    return active


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bursts")
    rng = np.random.default_rng(0)
    dialogues = []
    for number in range(4):
        active = turns(round(SECONDS * 50), rng)
        loud = np.repeat(active, FRAME_SAMPLES, axis=1)
        audio = (
            0.2 * rng.standard_normal(loud.shape) * loud + 0.0005 * rng.standard_normal(loud.shape)
        ).T
        sf.write(folder / f"{number}.wav", audio, RATE_HZ)
        backchannel = np.zeros_like(active)
        backchannel[1, 100:110] = active[1, 100:110]
        np.savez(folder / f"{number}.npz", activity=active, backchannel=backchannel)
        dialogues.append(
            Dialogue(
                str(number),
                (folder / f"{number}.wav",),
                (f"{number}/0", f"{number}/1"),
                activity=folder / f"{number}.npz",
            )
        )
    write_manifest(folder / "manifest.jsonl", dialogues)
    return folder / "manifest.jsonl"


@pytest.fixture
def dialogues(manifest: Path) -> list[Dialogue]:
    return read_manifest(manifest)


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two sets of utterances for a teacher."""
    return write_speech(tmp_path_factory.mktemp("speech"))


@pytest.fixture(scope="session")
def speech_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decoded")


@pytest.fixture(scope="session")
def speech_sets(speech_folder: Path, speech_cache: Path) -> list[Path]:
    """The two sets, decoded."""
    return decode_speech(speech_folder, speech_cache)


@pytest.fixture(scope="session")
def pool(speech_sets: list[Path]) -> UtterancePool:
    return UtterancePool(speech_sets)


@pytest.fixture(scope="session")
def taught(
    speech_sets: list[Path], pool: UtterancePool, tmp_path_factory: pytest.TempPathFactory
) -> Extraction:
    """All that the fake teacher extracted from the two sets."""
    folder = tmp_path_factory.mktemp("teacher")
    with patch.object(extraction, "WhisperEncoder", FakeEncoder):
        extraction.extract(folder, speech_sets, components=6)
    return Extraction(folder, pool)


@pytest.fixture(scope="session")
def linear_teacher(pool: UtterancePool, tmp_path_factory: pytest.TempPathFactory) -> Extraction:
    """A teacher's extraction that a small network can learn."""
    return plant_linear_teacher(pool, tmp_path_factory.mktemp("linear") / "teacher")


@pytest.fixture
def plain_lines() -> Iterator[None]:
    """Speech without noise and equalisation."""
    with without_equalisation():
        yield


@pytest.fixture(scope="session")
def distilled(linear_teacher: Extraction, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a distillation of that teacher."""
    run = tmp_path_factory.mktemp("distilled") / "run"
    with without_equalisation():
        distil(SETTINGS, linear_teacher, Surroundings(), run, hardware=CPU)
    return run
