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
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...stream.errors import ConfigError
from .collection import COLUMNS, LABELS_RESERVED, Collection, by_frame, labels_file
from .tables import EMPTY, is_number, text_rows, to_numpy

TIMES, SPANS = ("time_s",), ("begin_s", "end_s")
MOST_CLASSES = 8  # of text, that a picture tells apart
OTHERS, UNKNOWN = "others", "unknown"

Labels = dict[str, NDArray[Any]]  # name: (T, 2), numbers or text


@dataclass(frozen=True)
class LabelRow:
    """One row of a file of labels.

    Attributes:
        place: in the file, for errors.
        dialogue: its id, or "".
        begin_s, end_s: None for the end: the row labels a single frame.
        speaker: 0, 1, or None for both.
        cells: of the labels, in order.
    """

    place: str
    dialogue: str
    begin_s: float
    end_s: float | None
    speaker: int | None
    cells: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents label`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (__doc__ or "").split("\n\n", 3)[3]
    parser.add_argument(
        "collection", type=Path, metavar="COLLECTION", help="folder of `collect` or `import`"
    )
    parser.add_argument(
        "labels", type=Path, metavar="FILE", help="labels, in the columns listed below"
    )


def main(args: argparse.Namespace) -> int:
    """Join, and print how much of the collection has each label."""
    collection = Collection(args.collection)
    for name, share in join_labels(collection, args.labels).items():
        print(f"{name}: known in {share:.1%} of the frames")
    return 0


def join_labels(collection: Collection, path: Path) -> dict[str, float]:
    """Join the labels of a table to a collection.

    Args:
        collection: to join them to; it is read anew afterwards.
        path: of the file.
    Returns:
        By name of a label, the share of frames of single speakers that have it.
    Raises:
        ConfigError: the file does not fit, with the line and the column; nothing is written.
    """
    names, rows = read_rows(path)
    ids = [dialogue.id for dialogue in collection.dialogues]
    by_dialogue: list[list[LabelRow]] = [[] for _ in ids]
    for row in rows:
        if not row.dialogue and len(ids) > 1:
            raise ConfigError(
                f"{row.place}: expected the dialogue, since there are {len(ids)}, got none"
            )
        if row.dialogue and row.dialogue not in ids:
            raise ConfigError(
                f"{row.place}: expected one of {_some(ids)}, got dialogue {row.dialogue!r}"
            )
        by_dialogue[ids.index(row.dialogue) if row.dialogue else 0].append(row)
    numeric = [all(is_number(row.cells[k]) for row in rows) for k in range(len(names))]
    for number, own in enumerate(by_dialogue):
        _check_times(collection, number, own)
    known = dict.fromkeys(names, 0)
    for number, own in enumerate(by_dialogue):
        frames = collection.frame_count(number)
        labels = frame_labels(frames, collection.frame_rate_hz, names, numeric, own)
        there = read_labels(collection.folder, number)
        write_labels(collection.folder, number, there | labels)
        for name, values in labels.items():
            known[name] += int(is_known(values).sum())
    frames = sum(2 * collection.frame_count(number) for number in range(len(ids)))
    return {name: count / max(frames, 1) for name, count in known.items()}


def read_rows(path: Path) -> tuple[tuple[str, ...], list[LabelRow]]:
    """Return the names of the labels in a file, and its rows.

    Raises:
        ConfigError: the file does not hold labels over time, with the line and the column.
    """
    rows: list[LabelRow] = []
    names: tuple[str, ...] = ()
    header: list[str] = []
    for place, cells in text_rows(path):
        if not header:
            header = [name.strip() for name in cells]
            names = _label_names(place, header)
        elif any(cells):
            rows.append(_row(place, header, names, cells))
    if not rows:
        raise ConfigError(f"{path}: expected rows below the header, got none")
    return names, rows


def frame_labels(
    frames: int,
    rate_hz: float,
    names: Sequence[str],
    numeric: Sequence[bool],
    rows: Sequence[LabelRow],
) -> Labels:
    """Return the labels of every frame and speaker of a dialogue, (T, 2) by name.

    Args:
        frames, rate_hz: of the dialogue.
        names: of the labels.
        numeric: whether each is a number.
        rows: of the dialogue.
    """
    found: Labels = {
        name: np.full((frames, 2), np.nan) if number else np.full((frames, 2), "", object)
        for name, number in zip(names, numeric, strict=True)
    }
    for row in rows:
        first, last = _frames_of(row, rate_hz)
        whose = slice(None) if row.speaker is None else row.speaker
        for name, number, cell in zip(names, numeric, row.cells, strict=True):
            if cell not in EMPTY:
                found[name][first:last, whose] = float(cell) if number else cell
    return found


def read_labels(folder: Path, number: int) -> Labels:
    """Return all labels of a dialogue in a collection, (T, 2) by name; none where none is there."""
    path = labels_file(folder, number)
    if not path.is_file():
        return {}
    table = pq.read_table(path)
    return {name: by_frame(to_numpy(table.column(name))) for name in table.column_names}


def write_labels(folder: Path, number: int, labels: Mapping[str, NDArray[Any]]) -> None:
    """Write all labels of a dialogue in a collection, (T, 2) by name."""
    path = labels_file(folder, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: pa.array(values.reshape(-1), pa.float64())
        if values.dtype.kind == "f"
        else pa.array(values.reshape(-1).astype(object), pa.string()).dictionary_encode()
        for name, values in labels.items()
    }
    part = path.with_suffix(".part")
    pq.write_table(pa.table(arrays), part, compression="zstd")
    part.replace(path)


def is_known(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a label is known."""
    return ~np.isnan(values) if values.dtype.kind == "f" else values != ""


def coded_label(values: NDArray[Any]) -> dict[str, Any]:
    """Return a label of N points as views colour it.

    Args:
        values: numbers or text, (N,).
    Returns:
        {"values": (N,) float32} of numbers. Of text, {"classes": names, "values": indices of
        these, (N,) uint8}: the MOST_CLASSES most frequent ones, then "others" and "unknown" if
        there are any.
    """
    if values.dtype.kind == "f":
        return {"values": values.astype(np.float32)}
    names, counts = np.unique(values[values != ""], return_counts=True)
    most = names[np.argsort(-counts, kind="stable")][:MOST_CLASSES].tolist()
    coded = np.array(
        [OTHERS if value and value not in most else value or UNKNOWN for value in values]
    )
    last = [name for name in (OTHERS, UNKNOWN) if name in coded]
    classes = list(dict.fromkeys([*most, *last]))
    return {
        "classes": classes,
        "values": np.array([classes.index(value) for value in coded], np.uint8),
    }


def check_name(where: str, name: str) -> None:
    """Refuse a name that no label can have.

    Args:
        where: the file and line, for the error.
        name: of the label.
    Raises:
        ConfigError: another column of a collection has it.
    """
    if name in COLUMNS or name in LABELS_RESERVED:
        raise ConfigError(
            f"{where}: expected names of labels that no column of a collection has, got {name!r}"
        )


def _check_times(collection: Collection, number: int, rows: Sequence[LabelRow]) -> None:
    frames, rate_hz = collection.frame_count(number), collection.frame_rate_hz
    for row in rows:
        if row.begin_s < 0 or _frames_of(row, rate_hz)[0] >= frames:
            raise ConfigError(
                f"{row.place}: expected a time in the {frames / rate_hz:g} s of "
                f"dialogue {collection.dialogues[number].id!r}, got {row.begin_s:g} s"
            )


def _label_names(where: str, header: Sequence[str]) -> tuple[str, ...]:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ConfigError(f"{where}: expected columns of different names, got {twice[0]!r} twice")
    if not (all(n in header for n in TIMES) != all(n in header for n in SPANS)):
        raise ConfigError(
            f"{where}: expected either time_s or begin_s and end_s, got "
            f"{', '.join(header[:8]) or 'nothing'}"
        )
    known = ("", *TIMES, *SPANS, "speaker", "dialogue")  # "" is the index of a table
    names = tuple(name for name in header if name not in known)
    for name in names:
        check_name(where, name)
    if not names:
        raise ConfigError(f"{where}: expected at least one column of labels, got none")
    return names


def _row(place: str, header: Sequence[str], names: Sequence[str], cells: Sequence[str]) -> LabelRow:
    if len(cells) != len(header):
        raise ConfigError(
            f"{place}: expected {len(header)} cells, as the header has, got {len(cells)}"
        )
    by_name = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}

    def seconds(name: str) -> float:
        if not is_number(by_name[name]) or by_name[name] in EMPTY:
            raise ConfigError(f"{place}, column {name!r}: expected seconds, got {by_name[name]!r}")
        return float(by_name[name])

    speaker = by_name.get("speaker", "")
    if speaker not in ("", "0", "1"):
        raise ConfigError(f"{place}, column 'speaker': expected 0, 1 or nothing, got {speaker!r}")
    begin_s, end_s = (
        (seconds("time_s"), None) if "time_s" in by_name else (seconds("begin_s"), seconds("end_s"))
    )
    if end_s is not None and end_s <= begin_s:
        raise ConfigError(
            f"{place}: expected an end after the beginning, got {begin_s:g} to {end_s:g} s"
        )
    return LabelRow(
        place,
        by_name.get("dialogue", ""),
        begin_s,
        end_s,
        int(speaker) if speaker else None,
        tuple(by_name[name] for name in names),
    )


def _frames_of(row: LabelRow, rate_hz: float) -> tuple[int, int]:
    """The first frame, and the one after the last; at least one."""
    first = math.floor(row.begin_s * rate_hz + 1e-6)
    last = first + 1 if row.end_s is None else math.floor(row.end_s * rate_hz + 1e-6)
    return first, max(last, first + 1)


def _some(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:5])) + (", ..." if len(ids) > 5 else "")
