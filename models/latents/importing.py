"""`turnstream latents import`: anyone's representations, a table of frames, as a collection.

turnstream latents import FILE --out FOLDER [--rate HZ] [--name NETWORK]

FILE is a CSV file, a Parquet file or an .npz archive, with a row for every frame and speaker.

    speaker             0 or 1; both must be there in every frame: a representation of one speaker
                        alone, or of the conversation as a whole, makes no collection, since every
                        view compares the two
    frame or time_s     one of them at least, at equal steps; rows may come in any order within a
                        dialogue. With `time_s` the rate is known, else it must be told. Time begins
                        anew with the first row of a dialogue
    dialogue            whose rows stand together; without it the file is one dialogue
    d0 d1 ...           values of the last layer; or latent_0 ... (last) and latent_speaker_0 ...
                        (first), of which one is enough. In Parquet and .npz, `latent` and
                        `latent_speaker` may be columns of vectors
    labels              any of the columns of collection.py
    any other column    a label of one's own: numbers if all of its cells are, else text

What is missing is filled. With `speaking`, situations, floors, events and, without `backchannel`,
short reactions are found as in a collected dialogue, and predictions of shifts judged where there
is `p_next`; without it they are those of nothing known: "other", "silence", nobody has the floor,
no events. Probabilities are NaN, the split is "unknown", and there is no sound. CSV and Parquet are
read dialogue by dialogue, so memory is bounded by one.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...stream.errors import ConfigError
from ..dialogues.activity import FRAME_RATE_HZ
from ..evaluation.predictions import at_activity_rate
from .bars import bar
from .collection import (
    About,
    CollectedDialogue,
    Collection,
    Columns,
    frames_file,
    is_written,
    write_about,
)
from .labels import write_labels
from .moments import find_moments
from .options import option
from .state_table import WORDS, Header, read_header, refuse, state_blocks
from .tables import EMPTY, SUFFIXES, is_number, where
from .writing import DEFAULTS, UNKNOWN, columns_at, event_row, write_dialogue

RATE_ROWS = 4000  # of the first dialogue, from which the rate is read
RATE_TOLERANCE = 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents import`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (__doc__ or "").split("\n\n", 3)[3]
    what = f"representations ({', '.join(SUFFIXES)}), in the columns listed below"
    parser.add_argument("source", type=Path, metavar="FILE", help=what)
    folder = "folder for the collection; an interrupted import is resumed"
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help=folder)
    option(parser, "--rate HZ", "frames per second (default: read from time_s)", kind=float)
    name = "name of the network; imports of one name share projections (default: the file's name)"
    parser.add_argument("--name", metavar="NAME", help=name)


def main(args: argparse.Namespace) -> int:
    """Import, and say what there is and what is not."""
    header = read_header(args.source)
    collection = import_table(args.source, args.out, args.rate, args.name)
    print(f"{summary(collection)}, in {args.out}")
    if header.own:
        print(f"labels of your own: {', '.join(map(repr, header.own))}")
    if "speaking" not in header.labels:
        print("without a column `speaking` there are no events, and nobody knows who has the floor")
    return 0


def summary(collection: Collection) -> str:
    """Return how much there is, in words."""
    frames = sum(collection.frame_count(number) for number in range(len(collection.dialogues)))
    sizes = ", ".join(f"{size} values of {layer}" for layer, size in collection.about.sizes.items())
    return (
        f"{len(collection.dialogues)} dialogues, {frames} frames at {collection.frame_rate_hz:g} "
        f"Hz, {sizes}, {len(collection.events())} events"
    )


def import_table(
    path: Path, out: Path, rate_hz: float | None = None, name: str | None = None
) -> Collection:
    """Make a collection of a table; dialogues written since the file was last changed are left.

    Args:
        path: .csv, .parquet or .npz, as the module says.
        out: folder, made if need be.
        rate_hz: frames a second; None to read it from the times.
        name: of the network; None for the file's.
    Raises:
        ConfigError: a file that says something else, with the place; or another collection in the
            folder.
    """
    header = read_header(path)
    splits, rate_hz = _survey(path, header, rate_hz)
    name = name or path.stem
    source = "imported" if "speaking" in header.labels else UNKNOWN
    about = About(
        name,
        hashlib.sha256(f"imported {name}".encode()).hexdigest(),
        rate_hz,
        {layer: len(columns) for layer, columns in header.values.items()},
        tuple(
            CollectedDialogue(dialogue, split, (), None, 0.0, None, source)
            for dialogue, split in splits.items()
        ),
        runnable=False,
    )
    write_about(out, about)
    numeric = _numeric(path, header)
    found = _dialogues(path, header, tuple(header.types))
    for number, (row, _, table) in enumerate(bar(found, "import", "dialogue", len(splits))):
        changed = path.stat().st_mtime_ns
        if not is_written(out, number) or frames_file(out, number).stat().st_mtime_ns <= changed:
            columns = _columns(path, header, table)
            order = _order(path, about.dialogues[number].id, row, columns, rate_hz)
            columns = {
                name: values[order].reshape(-1, 2, *values.shape[1:])
                for name, values in columns.items()
            }
            own = {name: columns.pop(name) for name in header.own}
            if own:
                write_labels(
                    out,
                    number,
                    {name: _as_label(cells, numeric[name]) for name, cells in own.items()},
                )
            _write(out, number, about, columns)
    return Collection(out)


def _survey(path: Path, header: Header, rate_hz: float | None) -> tuple[dict[str, str], float]:
    """The split of every dialogue of a file, and its rate."""
    splits: dict[str, str] = {}
    times: list[float | None] = []
    light = [n for n in ("dialogue", "split", "speaker", "time_s") if n in header.labels]
    for row, dialogue, table in _dialogues(path, header, light):
        if dialogue in splits:
            raise ConfigError(
                f"{where(path, row)}: expected the rows of dialogue {dialogue!r} to stand "
                "together, got more after another dialogue's"
            )
        if "time_s" in light and not splits:
            times = table.column("time_s").slice(0, RATE_ROWS).to_pylist()
        splits[dialogue] = table.column("split")[0].as_py() if "split" in light else UNKNOWN
    if not splits:
        raise ConfigError(f"{path}: expected rows below the header, got none")
    read = _rate(times)
    if rate_hz is None and read is None:
        raise ConfigError(
            f"{path}: expected a rate (--rate HZ), or a column `time_s` with at least two times to "
            "read it from"
        )
    if rate_hz is not None and (
        rate_hz <= 0 or (read is not None and abs(rate_hz / read - 1) > RATE_TOLERANCE)
    ):
        raise ConfigError(
            f"{path}: expected the rate of its times, {f'{read:g} Hz' if read else 'above 0'}, got "
            f"{rate_hz:g} Hz"
        )
    return splits, float(rate_hz or read or 0)


def _rate(times: list[float | None]) -> float | None:
    """Frames a second, to six digits; None where there are not two times."""
    different = np.unique([time for time in times if time is not None and math.isfinite(time)])
    if len(different) < 2:
        return None
    span = different[-1] - different[0]
    # More exact than a single step, if none is missing.
    return float(f"{round(span / np.median(np.diff(different))) / span:.6g}")


def _dialogues(
    path: Path, header: Header, names: Sequence[str]
) -> Iterator[tuple[int, str, pa.Table]]:
    """The number of the first row, the id and some columns of one dialogue after another."""
    parts: list[Any] = []
    last, first_row, row = "", 0, 0
    for table in state_blocks(path, header, names):
        column = table.column("dialogue").to_pylist() if "dialogue" in header.labels else None
        ids = np.array(column if column is not None else [path.stem] * table.num_rows)
        bounds = [0, *(np.nonzero(ids[1:] != ids[:-1])[0] + 1).tolist(), len(ids)]
        for low, high in zip(bounds[:-1], bounds[1:], strict=True):
            if low < high:
                if parts and ids[low] != last:
                    yield first_row, last, pa.concat_tables(parts)
                    parts, first_row = [], row + low
                parts.append(table.slice(low, high - low))
                last = str(ids[low])
        row += table.num_rows
    if parts:
        yield first_row, last, pa.concat_tables(parts)


def _columns(path: Path, header: Header, table: Any) -> Columns:
    """The columns of a dialogue, checked: (N,), a layer (N, H)."""
    found: Columns = {}
    for name in header.labels:
        column = table.column(name)
        if name == "correct":
            values = column.to_pylist()
            found[name] = np.array([np.nan if value is None else float(value) for value in values])
        elif name in DEFAULTS and not isinstance(DEFAULTS[name], float):
            found[name] = np.array(column.fill_null(DEFAULTS[name]).to_pylist())
        elif column.null_count and name in ("dialogue", "speaker", "frame", "time_s"):
            refuse(path, header)
        else:
            found[name] = column.to_numpy()
    for name in header.own:
        cells = [cell.strip() for cell in table.column(name).fill_null("").to_pylist()]
        found[name] = np.array(["" if cell in EMPTY else cell for cell in cells], object)
    for layer, names in header.values.items():
        found[layer] = np.stack([table.column(name).to_numpy() for name in names], axis=1)
    finite = [*header.values, *(["time_s"] if "time_s" in found else [])]
    words = {"speaker": (0, 1), **{name: words for name, words in WORDS.items() if name in found}}
    if not all(np.isfinite(found[name]).all() for name in finite) or not all(
        np.isin(found[name], allowed).all() for name, allowed in words.items()
    ):
        refuse(path, header)
    return found


def _write(out: Path, number: int, about: About, columns: Columns) -> None:
    """Write a dialogue, with the events and labels that follow from who spoke when."""
    steps, rate_hz = len(columns["speaker"]), about.frame_rate_hz
    events: list[dict[str, Any]] = []
    known = "backchannel" in columns
    if "speaking" in columns:
        frames = max(1, round(steps * FRAME_RATE_HZ / rate_hz))

        def at_50_hz(values: NDArray[Any]) -> NDArray[np.float32]:
            return at_activity_rate(values.T.astype(np.float32), rate_hz, frames)

        activity = at_50_hz(columns["speaking"]) > 0.5
        backchannel = at_50_hz(columns["backchannel"]) > 0.5 if known else np.zeros_like(activity)
        said = "p_next" in columns and bool(np.isfinite(columns["p_next"]).all())
        p_next = at_50_hz(columns["p_next"]) if said else None
        dialogue = about.dialogues[number]
        events = [
            event_row(dialogue.id, dialogue.split, moment, p_next)
            for moment in find_moments(activity, backchannel)
        ]
        columns = columns_at(rate_hz, steps, activity, backchannel, events) | columns
    write_dialogue(out, number, about, columns, events, annotated=known)


def _numeric(path: Path, header: Header) -> dict[str, bool]:
    """Whether each label of one's own is a number in all of its cells."""
    found = dict.fromkeys(header.own, True)
    for table in state_blocks(path, header, header.own) if found else ():
        for name in header.own:
            cells = table.column(name).unique().fill_null("").to_pylist()
            found[name] = found[name] and all(map(is_number, cells))
    return found


