"""Dialogues with known speech and freely chosen predictions, and some that a model is run on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile as sf

from turnstream.models.dialogues.activity import Segment, segments_to_frames
from turnstream.models.dialogues.manifest import Dialogue, read_manifest, write_manifest
from turnstream.models.evaluation import measures
from turnstream.models.evaluation.conditions import CLEAN, ConditionNames
from turnstream.models.evaluation.predictions import DialoguePrediction, EvaluatedDialogue, Frames
from turnstream.models.evaluation.systems import load_engines, run_models

RATE_HZ = 8000
MakeDialogue = Callable[..., EvaluatedDialogue]


def said(frames: int, value: float = 0.5) -> DialoguePrediction:
    """Return constant predictions; every array is a copy, so that a test can write into it."""
    return DialoguePrediction(*(np.full((2, frames), value, np.float32) for _ in range(5)))


def random_prediction(frames: int, rng: np.random.Generator) -> DialoguePrediction:
    def share() -> Frames:
        first = rng.random(frames, np.float32)
        return np.stack([first, 1 - first])

    return DialoguePrediction(
        rng.random((2, frames), np.float32),
        share(),
        share(),
        share(),
        rng.random((2, frames), np.float32),
    )


def random_dialogue(number: int, frames: int = 3000) -> EvaluatedDialogue:
    """Return mostly alternating speakers and random predictions, from the number as a seed."""
    rng = np.random.default_rng(number)
    activity, at = np.zeros((2, frames), bool), 0
    while at < frames:
        length = int(rng.choice([15, 40, 80, 200]))
        activity[rng.integers(2), at : at + length] = True
        at = max(0, at + length + int(rng.integers(-15, 70)))
    return EvaluatedDialogue(
        str(number),
        activity,
        np.zeros_like(activity),
        random_prediction(frames, rng),
        (random_prediction(frames, rng), random_prediction(frames, rng)),
    )


@pytest.fixture
def dialogue() -> MakeDialogue:
    """Build a dialogue of 10 s from two lists of segments.

    Predictions are 0.5 until a test writes into them.
    """

    def build(
        first: list[Segment], second: list[Segment], seconds: float = 10.0
    ) -> EvaluatedDialogue:
        activity = segments_to_frames([first, second], round(seconds * 50))
        frames = activity.shape[1]
        return EvaluatedDialogue(
            "a", activity, np.zeros_like(activity), said(frames), (said(frames), said(frames))
        )

    return build


@pytest.fixture(scope="module")
def few_draws() -> Iterator[None]:
    """Intervals from few draws, for speed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "RESAMPLES", 40)
        yield


@pytest.fixture(scope="session")
def random_dialogues() -> list[EvaluatedDialogue]:
    return [random_dialogue(number) for number in range(8)]


def write_dialogues(folder: Path, count: int = 3, seconds: float = 14.0) -> Path:
    """Write dialogues: bursts of noise stand for speech, and the activity is known."""
    dialogues: list[Dialogue] = []
    for number in range(count):
        rng = np.random.default_rng(number)
        active = np.zeros((2, round(seconds * 50)), bool)
        at, speaker = 25, number % 2
        while at < active.shape[1] - 60:
            length = int(rng.integers(55, 110))
            active[speaker, at : at + length] = True
            at, speaker = (
                at + length + int(rng.integers(20, 45)),
                1 - speaker if rng.random() < 0.6 else speaker,
            )
        loud = np.repeat(active, RATE_HZ // 50, axis=1)
        audio = 0.2 * rng.standard_normal(loud.shape) * loud + 0.0005 * rng.standard_normal(
            loud.shape
        )
        sf.write(folder / f"{number}.wav", np.clip(audio, -1, 1).T, RATE_HZ)
        np.savez(folder / f"{number}.npz", activity=active)
        split = "test" if number == 0 else "val"
        dialogues.append(
            Dialogue(
                f"call {number}",
                (folder / f"{number}.wav",),
                ("a", "b"),
                "bursts",
                "CC0",
                split,
                activity=folder / f"{number}.npz",
            )
        )
    write_manifest(folder / "calls.jsonl", dialogues)
    return folder / "calls.jsonl"


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dialogues(tmp_path_factory.mktemp("calls"))


@pytest.fixture(scope="session")
def evaluated(manifest: Path, tiny_model_path: Path) -> list[EvaluatedDialogue]:
    dialogues = read_manifest(manifest)
    engines = load_engines(tiny_model_path, None, dialogues)
    return run_models(engines, dialogues, ConditionNames())[CLEAN.name]


@pytest.fixture(scope="session")
def folds(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models for three dialogues.

    The second model's p_next is that of the first with the speakers exchanged.
    """
    folder = tmp_path_factory.mktemp("folds")
    graph = onnx.load(tiny_model_path)
    swapped = onnx.ModelProto()
    swapped.CopyFrom(graph)
    for node in swapped.graph.node:
        node.output[:] = [
            "p_next_of_the_first" if name == "p_next" else name for name in node.output
        ]
        node.input[:] = ["p_next_of_the_first" if name == "p_next" else name for name in node.input]
    swapped.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 0]), "exchanged"))
    swapped.graph.node.append(
        onnx.helper.make_node("Gather", ["p_next_of_the_first", "exchanged"], ["p_next"], axis=1)
    )
    (folder / "late").mkdir()
    onnx.save(graph, folder / "early.onnx")
    onnx.save(swapped, folder / "late" / "model.onnx")
    named = {
        "call 0": "early.onnx",
        "call 1": "late/model.onnx",
        "call 2": "early.onnx",
        "another": "none.onnx",
    }
    (folder / "folds.json").write_text(json.dumps(named))
    return folder
