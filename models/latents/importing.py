"""`turnstream latents import`: anyone's representations, a CSV file with a row for every frame and speaker, as a collection.

turnstream latents import FILE.csv --out FOLDER [--rate HZ] [--name NETWORK]

    speaker             0 or 1; both must be there in every frame: a representation of one speaker alone, or of the conversation as a whole,
                        makes no collection, since every view compares the two
    frame or time_s     one of them at least, at equal steps; rows may come in any order within a dialogue. With `time_s` the rate is known,
                        else it must be told. Time begins anew with the first row of a dialogue
    dialogue            whose rows stand together; without it the file is one dialogue
    d0 d1 ...           values of the last layer; or latent_0 ... (last) and latent_speaker_0 ... (first), of which one is enough
    labels              any of the columns of collection.py
    any other column    a label of one's own: numbers if all of its cells are, else text

What is missing is filled. With `speaking`, situations, floors, events and, without `backchannel`, short reactions are found as in a collected
dialogue, and predictions of shifts judged where there is `p_next`; without it they are those of nothing known: "other", "silence", nobody has
the floor, no events. Probabilities are NaN, the split is "unknown", and there is no sound. Rows are read dialogue by dialogue, so memory is
bounded by one.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tqdm import tqdm

from ...stream.errors import ConfigError
from ..dialogues.activity import FRAME_RATE_HZ
from ..evaluation.predictions import at_activity_rate
from .collect import FRAMES_PER_GROUP, event_row, frame_columns
from .collection import (
    About,
    CollectedDialogue,
    Collection,
    FramesWriter,
    frames_file,
    is_written,
    write_about,
    write_events,
)
from .csv_states import WORDS, Header, batches, read_header, refuse
from .labels import EMPTY, is_number, write_labels
from .moments import SITUATIONS, find_moments

UNKNOWN = "unknown"
DEFAULTS: dict[str, Any] = {
    "split": UNKNOWN,
    **dict.fromkeys(("speaking", "other_speaking", "backchannel"), False),
    **{"holder": -1, "situation": SITUATIONS[0], "floor": "silence", "event": ""},
    **dict.fromkeys(("correct", "vad", "p_now", "p_future", "p_next", "p_backchannel"), np.nan),
}
RATE_ROWS = 4000  # of the first dialogue, from which the rate is read
RATE_TOLERANCE = 0.01

Columns = dict[str, NDArray[Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents import`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (__doc__ or "").split("\n\n", 2)[2]
    parser.add_argument(
        "source", type=Path, metavar="FILE.csv", help="representations, in the columns listed below"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder for the collection; an interrupted import is resumed",
    )
    parser.add_argument(
        "--rate", type=float, metavar="HZ", help="frames per second (default: read from time_s)"
    )
    parser.add_argument(
        "--name",
        metavar="NAME",
        help=(
            "name of the network; imports of one name share projections (default: the file's name)"
        ),
    )


def main(args: argparse.Namespace) -> int:
    """Import, and say what there is and what is not."""
    header = read_header(args.source)
    collection = import_csv(args.source, args.out, args.rate, args.name)
    frames = sum(collection.frame_count(number) for number in range(len(collection.dialogues)))
    sizes = ", ".join(f"{size} values of {layer}" for layer, size in collection.about.sizes.items())
    print(
        f"{len(collection.dialogues)} dialogues, {frames} frames at {collection.frame_rate_hz:g} Hz, {sizes}, {len(collection.events())} events, in {args.out}"
    )
    if header.own:
        print(f"labels of your own: {', '.join(map(repr, header.own))}")
    if "speaking" not in header.labels:
        print("without a column `speaking` there are no events, and nobody knows who has the floor")
    return 0


def import_csv(
    path: Path, out: Path, rate_hz: float | None = None, name: str | None = None
) -> Collection:
    """Make a collection of a CSV file; dialogues that have been there since the file was last changed are left.

    Args:
        path: as the module says.
        out: folder, made if need be.
        rate_hz: frames a second; None to read it from the times.
        name: of the network; None for the file's.
    Raises:
        ConfigError: a file that says something else, with its line and column; or another collection in the folder.
    """
    header = read_header(path)
    dialogues, rate_hz = _survey(path, header, rate_hz)
    name = name or path.stem
    sha256 = hashlib.sha256(f"imported {name}".encode()).hexdigest()
    source = "imported" if "speaking" in header.labels else UNKNOWN
    described = tuple(
        CollectedDialogue(dialogue, split, (), None, 0.0, None, source)
        for dialogue, split in dialogues.items()
    )
    about = About(
        name,
        sha256,
        rate_hz,
        {layer: len(columns) for layer, columns in header.values.items()},
        described,
    )
    write_about(out, about)
    numeric = _numeric(path, header)
    for number, (line, rows) in enumerate(
        tqdm(_dialogues(path, header), "import", len(described), unit="dialogue", disable=None)
    ):
        if not (
            is_written(out, number)
            and frames_file(out, number).stat().st_mtime_ns > path.stat().st_mtime_ns
        ):
            _write(path, header, line, rows, out, number, about, numeric)
    return Collection(out)


def _survey(path: Path, header: Header, rate_hz: float | None) -> tuple[dict[str, str], float]:
    """The dialogues of a file with their splits, and its rate."""
    found: dict[str, str] = {}
    last, line, times = None, 2, []
    labels = tuple(
        name for name in ("dialogue", "split", "speaker", "time_s") if name in header.labels
    )
    for batch in batches(path, header, labels):
        rows = {label: batch.column(label).to_pylist() for label in labels}
        for row in range(batch.num_rows):
            dialogue = rows["dialogue"][row] if "dialogue" in rows else path.stem
            if dialogue != last:
                if dialogue in found:
                    raise ConfigError(
                        f"{path}, line {line + row}: expected the rows of dialogue {dialogue!r} to stand together, got more after another dialogue's"
                    )
                found[dialogue] = rows["split"][row] if "split" in rows else UNKNOWN
                last = dialogue
            if "time_s" in rows and len(found) == 1 and len(times) < RATE_ROWS:
                times.append(rows["time_s"][row])
        line += batch.num_rows
    if not found:
        raise ConfigError(f"{path}: expected rows below the header, got none")
    read = _rate(times)
    if rate_hz is None and read is None:
        raise ConfigError(
            f"{path}: expected a rate (--rate HZ), or a column `time_s` with at least two times to read it from"
        )
    if rate_hz is not None and (
        rate_hz <= 0 or (read is not None and abs(rate_hz / read - 1) > RATE_TOLERANCE)
    ):
        raise ConfigError(
            f"{path}: expected the rate of its times, {f'{read:g} Hz' if read else 'above 0'}, got {rate_hz:g} Hz"
        )
    return found, float(rate_hz or read or 0)


def _rate(times: list[float | None]) -> float | None:
    """Frames a second, to six digits; None where there are not two times."""
    different = np.unique([time for time in times if time is not None and math.isfinite(time)])
    if len(different) < 2:
        return None
    step = float(np.median(np.diff(different)))
    whole = round(
        (different[-1] - different[0]) / step
    )  # more exact than a single step, if none is missing
    return float(f"{whole / (different[-1] - different[0]):.6g}")


def _dialogues(path: Path, header: Header) -> Iterator[tuple[int, Columns]]:
    """Line of the first row and columns of one dialogue after another; a layer is (N, H)."""
    parts: list[Any] = []
    last, first_line, line = None, 2, 2
    for batch in batches(path, header, tuple(header.types)):
        table = pa.Table.from_batches([batch])
        names = np.array(
            table.column("dialogue").to_pylist()
            if "dialogue" in header.labels
            else [path.stem] * table.num_rows
        )
        bounds = [0, *(np.nonzero(names[1:] != names[:-1])[0] + 1).tolist(), len(names)]
        for low, high in zip(bounds[:-1], bounds[1:], strict=True):
            if low < high:
                if parts and names[low] != last:
                    yield first_line, _columns(path, header, parts)
                    parts, first_line = [], line + low
                parts.append(table.slice(low, high - low))
                last = names[low]
        line += table.num_rows
    yield first_line, _columns(path, header, parts)


def _columns(path: Path, header: Header, parts: list[Any]) -> Columns:
    table = pa.concat_tables(parts)
    found: Columns = {}
    for name in header.labels:
        column = table.column(name)
        if name == "correct":
            found[name] = np.array(
                [np.nan if value is None else float(value) for value in column.to_pylist()]
            )
        elif name in DEFAULTS and not isinstance(DEFAULTS[name], float):
            found[name] = np.array(column.fill_null(DEFAULTS[name]).to_pylist())
        else:
            found[name] = (
                column.to_numpy()
                if column.null_count == 0 or name not in ("dialogue", "speaker", "frame", "time_s")
                else refuse(path, header)
            )
    for name in header.own:
        cells = table.column(name).fill_null("").to_pylist()
        stripped = (cell.strip() for cell in cells)
        found[name] = np.array(["" if cell in EMPTY else cell for cell in stripped], object)
    for layer, names in header.values.items():
        found[layer] = np.stack([table.column(name).to_numpy() for name in names], axis=1)
        if not np.isfinite(found[layer]).all():
            refuse(path, header)
    if "time_s" in found and not np.isfinite(found["time_s"]).all():
        refuse(path, header)
    if not np.isin(found["speaker"], (0, 1)).all() or any(
        not np.isin(found[name], WORDS[name]).all() for name in WORDS if name in found
    ):
        refuse(path, header)
    return found


def _write(
    path: Path,
    header: Header,
    line: int,
    rows: Columns,
    out: Path,
    number: int,
    about: About,
    numeric: dict[str, bool],
) -> None:
    dialogue, rate_hz = about.dialogues[number], about.frame_rate_hz
    order = _order(path, dialogue.id, line, rows, rate_hz)
    columns: Columns = {
        name: values[order].reshape(-1, 2, *values.shape[1:]) for name, values in rows.items()
    }
    steps = len(columns["speaker"])
    own = {name: _as_labels(columns.pop(name), numeric[name]) for name in header.own}
    events: list[dict[str, Any]] = []
    known = "backchannel" in columns
    if "speaking" in columns:
        frames = max(1, round(steps * FRAME_RATE_HZ / rate_hz))
        activity = at_activity_rate(columns["speaking"].T.astype(np.float32), rate_hz, frames) > 0.5
        backchannel = (
            at_activity_rate(columns["backchannel"].T.astype(np.float32), rate_hz, frames) > 0.5
            if known
            else np.zeros_like(activity)
        )
        said = "p_next" in columns and bool(np.isfinite(columns["p_next"]).all())
        p_next = at_activity_rate(columns["p_next"].T, rate_hz, frames) if said else None
        events = [
            event_row(dialogue.id, dialogue.split, moment, p_next)
            for moment in find_moments(activity, backchannel)
        ]
        newest = np.minimum(
            ((np.arange(steps) + 1) * FRAME_RATE_HZ / rate_hz - 1 + 1e-6).astype(int).clip(0),
            frames - 1,
        )
        columns = {
            name: labels[newest]
            for name, labels in frame_columns(activity, backchannel, events).items()
        } | columns
    frame = np.arange(steps)[:, None]
    fixed = {
        "dialogue": np.array(dialogue.id),
        "split": np.array(dialogue.split),
        "frame": frame,
        "time_s": (frame + 1) / rate_hz,
    }
    columns = {name: np.array(value) for name, value in DEFAULTS.items()} | columns | fixed
    columns = {
        name: np.broadcast_to(values, (steps, 2)) if values.ndim < 3 else values
        for name, values in columns.items()
    }
    writer = FramesWriter(out, number, about.sizes, annotated=known)
    for start in range(0, steps, FRAMES_PER_GROUP):
        writer.write(
            {name: values[start : start + FRAMES_PER_GROUP] for name, values in columns.items()}
        )
    write_events(out, number, events)
    if own:
        write_labels(out, number, own)
    writer.close()


def _numeric(path: Path, header: Header) -> dict[str, bool]:
    """Whether each label of one's own is a number in all of its cells."""
    found = dict.fromkeys(header.own, True)
    if found:
        for batch in batches(path, header, header.own):
            for name in header.own:
                cells = batch.column(name).unique().fill_null("").to_pylist()
                found[name] = found[name] and all(map(is_number, cells))
    return found


