"""Collections whose latents are made, so that it is known what is in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from turnstream.models.latents.collection import (
    About,
    CollectedDialogue,
    Collection,
    write_about,
    write_events,
)
from turnstream.models.latents.moments import find_moments
from turnstream.models.latents.writing import event_row, frame_columns, write_frames
from turnstream.stream.contract import PROBABILITIES

SIZES = {"latent_speaker": 6, "latent": 8}
Latents = Callable[[str, NDArray[np.bool_], np.random.Generator], NDArray[np.float32]]


def turns(frames: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Two speakers who mostly take turns, (2, frames): speech of 0.4-4 s, pauses of 0.3-1.5 s."""
    activity, at, speaker = np.zeros((2, frames), bool), 25, 0
    while at < frames:
        length = int(rng.integers(20, 200))
        activity[speaker, at : at + length] = True
        at += length + int(rng.integers(15, 75))
        speaker = int(rng.random() < 0.5) if rng.random() < 0.7 else speaker
    return activity


def noise(layer: str, activity: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """Latents that move slowly and mean nothing, (T, 2, H)."""
    steps = rng.normal(size=(activity.shape[1], 2, SIZES[layer]))
    for frame in range(1, len(steps)):
        steps[frame] = 0.9 * steps[frame - 1] + 0.4 * steps[frame]
    return np.tanh(steps).astype(np.float32)


def planted_collection(
    folder: Path, latents: Latents = noise, *, dialogues: int = 4, frames: int = 3000, seed: int = 0
) -> Collection:
    """A collection of made dialogues; nothing of it was heard, so it has no audio."""
    rng = np.random.default_rng(seed)
    described = tuple(
        CollectedDialogue(f"made{number}", "", (), None, 0.0, None, "annotation")
        for number in range(dialogues)
    )
    about = About("made", "0" * 64, 50.0, SIZES, described)
    write_about(folder, about)
    for number, dialogue in enumerate(described):
        activity = turns(frames, rng)
        none = np.zeros_like(activity)
        events = [
            event_row(dialogue.id, "", moment, None) for moment in find_moments(activity, none)
        ]
        for event in events:
            if event["kind"] in ("shift", "hold"):
                event |= {"p_shift": 0.6, "correct": True}
        said = {name: rng.random((frames, 2)) for name in PROBABILITIES}
        columns = frame_columns(activity, none, events) | said
        layers = {layer: latents(layer, activity, rng) for layer in SIZES}
        write_events(folder, number, events)
        write_frames(folder, number, about, columns | layers)
    return Collection(folder)
