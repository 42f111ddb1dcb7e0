"""Dialogues with known speech and freely chosen predictions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from turnstream.models.dialogues.activity import Segment, segments_to_frames
from turnstream.models.evaluation.predictions import DialoguePrediction, EvaluatedDialogue, Frames

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


@pytest.fixture(scope="session")
def random_dialogues() -> list[EvaluatedDialogue]:
    return [random_dialogue(number) for number in range(8)]
