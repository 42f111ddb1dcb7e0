"""What pages hear and follow: dialogues with their sound and tracks, and their events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError, DialogueError
from ..collection import Collection, Event
from ..events.label_contrasts import event_labels
from ..moments import SITUATIONS, shift_probability
from ..views import embedded_sound, envelope, sound_of
from .path_states import predicted_class, true_class

UNKNOWN = 255  # in tracks of bytes, which hold 0 to 1 as 0 to 254
NOT_ASKED = "not embedded: there are more minutes of dialogue than were asked for (--sound-minutes)"
NOT_THERE = "its audio was not collected, or is not there any more"

Section = dict[str, Any]


def hearing(
    collection: Collection, dialogues: Sequence[Section], events: Sequence[Event]
) -> Section:
    """What any page needs to hear moments: dialogues of `described_dialogue`, and their events."""
    rows = [
        asdict(event)
        | {"true": true_class(event), "predicted": predicted_class(event), "labels": labels}
        for event, labels in zip(events, event_labels(collection, events), strict=True)
    ]
    rate_hz = collection.frame_rate_hz
    return {"frame_rate_hz": rate_hz, "dialogues": list(dialogues), "events": rows}


def described_dialogues(collection: Collection, sound_minutes: float) -> list[Section]:
    """Every dialogue, of which so many minutes, from the first on, can be heard."""
    seconds = embedded_seconds(collection, sound_minutes, None)
    return [described_dialogue(collection, number, s) for number, s in enumerate(seconds)]


def described_dialogue(collection: Collection, number: int, seconds: float) -> Section:
    """A dialogue, and the tracks and sound of its first seconds."""
    dialogue, rate_hz = collection.dialogues[number], collection.frame_rate_hz
    frames = collection.frames(number, ["vad", "p_next", "holder", "situation", "speaking"])
    count = len(frames["vad"])
    embedded = min(count, collection.frame_of(seconds))
    frames = {name: values[:embedded] for name, values in frames.items()}
    sound, shape, silent = "", None, NOT_ASKED
    if embedded:
        try:
            samples = sound_of(replace(dialogue, end_s=dialogue.start_s + embedded / rate_hz))
            sound, silent = embedded_sound(samples), ""
            shape = np.zeros((embedded, 2), np.uint8)
            peaks = _bytes(envelope(samples, rate_hz).T)[:embedded]
            shape[: len(peaks)] = peaks
        except (ConfigError, DialogueError):
            silent = NOT_THERE
    return {
        "id": dialogue.id,
        "split": dialogue.split,
        "frames": count,
        "embedded": embedded,
        "sound": sound,
        "silent": silent,
        "envelope": shape,
        "speaking": np.asarray(frames["speaking"] == 1, np.uint8),
        "situation": situation_numbers(frames["situation"]),
        "vad": _bytes(frames["vad"]),
        "p_next": _bytes(frames["p_next"]),
        "p_shift": _bytes(shift_probability(frames)),
    }


def embedded_seconds(collection: Collection, minutes: float, first: str | None) -> list[float]:
    """How much of each dialogue can be heard, until the minutes are used up; `first` is first."""
    left, found = max(0.0, 60 * minutes), [0.0] * len(collection.dialogues)
    for number in sorted(range(len(found)), key=lambda n: collection.dialogues[n].id != first):
        found[number] = min(left, collection.frame_count(number) / collection.frame_rate_hz)
        left -= found[number]
    return found


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values in [0, 1] as bytes, which suffices for a curve."""
    scaled = np.round(np.clip(np.nan_to_num(values), 0, 1).astype(np.float32) * (UNKNOWN - 1))
    return np.where(np.isnan(values), UNKNOWN, scaled).astype(np.uint8)


def situation_numbers(names: NDArray[Any]) -> NDArray[np.uint8]:
    """Indices into SITUATIONS; what is none of these is its first, "other"."""
    which = [names == name for name in SITUATIONS]
    return np.select(which, list(range(len(SITUATIONS))), 0).astype(np.uint8)
