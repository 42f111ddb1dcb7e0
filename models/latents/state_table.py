"""The tables of states that `turnstream latents import` takes: columns, and what is wrong in them.

importing.py says what a table holds. Arrow reads it; where Arrow fails, the place is looked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...stream.errors import ConfigError
from .collection import COLUMNS, LAYERS
from .labels import check_name
from .moments import FLOORS, SITUATIONS
from .tables import EMPTY, FALSE, TRUE, blocks, text_rows

WORDS = {"situation": SITUATIONS, "floor": FLOORS, "event": ("", "shift", "hold")}


@dataclass(frozen=True)
class Header:
    """The columns of a table.

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
        values = {name: pa.float32() for names in self.values.values() for name in names}
        return labels | values | dict.fromkeys(self.own, pa.string())


def read_header(path: Path) -> Header:
    """Return the columns of a table.

    Raises:
        ConfigError: they describe no states of two speakers over time.
    """
    place, cells = next(text_rows(path), (f"{path}, line 1", []))
    names = tuple(cells)
    some = ", ".join(names[:8]) or "nothing"
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{place}: expected columns of different names, got {twice[0]!r} twice")
    found: dict[str, dict[int, str]] = {}
    for name in names:
        if match := re.fullmatch(rf"(d|{'|'.join(f'{layer}_' for layer in LAYERS)})(\d+)", name):
            found.setdefault(match[1].rstrip("_"), {})[int(match[2])] = name
    if not found or ("d" in found and len(found) > 1):
        raise ConfigError(
            f"{place}: expected either d0, d1, ... or latent_0, ... and latent_speaker_0, ..., got "
            f"{some}"
        )
    for layer, columns in found.items():
        if gap := set(range(len(columns))) - set(columns):
            raise ConfigError(
                f"{place}: expected values from 0 without a gap, got {len(columns)} of {layer} "
                f"without number {min(gap)}"
            )
    found = {"latent" if key == "d" else key: columns for key, columns in found.items()}
    values = {
        layer: tuple(found[layer][index] for index in range(len(found[layer])))
        for layer in LAYERS
        if layer in found
    }
    labels = tuple(name for name in names if name in COLUMNS)
    if "speaker" not in labels:
        raise ConfigError(
            f"{place}: expected a column `speaker` (0 and 1 in every frame), got {some}"
        )
    if "frame" not in labels and "time_s" not in labels:
        raise ConfigError(f"{place}: expected a column `frame` or `time_s`, got {some}")
    known = {*labels, *(name for columns in values.values() for name in columns)}
    own = tuple(name for name in names if name and name not in known)  # a table's index has none
    for name in own:
        check_name(place, name)
    return Header(names, labels, values, own)


def state_blocks(path: Path, header: Header, names: Sequence[str]) -> Iterator[Any]:
    """Yield Arrow tables of some columns, block by block.

    Raises:
        ConfigError: a cell holds something else, with its place.
    """
    try:
        yield from blocks(path, {name: header.types[name] for name in names})
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        refuse(path, header, str(error))


def refuse(path: Path, header: Header, otherwise: str = "") -> Any:
    """Say where and how a table is wrong, which Arrow does not.

    Raises:
        ConfigError: always.
    """
    values = {name for names in header.values.values() for name in names}
    rows = text_rows(path)
    next(rows)
    for place, row in rows:
        if row and len(row) != len(header.names):
            raise ConfigError(
                f"{place}: expected {len(header.names)} cells, as the header has, got {len(row)}"
            )
        for name, cell in zip(header.names, row, strict=False):
            expected = "a finite number" if name in values else _expected(name)
            if expected and not _fits(expected, name, cell.strip()):
                raise ConfigError(f"{place}, column {name!r}: expected {expected}, got {cell!r}")
    raise ConfigError(f"{path}: expected a table of states, got: {otherwise or 'something else'}")


def _expected(name: str) -> str:
    """What a cell of a label's column holds."""
    if name not in COLUMNS or name in ("dialogue", "split"):
        return ""
    if name in WORDS:
        return f"one of {', '.join(map(repr, WORDS[name]))}"
    if name == "speaker":
        return "0 or 1"
    kind = COLUMNS[name]
    boolean = "true or false" if pa.types.is_boolean(kind) else "a number"
    whole = "a whole number" if pa.types.is_integer(kind) else boolean
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