def _as_labels(cells: NDArray[Any], is_a_number: bool) -> NDArray[Any]:
    """Text as a label of one's own, (T, 2): numbers, NaN where empty, or text."""
    return np.where(cells == "", "nan", cells).astype(np.float64) if is_a_number else cells


def _order(
    path: Path, dialogue: str, line: int, rows: Columns, rate_hz: float
) -> NDArray[np.int64]:
    """Rows by frame and speaker; both speakers in every frame, and frames at equal steps."""
    speaker = rows["speaker"].astype(int)
    if "frame" in rows:
        at = rows["frame"].astype(np.int64)
    else:
        at = np.rint((rows["time_s"] - rows["time_s"].min()) * rate_hz).astype(np.int64)
    order = np.lexsort((speaker, at))
    at, speaker = at[order], speaker[order]
    frames, counts = np.unique(at, return_counts=True)
    twice = np.nonzero((at[1:] == at[:-1]) & (speaker[1:] == speaker[:-1]))[0]
    if len(twice):
        raise ConfigError(
            f"{path}, line {line + max(order[twice[0]], order[twice[0] + 1])}: expected one row for a frame and speaker, got a second one"
        )
    if (counts != 2).any():
        row = int(np.nonzero(at == frames[counts != 2][0])[0][0])
        only = f", as in all of dialogue {dialogue!r}" if len(set(speaker.tolist())) == 1 else ""
        raise ConfigError(
            f"{path}, line {line + order[row]}: expected a row for speaker 0 and one for speaker 1 in every frame, got speaker {speaker[row]} alone{only}"
        )
    steps = np.diff(frames)
    if len(steps) and (steps != steps[0]).any():
        row = int(np.nonzero(at == frames[1:][steps != np.median(steps)][0])[0][0])
        raise ConfigError(
            f"{path}, line {line + order[row]}: expected frames at equal steps, got a gap before this one, in dialogue {dialogue!r}"
        )
    return order
