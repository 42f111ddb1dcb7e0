"""`turnstream latents label`: join labels of one's own, from a table, to a collection.

turnstream latents label COLLECTION FILE

FILE is a CSV file, a Parquet file or an .npz archive, with a row for every label.

    time_s              or begin_s and end_s: when, in seconds of the dialogue. A row with a time
                        labels the frame in which it lies; a row with a beginning and an end, all
                        frames whose ends lie between them
    speaker             0 or 1; without it, or where it is empty, both speakers
    dialogue            id of the dialogue; may be left out where there is one
    any other column    a label of that name: numbers if all of its cells are, else text

An empty cell labels nothing. Where rows overlap, the last one counts. Frames without a label are
unknown: NaN, or "" of text. Labels lie in `labels/` of the collection, in the order of its frames,
and every view that takes a label finds them. Joined again, a label of the same name is replaced.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...stream.errors import ConfigError
from .collection import COLUMNS, LABELS, LABELS_RESERVED, Collection, file_of
from .tables import Rows, blocks, column_names, is_numeric, said, to_arrow, to_numpy

TIME, SPAN = "time_s", ("begin_s", "end_s")
MOST_CLASSES = 8  # of text, that a picture tells apart
OTHERS, UNKNOWN = "others", "unknown"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents label`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (__doc__ or "").split("\n\n", 3)[3]
    what = "folder of `collect` or `import`"
    parser.add_argument("collection", type=Path, metavar="COLLECTION", help=what)
    what = "labels, in the columns listed below"
    parser.add_argument("labels", type=Path, metavar="FILE", help=what)


def main(args: argparse.Namespace) -> int:
    """Join, and print how much of the collection has each label."""
    for name, share in join_labels(Collection(args.collection), args.labels).items():
        print(f"{name}: known in {share:.1%} of the frames")
    return 0


def join_labels(collection: Collection, path: Path) -> dict[str, float]:
    """Join the labels of a table to a collection.

    Returns:
        By name of a label, the share of frames of single speakers that have it.
    Raises:
        ConfigError: the file does not fit, with the line and the column; nothing is written.
    """
    names = _label_names(path)
    rows = Rows(path, 0, pa.concat_tables(blocks(path)))
    if not len(rows.table):
        raise ConfigError(f"{path}: expected rows below the header, got none")
    number, first, last, whose = _places(collection, rows)
    columns = {name: rows.table.column(name) for name in names}
    cells = {name: label_cells(column, is_numeric(column)) for name, column in columns.items()}
    known, frames, there = dict.fromkeys(names, 0), 0, collection.labels
    for dialogue in range(len(collection.dialogues)):
        shape = (collection.frame_count(dialogue), 2)
        frames += 2 * shape[0]
        labels = collection.frames(dialogue, there)
        for name, values in cells.items():
            unknown = np.nan if values.dtype.kind == "f" else ""
            labels[name] = np.full(shape, unknown, values.dtype)
            for row in np.flatnonzero((number == dialogue) & is_known(values)):
                labels[name][first[row] : last[row], whose[row]] = values[row]
            known[name] += int(is_known(labels[name]).sum())
        write_labels(collection.folder, dialogue, labels)
    return {name: count / max(frames, 1) for name, count in known.items()}


def label_cells(column: Any, is_a_number: bool) -> NDArray[Any]:
    """Return a column of a table as a label, (N,): numbers, NaN where unknown, or text."""
    text = said(column.cast(pa.string()))
    if is_a_number:
        return to_numpy(text.cast(pa.float64()))
    return to_numpy(text.fill_null("")).astype(object)


def write_labels(folder: Path, number: int, labels: Mapping[str, NDArray[Any]]) -> None:
    """Write all labels of a dialogue in a collection, (T, 2) by name."""
    path = file_of(folder, LABELS, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    table = pa.table({name: to_arrow(values) for name, values in labels.items()})
    pq.write_table(table, part, compression="zstd")
    part.replace(path)


def is_known(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a label is known."""
    return ~np.isnan(values) if values.dtype.kind == "f" else values != ""


