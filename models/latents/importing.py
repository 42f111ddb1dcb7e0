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
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...stream.errors import ConfigError
from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames
from ..evaluation.predictions import at_activity_rate
from .bars import bar
from .collection import (
    COLUMNS,
    FRAMES,
    LAYERS,
    About,
    CollectedDialogue,
    Collection,
    Columns,
    by_frame,
    file_of,
    is_written,
    write_about,
)
from .labels import label_cells, own_labels, write_labels
from .moments import FLOORS, SITUATIONS
from .options import option
from .tables import SUFFIXES, TEXT, Rows, blocks, column_names, is_numeric
from .writing import DEFAULTS, UNKNOWN, write_dialogue

RATE_ROWS = 4000  # of the first dialogue, from which the rate is read
RATE_TOLERANCE = 0.01
WORDS: dict[str, tuple[Any, ...]] = {
    "speaker": (0, 1),
    "situation": SITUATIONS,
    "floor": FLOORS,
    "event": ("", "shift", "hold"),
}


@dataclass(frozen=True)
class Header:
    """The columns of a table."""

    known: tuple[str, ...]  # those of COLUMNS
    values: dict[str, tuple[str, ...]]  # names of each layer's values, in order
    own: tuple[str, ...]  # all others, which become labels of one's own (labels.py)


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
    frames = sum(collection.frame_counts)
    sizes = ", ".join(f"{size} values of {layer}" for layer, size in collection.about.sizes.items())
    print(
        f"{len(collection.dialogues)} dialogues, {frames} frames at {collection.frame_rate_hz:g} "
        f"Hz, {sizes}, {len(collection.events())} events, in {args.out}"
    )
    if header.own:
        print(f"labels of your own: {', '.join(map(repr, header.own))}")
    if "speaking" not in header.known:
        print("without a column `speaking` there are no events, and nobody knows who has the floor")
    return 0


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
        ConfigError: the file says something else, or the folder has another collection.
    """
    header = read_header(path)
    splits, read_hz, numeric = _survey(path, header)
    rate_hz = read_hz if rate_hz is None else rate_hz
    if rate_hz is None:
        column = "a column `time_s` with at least two times to read it from"
        raise ConfigError(f"{path}: expected a rate (--rate HZ), or {column}, got neither")
    if rate_hz <= 0 or (read_hz and abs(rate_hz / read_hz - 1) > RATE_TOLERANCE):
        rate = f"{read_hz:g} Hz" if read_hz else "above 0"
        raise ConfigError(f"{path}: expected the rate of its times, {rate}, got {rate_hz:g} Hz")
    name = name or path.stem
    source = "imported" if "speaking" in header.known else UNKNOWN
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
    found = bar(_dialogues(path, header), "import", "dialogue", len(splits))
    for number, (_, rows) in enumerate(found):
        made_ns = is_written(out, number) and file_of(out, FRAMES, number).stat().st_mtime_ns
        if made_ns > path.stat().st_mtime_ns:
            continue
        columns = {n: read_column(rows, n) for n in header.known if n not in ("dialogue", "split")}
        for layer, names in header.values.items():
            columns[layer] = np.stack([read_column(rows, value) for value in names], axis=1)
        order = _order(rows, columns, rate_hz)
        if header.own:
            labels = {n: label_cells(rows.table[n], numeric[n])[order] for n in header.own}
            write_labels(out, number, labels)
        columns = {n: by_frame(values[order]) for n, values in columns.items()}
        annotated = "backchannel" in columns
        spoken = _spoken(columns, rate_hz)
        write_dialogue(out, number, about, columns, spoken, annotated=annotated)
    return Collection(out)


def read_header(path: Path) -> Header:
    """Return the columns of a table; ConfigError if they are no states over time."""
    names = column_names(path)
    some = ", ".join(names[:8]) or "nothing"
    found: dict[str, dict[int, str]] = {}
    for name in names:
        if match := re.fullmatch(rf"(d|{'_|'.join(LAYERS)}_)(\d+)", name):
            found.setdefault(match[1].rstrip("_"), {})[int(match[2])] = name
    if not found or ("d" in found and len(found) > 1):
        either = "either d0, d1, ... or latent_0, ... and latent_speaker_0, ..."
        raise ConfigError(f"{path}: expected {either}, got {some}")
    for layer, columns in found.items():
        if gap := set(range(len(columns))) - set(columns):
            raise ConfigError(
                f"{path}: expected values from 0 without a gap, got {len(columns)} of {layer} "
                f"without number {min(gap)}"
            )
    for column, there in {
        "`speaker` (0 and 1 in every frame)": "speaker" in names,
        "`frame` or `time_s`": "frame" in names or "time_s" in names,
    }.items():
        if not there:
            raise ConfigError(f"{path}: expected a column {column}, got {some}")
    if "d" in found:
        found["latent"] = found.pop("d")
    inside = [layer for layer in LAYERS if layer in found]
    values = {layer: tuple(name for _, name in sorted(found[layer].items())) for layer in inside}
    known = tuple(name for name in names if name in COLUMNS)
    taken = {*known, *chain.from_iterable(values.values())}
    return Header(known, values, own_labels(path, names, taken))


def read_column(rows: Rows, name: str) -> NDArray[Any]:
    """Return a column of COLUMNS or of values, (N,); ConfigError with the place of a wrong cell."""
    kind, default = COLUMNS.get(name, pa.float32()), DEFAULTS.get(name)
    expected = "a whole number" if pa.types.is_integer(kind) else "a finite number"
    if name in WORDS:
        expected = f"one of {', '.join(map(repr, WORDS[name]))}"
    elif pa.types.is_boolean(kind):
        expected = "true or false"
    kind = pa.string() if kind == TEXT else kind
    expected += "" if default is None else ", or nothing"
    values = rows.cells(name, kind, expected, default)
    if name in WORDS:
        rows.check(np.isin(values, WORDS[name]), name, expected)
    return values


def _survey(path: Path, header: Header) -> tuple[dict[str, str], float | None, dict[str, bool]]:
    """The split of every dialogue, the rate, and which labels of one's own are numbers."""
    splits: dict[str, str] = {}
    rate_hz, numeric = None, dict.fromkeys(header.own, True)
    light = [n for n in ("dialogue", "split", "speaker", "time_s") if n in header.known]
    for dialogue, rows in _dialogues(path, header, [*light, *header.own]):
        if dialogue in splits:
            raise ConfigError(
                f"{rows.place(0)}: expected the rows of dialogue {dialogue!r} to stand "
                "together, got more after another dialogue's"
            )
        if "time_s" in light and not splits:
            rate_hz = _rate_of(read_column(rows, "time_s")[:RATE_ROWS])
        splits[dialogue] = (
            str(rows.table["split"][0].as_py() or "") if "split" in light else UNKNOWN
        )
        for name in header.own:
            numeric[name] &= is_numeric(rows.table[name])
    if not splits:
        raise ConfigError(f"{path}: expected rows below the header, got none")
    return splits, rate_hz, numeric


