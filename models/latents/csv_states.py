"""The CSV files of states that `turnstream latents import` takes: their columns, their rows block by block, and what is wrong with them.

importing.py says what a file holds. Arrow reads it; where Arrow fails, the line and the column are looked for.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pv

from ...stream.errors import ConfigError
from .collection import COLUMNS, LAYERS
from .labels import EMPTY, check_name
from .moments import FLOORS, SITUATIONS

BLOCK_BYTES = 8 << 20
WORDS = {"situation": SITUATIONS, "floor": FLOORS, "event": ("", "shift", "hold")}
TRUE, FALSE = ("1", "true", "True", "TRUE", "1.0"), ("0", "false", "False", "FALSE", "0.0")


@dataclass(frozen=True)
class Header:
    """The columns of a file.

    Attributes:
        names: all of them, in order.
        labels: those of COLUMNS.
        values: names of each layer's values, in order.
        own: all others, which become labels of one's own (labels.py).
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    values: dict[str, tuple[str, ...]]
    own: tuple[str, ...]

    @property
    def types(self) -> dict[str, Any]:
        """What Arrow reads each column as."""
        labels = {
            name: pa.string() if pa.types.is_dictionary(COLUMNS[name]) else COLUMNS[name]
            for name in self.labels
        }
        return (
            labels
            | {name: pa.float32() for names in self.values.values() for name in names}
            | dict.fromkeys(self.own, pa.string())
        )


def read_header(path: Path) -> Header:
    """The columns of a file.

    Raises:
        ConfigError: they describe no states of two speakers over time.
    """
    names = tuple(next(_rows(path), (0, []))[1])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"{path}, line 1: expected columns of different names, got {twice[0]!r} twice"
        )
    found: dict[str, dict[int, str]] = {}
    for name in names:
        if match := re.fullmatch(rf"(d|{'|'.join(f'{layer}_' for layer in LAYERS)})(\d+)", name):
            found.setdefault(match[1].rstrip("_"), {})[int(match[2])] = name
    if not found or ("d" in found and len(found) > 1):
        raise ConfigError(
            f"{path}, line 1: expected either d0, d1, ... or latent_0, ... and latent_speaker_0, ..., got {', '.join(names[:8]) or 'nothing'}"
        )
    for layer, columns in found.items():
        gap = next((index for index in range(len(columns)) if index not in columns), None)
        if gap is not None:
            raise ConfigError(
                f"{path}, line 1: expected values from 0 without a gap, got {len(columns)} of {layer} without number {gap}"
            )
    values = {
        layer: tuple(columns[index] for index in range(len(columns)))
        for layer, columns in found.items()
    }
    values = {
        layer: values[key]
        for layer in LAYERS
        for key in (layer, "d" if layer == "latent" else "")
        if key in values
    }
    labels = tuple(name for name in names if name in COLUMNS)
    if "speaker" not in labels:
        raise ConfigError(
            f"{path}, line 1: expected a column `speaker` (0 and 1 in every frame), got {', '.join(names[:8])}"
        )
    if "frame" not in labels and "time_s" not in labels:
        raise ConfigError(
            f"{path}, line 1: expected a column `frame` or `time_s`, got {', '.join(names[:8])}"
        )
    known = {*labels, *(name for columns in values.values() for name in columns)}
    own = tuple(name for name in names if name and name not in known)  # a table's index has none
    for name in own:
        check_name(f"{path}, line 1", name)
    return Header(names, labels, values, own)


def batches(path: Path, header: Header, names: tuple[str, ...]) -> Iterator[Any]:
    """Rows of some columns, block by block."""
    types = {name: header.types[name] for name in names}
    convert = pv.ConvertOptions(
        column_types=types,
        include_columns=list(names),
        null_values=list(EMPTY),
        true_values=list(TRUE),
        false_values=list(FALSE),
    )
    try:
        with pv.open_csv(
            path, read_options=pv.ReadOptions(block_size=BLOCK_BYTES), convert_options=convert
        ) as reader:
            yield from reader
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        refuse(path, header, str(error))


def refuse(path: Path, header: Header, otherwise: str = "") -> Any:
    """Say in which line and column a file is wrong, which Arrow does not."""
    values = {name for names in header.values.values() for name in names}
    for line, row in _rows(path):
        if line > 1 and row:
            if len(row) != len(header.names):
                raise ConfigError(
                    f"{path}, line {line}: expected {len(header.names)} cells, as the header has, got {len(row)}"
                )
            for name, cell in zip(header.names, row, strict=True):
                expected = "a finite number" if name in values else _expected(name)
                if expected and not _fits(expected, name, cell.strip()):
                    raise ConfigError(
                        f"{path}, line {line}, column {name!r}: expected {expected}, got {cell!r}"
                    )
    raise ConfigError(
        f"{path}: expected a CSV file of states, got: {otherwise or 'something else'}"
    )


def _expected(name: str) -> str:
    """What a cell of a label's column holds."""
    if name not in COLUMNS or name in ("dialogue", "split"):
        return ""
    if name in WORDS:
        return f"one of {', '.join(map(repr, WORDS[name]))}"
    if name == "speaker":
        return "0 or 1"
    kind = COLUMNS[name]
    whole = (
        "a whole number"
        if pa.types.is_integer(kind)
        else "true or false"
        if pa.types.is_boolean(kind)
        else "a number"
    )
    return whole if name in ("frame", "time_s") else f"{whole}, or nothing"


def _fits(expected: str, name: str, cell: str) -> bool:
    if expected.endswith("or nothing") and cell in EMPTY:
        return True
    if name in WORDS:
        return cell in WORDS[name]
    if expected == "0 or 1":
        return cell in ("0", "1")
    if expected.startswith("true"):
        return cell in TRUE + FALSE
    if expected.startswith("a whole"):
        return re.fullmatch(r"-?\d+", cell) is not None
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of the rows of a file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: expected a CSV file of states in UTF-8, got: {error}") from None