def _as_label(cells: NDArray[Any], is_a_number: bool) -> NDArray[Any]:
    """Text as a label of one's own, (T, 2): numbers, NaN where empty, or text."""
    return np.where(cells == "", "nan", cells).astype(np.float64) if is_a_number else cells


def _order(
    path: Path, dialogue: str, first_row: int, columns: Columns, rate_hz: float
) -> NDArray[np.int64]:
    """Rows by frame and speaker; both speakers in every frame, and frames at equal steps."""
    speaker = columns["speaker"].astype(int)
    if "frame" in columns:
        at = columns["frame"].astype(np.int64)
    else:
        at = np.rint((columns["time_s"] - columns["time_s"].min()) * rate_hz).astype(np.int64)
    order = np.lexsort((speaker, at))
    at, speaker = at[order], speaker[order]
    frames, counts = np.unique(at, return_counts=True)

    def place(row: int) -> str:
        return where(path, first_row + int(order[row]))

    twice = np.nonzero((at[1:] == at[:-1]) & (speaker[1:] == speaker[:-1]))[0]
    if len(twice):
        later = max(twice[0], twice[0] + 1, key=lambda row: order[row])
        raise ConfigError(
            f"{place(later)}: expected one row for a frame and speaker, got a second one"
        )
    if (counts != 2).any():
        row = int(np.nonzero(at == frames[counts != 2][0])[0][0])
        only = f", as in all of dialogue {dialogue!r}" if len(set(speaker.tolist())) == 1 else ""
        raise ConfigError(
            f"{place(row)}: expected a row for speaker 0 and one for speaker 1 in every frame, got "
            f"speaker {speaker[row]} alone{only}"
        )
    steps = np.diff(frames)
    if len(steps) and (steps != steps[0]).any():
        row = int(np.nonzero(at == frames[1:][steps != np.median(steps)][0])[0][0])
        raise ConfigError(
            f"{place(row)}: expected frames at equal steps, got a gap before this one, in dialogue "
            f"{dialogue!r}"
        )
    return order