def _rate_of(times_s: NDArray[np.float64]) -> float | None:
    """Frames a second, to six digits; None where there are not two times."""
    different = np.unique(times_s)
    if len(different) < 2:
        return None
    span = different[-1] - different[0]
    # More exact than a single step, if none is missing.
    return float(f"{round(span / np.median(np.diff(different))) / span:.6g}")


def _dialogues(
    path: Path, header: Header, names: Sequence[str] | None = None
) -> Iterator[tuple[str, Rows]]:
    """The id and the rows of one dialogue after another, of some columns or of all."""
    for dialogue, pieces in groupby(_pieces(path, header, names), key=lambda piece: piece[0]):
        _, rows, tables = zip(*pieces, strict=True)
        yield dialogue, Rows(path, rows[0], pa.concat_tables(tables))


def _pieces(
    path: Path, header: Header, names: Sequence[str] | None
) -> Iterator[tuple[str, int, Any]]:
    """The id, the first row and the rows of one dialogue after another, within each block."""
    row = 0
    for table in blocks(path, names):
        ids = np.full(table.num_rows, path.stem)
        if "dialogue" in header.known:
            ids = Rows(path, row, table).cells("dialogue", pa.string(), "an id")
        block = table if names is not None else _with_numbers(Rows(path, row, table), header)
        bounds = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1), len(ids)]
        for low, high in pairwise(bounds):
            if low < high:
                yield str(ids[low]), row + low, block.slice(low, high - low)
        row += table.num_rows


def _with_numbers(rows: Rows, header: Header) -> Any:
    """The table with its values as float32, which take a part of the memory of text."""
    values = set(chain.from_iterable(header.values.values()))
    names = rows.table.column_names
    columns: list[Any] = [
        pa.array(read_column(rows, name)) if name in values else rows.table.column(name)
        for name in names
    ]
    return pa.Table.from_arrays(columns, names=names)


def _spoken(columns: Columns, rate_hz: float) -> tuple[BoolFrames, BoolFrames] | None:
    """Activity and backchannels, (2, T) each at 50 Hz; None where nobody knows."""
    if "speaking" not in columns:
        return None
    speaking = columns["speaking"]
    frames = max(1, round(len(speaking) * FRAME_RATE_HZ / rate_hz))
    activity, backchannel = (
        at_activity_rate(values.T.astype(np.float32), rate_hz, frames) > 0.5
        for values in (speaking, columns.get("backchannel", np.zeros_like(speaking)))
    )
    return activity, backchannel


def _order(rows: Rows, columns: Columns, rate_hz: float) -> NDArray[np.int64]:
    """Rows by frame and speaker; both speakers in every frame, and frames at equal steps."""
    speaker = columns["speaker"].astype(int)
    if "frame" in columns:
        frame = columns["frame"].astype(int)
    else:
        frame = np.rint((columns["time_s"] - columns["time_s"].min()) * rate_hz).astype(int)
    order = np.lexsort((speaker, frame))
    frame, speaker = frame[order], speaker[order]
    place = np.arange(len(order))
    different = np.unique(frame)
    step = int(np.median(np.diff(different))) if len(different) > 1 else 1
    expected = frame[0] + step * (place // 2)
    wrong = (frame != expected) | (speaker != place % 2)
    wrong[-1] |= len(order) % 2 == 1
    if wrong.any():
        row = int(wrong.argmax())
        raise ConfigError(
            f"{rows.place(order[row])}: expected one row for speaker 0 and one for speaker 1 in "
            f"every frame, and frames at equal steps, got speaker {speaker[row]} in frame "
            f"{frame[row]} alone, twice or after a gap"
        )
    return order
