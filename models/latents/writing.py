"""Write the frames and the events of one dialogue of a collection, whichever network was heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...stream.contract import PROBABILITIES
from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames
from ..dialogues.events import floor_around
from ..evaluation.predictions import at_activity_rate
from ..evaluation.shift_hold import read_score
from .collection import COLUMNS, FRAMES, SHORT_REACTIONS, About, Columns, file_of, write_events
from .moments import FLOORS, SITUATIONS, Moment, Texts, find_floors, find_moments, find_situations
from .tables import to_arrow

FRAMES_PER_GROUP = 3000  # of the file: what a reader must hold at least
UNKNOWN = "unknown"
DEFAULTS: dict[str, Any] = {  # of columns that nobody knows
    "split": UNKNOWN,
    **dict.fromkeys(("speaking", "other_speaking", "backchannel"), False),
    **{"holder": -1, "situation": SITUATIONS[0], "floor": "silence", "event": ""},
    **dict.fromkeys(("correct", *PROBABILITIES), np.nan),
}


def write_dialogue(
    out: Path,
    number: int,
    about: About,
    columns: Mapping[str, NDArray[Any]],
    spoken: tuple[BoolFrames, BoolFrames] | None,
    *,
    annotated: bool | None = None,
    texts: Texts = ((), ()),
) -> None:
    """Write a dialogue, with the events and labels that follow from who spoke when.

    Args:
        out, number, about: the collection, and the dialogue in it.
        columns: as for `write_frames`; where they have a label, it is preferred to what follows.
        spoken: activity and backchannels, (2, T) each at 50 Hz; None where nobody knows.
        annotated: its backchannels are annotated ones, not short reactions; None: if there are any.
        texts: of each speaker, as for `find_moments`.
    """
    events: list[dict[str, Any]] = []
    if spoken is not None:
        annotated = bool(spoken[1].any()) if annotated is None else annotated
        dialogue, steps = about.dialogues[number], len(columns[next(iter(about.sizes))])
        p_next = columns.get("p_next", np.array(np.nan)).T
        known, frames = bool(np.isfinite(p_next).all()), spoken[0].shape[1]
        p_next = at_activity_rate(p_next, about.frame_rate_hz, frames) if known else None
        events = [
            event_row(dialogue.id, dialogue.split, moment, p_next)
            for moment in find_moments(*spoken, texts)
        ]
        heard = (np.arange(steps) + 1) * FRAME_RATE_HZ / about.frame_rate_hz + 1e-6
        newest = np.clip(heard.astype(int) - 1, 0, spoken[0].shape[1] - 1)
        labels = frame_columns(*spoken, events)
        columns = {name: values[newest] for name, values in labels.items()} | dict(columns)
    write_events(out, number, events)
    write_frames(out, number, about, columns, annotated=bool(annotated))


def write_frames(
    out: Path, number: int, about: About, columns: Mapping[str, Any], *, annotated: bool = True
) -> None:
    """Write the frames of a dialogue in blocks; they appear when they are whole.

    Args:
        out, number, about: the collection, and the dialogue in it.
        columns: (T, 2), (T, 1) or less each, layers (T, 2, H); those that are not given are
            unknown. Frames and times are counted.
        annotated: its backchannels are annotated ones, not short reactions.
    """
    steps, dialogue = len(columns[next(iter(about.sizes))]), about.dialogues[number]
    frame = np.arange(steps)[:, None]
    whole = DEFAULTS | dict(columns)
    whole |= {"dialogue": dialogue.id, "split": dialogue.split, "speaker": [0, 1]}
    whole |= {"frame": frame, "time_s": (frame + 1) / about.frame_rate_hz}
    labels = {name: np.broadcast_to(whole[name], (steps, 2)) for name in COLUMNS}
    whole = labels | {layer: columns[layer] for layer in about.sizes}
    layers = {name: pa.list_(pa.float32(), size) for name, size in about.sizes.items()}
    kinds, metadata = COLUMNS | layers, None if annotated else SHORT_REACTIONS
    schema: Any = pa.schema([*kinds.items()], metadata=metadata)
    path = file_of(out, FRAMES, number)
    part = path.with_suffix(".part")
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for start in range(0, steps, FRAMES_PER_GROUP):
            block = slice(start, start + FRAMES_PER_GROUP)
            arrays = [to_arrow(whole[name][block], kind) for name, kind in kinds.items()]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    part.replace(path)


def frame_columns(
    activity: BoolFrames, backchannel: BoolFrames, events: Sequence[Mapping[str, Any]]
) -> Columns:
    """Return the labels of every frame at 50 Hz, by column of collection.py, (T, 2) or (T, 1).

    They follow from who spoke, from annotated backchannels, (2, T) each, and, where none of these
    is annotated, from those among the rows of events.
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
    """Return a row of a dialogue's events; the prediction is read from p_next, (2, T) at 50 Hz."""
    p_shift = correct = None
    if p_next is not None and moment.kind in ("shift", "hold"):
        p_shift = read_score(p_next[1 - moment.speaker], moment.start_frame)
        correct = (p_shift >= 0.5) == (moment.kind == "shift")
    said = {name: getattr(moment, name) for name in ("kind", "speaker", "next", "ending")}
    times = {"start_s": moment.start_frame, "end_s": moment.end_frame}
    said |= {name: frame / FRAME_RATE_HZ for name, frame in times.items()}
    return {"dialogue": dialogue, "split": split, "p_shift": p_shift, "correct": correct} | said
