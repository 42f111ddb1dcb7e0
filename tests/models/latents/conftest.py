"""A tiny network, a few seconds of noise that comes in turns, and its states of these."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.checkpoint import save_checkpoint
from turnstream.models.dialogues.activity import segments_to_frames
from turnstream.models.latents.collect import collect, load_network, read_source
from turnstream.models.latents.collection import Collection

from ...networks import TINY, random_model

SEGMENTS = [
    [(0.5, 4.0), (4.5, 7.0), (12.5, 16.0)],
    [(7.5, 9.5), (10.2, 12.0), (14.0, 14.4), (16.6, 19.0)],
]  # a hold, shifts, a hold, a backchannel
FRAMES = 1000


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    save_checkpoint(random_model(TINY), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three dialogues of noise that comes in turns, with words, one question among them.

    The second is the first with the speakers exchanged.
    """
    folder = tmp_path_factory.mktemp("dialogues")
    lines = []
    for number in range(3):
        segments = SEGMENTS[::-1] if number == 1 else SEGMENTS
        activity = segments_to_frames(segments, FRAMES)
        caller = int(number == 1)
        backchannel = np.zeros_like(activity)
        backchannel[1 - caller, 700:720] = True
        noise = np.random.default_rng(number).normal(0, 3000, (2, FRAMES * 320))
        np.save(
            folder / f"{number}.npy", (noise * np.repeat(activity, 320, axis=1)).astype(np.int16)
        )
        np.savez(folder / f"{number}.npz", activity=activity, backchannel=backchannel)
        words = [
            {"ch": caller, "start": 4.5, "end": 7.0, "text": "Is it?"},
            {"ch": 1 - caller, "start": 10.2, "end": 12.0, "text": "It is."},
        ]
        (folder / f"{number}.words.json").write_text(json.dumps(words))
        line = {
            "audio": f"{number}.npy",
            "activity": f"{number}.npz",
            "words": f"{number}.words.json",
            "sample_rate_hz": 16000,
        }
        lines.append(json.dumps(line | {"split": "val" if number == 2 else "train"}))
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return folder / "manifest.jsonl"


@pytest.fixture(scope="session")
def tiny_collection(
    tiny_checkpoint: Path, tiny_manifest: Path, tmp_path_factory: pytest.TempPathFactory
) -> Collection:
    return collect(
        load_network(tiny_checkpoint),
        "tiny",
        read_source(tiny_manifest),
        tmp_path_factory.mktemp("collections") / "tiny",
    )