def coded_label(values: NDArray[Any]) -> dict[str, Any]:
    """Return a label of N points as views colour it.

    Returns:
        {"values": (N,) float32} of numbers. Of text, {"classes": names, "values": indices of
        these, (N,) uint8}: the MOST_CLASSES most frequent ones, then "others" and "unknown" if
        there are any.
    """
    if values.dtype.kind == "f":
        return {"values": values.astype(np.float32)}
    counts = Counter(sorted(filter(None, values.tolist())))
    most = [name for name, _ in counts.most_common(MOST_CLASSES)]
    coded = [name if name in most else OTHERS if name else UNKNOWN for name in values.tolist()]
    classes = list(dict.fromkeys([*most, *(n for n in (OTHERS, UNKNOWN) if n in coded)]))
    return {"classes": classes, "values": np.array([classes.index(c) for c in coded], np.uint8)}


def own_labels(path: Path, header: Sequence[str], known: set[str]) -> tuple[str, ...]:
    """Return the names that are not known; ConfigError for that of a collection's column."""
    names = tuple(name for name in header if name and name not in known)  # an index has no name
    for name in names:
        if name in COLUMNS or name in LABELS_RESERVED:
            raise ConfigError(
                f"{path}: expected names of labels that no column of a collection has, got {name!r}"
            )
    return names


def _label_names(path: Path) -> tuple[str, ...]:
    header = column_names(path)
    if (TIME in header) == all(name in header for name in SPAN):
        some = ", ".join(header[:8]) or "nothing"
        raise ConfigError(f"{path}: expected either time_s or begin_s and end_s, got {some}")
    if names := own_labels(path, header, {TIME, *SPAN, "speaker", "dialogue"}):
        return names
    raise ConfigError(f"{path}: expected at least one column of labels, got none")


def _places(
    collection: Collection, rows: Rows
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[int | slice]]:
    """The dialogue, the first frame, the one after the last, and the speakers of N rows."""
    rate_hz, ids = collection.frame_rate_hz, [dialogue.id for dialogue in collection.dialogues]

    there = rows.table.column_names
    names = [TIME] if TIME in there else [*SPAN]
    times_s = [rows.cells(name, pa.float64(), "seconds") for name in names]
    frames = [np.floor(each * rate_hz + 1e-6).astype(np.int64) for each in times_s]
    first, last = frames[0], np.maximum(frames[0] + 1, frames[-1])
    if TIME not in there:
        rows.check(times_s[1] > times_s[0], SPAN[1], "an end after the beginning")
    number = np.zeros(len(first), np.int64)
    if "dialogue" in there:
        alone = ids[0] if len(ids) == 1 else ""  # what an empty cell means
        named = rows.cells("dialogue", pa.string(), "an id", alone)
        some = ", ".join(map(repr, ids[:5])) + ", ..." * (len(ids) > 5)
        rows.check(np.isin(named, ids), "dialogue", f"one of {some}")
        number = np.array([ids.index(name) for name in named])
    elif len(ids) > 1:
        column = f"a column `dialogue`, since there are {len(ids)}"
        raise ConfigError(f"{rows.path}: expected {column}, got none")
    for dialogue, name in enumerate(ids):
        length = collection.frame_count(dialogue)
        inside = (times_s[0] >= 0) & (first < length) | (number != dialogue)
        expected = f"a time in the {length / rate_hz:g} s of dialogue {name!r}"
        rows.check(inside, names[0], expected)
    speaker = np.full(len(first), np.nan)
    if "speaker" in there:
        expected = "0, 1 or nothing"
        speaker = rows.cells("speaker", pa.float64(), expected, np.nan)
        rows.check(np.isnan(speaker) | np.isin(speaker, (0, 1)), "speaker", expected)
    whose = [slice(None) if np.isnan(one) else int(one) for one in speaker]
    return number, first, last, whose
