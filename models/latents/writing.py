"""Write the frames and the events of one dialogue of a collection, whichever network was heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames
from ..dialogues.events import floor_around
from ..evaluation.shift_hold import read_score
from .collection import About, Columns, FramesWriter, write_events
from .moments import FLOORS, SITUATIONS, Moment, find_floors, find_situations

FRAMES_PER_GROUP = 3000  # of the file: what a reader must hold at least
UNKNOWN = "unknown"
DEFAULTS: dict[str, Any] = {  # of columns that nobody knows
    "split": UNKNOWN,
    **dict.fromkeys(("speaking", "other_speaking", "backchannel"), False),
    **{"holder": -1, "situation": SITUATIONS[0], "floor": "silence", "event": ""},
    **dict.fromkeys(("correct", "vad", "p_now", "p_future", "p_next", "p_backchannel"), np.nan),
}


def write_dialogue(
    out: Path,
    number: int,
    about: About,
    columns: Mapping[str, NDArray[Any]],
    events: Sequence[Mapping[str, Any]],
    *,
    annotated: bool,
) -> None:
    """Write a dialogue; it appears when it is whole.

    Args:
        out, number, about: the collection, and the dialogue in it.
        columns: (T, 2), (T, 1) or less each, layers (T, 2, H); those that are not given are
            unknown. Frames and times are counted.
        events: rows from `event_row`.
        annotated: its backchannels are annotated ones, not short reactions.
    """
    steps = next(len(columns[layer]) for layer in about.sizes)
    frame = np.arange(steps)[:, None]
    dialogue = about.dialogues[number]
    whole = {name: np.array(value) for name, value in DEFAULTS.items()} | dict(columns)
    whole |= {
        "dialogue": np.array(dialogue.id),
        "split": np.array(dialogue.split),
        "speaker": np.array([0, 1]),
        "frame": frame,
        "time_s": (frame + 1) / about.frame_rate_hz,
    }
    whole = {
        name: np.broadcast_to(values, (steps, 2)) if values.ndim < 3 else values
        for name, values in whole.items()
    }
    writer = FramesWriter(out, number, about.sizes, annotated=annotated)
    for start in range(0, steps, FRAMES_PER_GROUP):
        block = slice(start, start + FRAMES_PER_GROUP)
        writer.write({name: values[block] for name, values in whole.items()})
    write_events(out, number, events)
    writer.close()


def columns_at(
    rate_hz: float,
    steps: int,
    activity: BoolFrames,
    backchannel: BoolFrames,
    events: Sequence[Mapping[str, Any]],
) -> Columns:
    """Return the labels of `frame_columns` at the steps of a network, (steps, 2) or (steps, 1)."""
    newest = ((np.arange(steps) + 1) * FRAME_RATE_HZ / rate_hz - 1 + 1e-6).astype(int)
    newest = np.clip(newest, 0, activity.shape[1] - 1)
    labels = frame_columns(activity, backchannel, events)
    return {name: values[newest] for name, values in labels.items()}


def frame_columns(
    activity: BoolFrames, backchannel: BoolFrames, events: Sequence[Mapping[str, Any]]
) -> Columns:
    """Return the labels of every frame at 50 Hz, by column of collection.py, (T, 2) or (T, 1).

    Args:
        activity: voice activity, (2, T).
        backchannel: annotated backchannels, (2, T). If there are none, those of `events` count.
        events: rows of the dialogue's events.
    """
    frames, reacting = activity.shape[1], backchannel.copy()
    event, correct = np.full((frames, 1), "", "<U8"), np.full((frames, 1), np.nan)
    for row in events:
        span = slice(round(row["start_s"] * FRAME_RATE_HZ), round(row["end_s"] * FRAME_RATE_HZ))
        if row["kind"] in ("shift", "hold"):
            event[span], correct[span] = row["kind"], row["correct"]
        elif row["kind"] == "backchannel":  # of annotated ones these are the same frames
            reacting[row["speaker"], span] = True
    return {
        "speaking": activity.T,
        "other_speaking": activity[::-1].T,
        "holder": floor_around(activity)[0][:, None],
        "situation": np.array(SITUATIONS)[find_situations(activity).T],
        "floor": np.array(FLOORS)[find_floors(activity)][:, None],
        "backchannel": reacting.T,
        "event": event,
        "correct": correct,
    }


def event_row(
    dialogue: str, split: str, moment: Moment, p_next: NDArray[np.float32] | None
) -> dict[str, Any]:
    """Return a row of a dialogue's events.

    The prediction of a shift or hold is read from p_next, (2, T) at 50 Hz, where it is known.
    """
    p_shift = correct = None
    if p_next is not None and moment.kind in ("shift", "hold"):
        p_shift = read_score(p_next[1 - moment.speaker], moment.start_frame)
        correct = (p_shift >= 0.5) == (moment.kind == "shift")
    return {
        "dialogue": dialogue,
        "split": split,
        "kind": moment.kind,
        "speaker": moment.speaker,
        "next": moment.next,
        "start_s": moment.start_frame / FRAME_RATE_HZ,
        "end_s": moment.end_frame / FRAME_RATE_HZ,
        "ending": moment.ending,
        "p_shift": p_shift,
        "correct": correct,
    }
