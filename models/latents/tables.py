"""Tables that views read and write: CSV, Parquet and .npz files, by name of the column.

A column of vectors, (N, H) in an .npz archive or lists in Parquet, is read as H columns: `latent`
becomes latent_0, latent_1, ... CSV and Parquet are read block by block, an .npz archive whole.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...stream.errors import ConfigError

TEXT = pa.dictionary(pa.int32(), pa.string())
pc: Any = pyarrow.compute  # whose functions are made when it is imported
SUFFIXES = (".csv", ".parquet", ".npz")
EMPTY = ["", "nan", "NaN"]  # cells that say nothing
BLOCK_BYTES, BLOCK_ROWS = 8 << 20, 8000
UNREADABLE = (OSError, ValueError, TypeError, LookupError, EOFError, csv.Error, zipfile.BadZipFile)


@dataclass(frozen=True)
class Rows:
    """Rows of a file that follow each other. A cell that says nothing is null."""

    path: Path
    first: int  # number of the first row in the file, from 0
    table: Any  # Arrow table; all cells of a CSV file are text

    def place(self, row: int) -> str:
        """Return where a row stands, for an error: a line of a CSV file, or a row."""
        line = self.path.suffix == ".csv"
        return f"{self.path}, {'line' if line else 'row'} {self.first + row + 1 + line}"

    def cells(self, name: str, kind: Any, expected: str, default: Any = None) -> NDArray[Any]:
        """Return a column as an array of an Arrow type, (N,).

        A cell that says nothing is the default; None refuses it.

        Raises:
            ConfigError: a cell is not what is expected, with its place.
        """
        column = self.table.column(name)
        try:
            found = column.cast(kind)
        except pa.ArrowInvalid:
            column = said(column)
            if pa.types.is_boolean(kind) and pa.types.is_string(column.type):
                column = pc.replace_substring_regex(column, r"\.0$", "")  # as pandas writes it
            self.check([_is(cell, kind) for cell in column], name, expected)
            found = column.cast(kind)
        if default is None:
            good = pc.is_finite(found) if pa.types.is_floating(kind) else found.is_valid()
            self.check(good.fill_null(False), name, expected)
        elif not isinstance(default, float):  # null is NaN
            found = found.fill_null(default)
        return to_numpy(found)

    def check(self, good: Any, name: str, expected: str) -> None:
        """Raise a ConfigError with the place of the first cell that is not good, (N,)."""
        if np.all(good):
            return
        row = int(np.argmin(good))
        cell = self.table.column(name)[row].as_py()
        raise ConfigError(
            f"{self.place(row)}, column {name!r}: expected {expected}, got "
            f"{'' if cell is None else str(cell)!r}"
        )


def column_names(path: Path) -> tuple[str, ...]:
    """Return the names of a file's columns; ConfigError if it is no table or two are the same."""
    names = tuple(next(blocks(path), pa.table({})).column_names)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{path}: expected columns of different names, got {twice[0]!r} twice")
    return names


def blocks(path: Path, names: Sequence[str] | None = None) -> Iterator[Any]:
    """Yield Arrow tables of some or all columns, block by block; ConfigError if it is no table."""
    readers = {".csv": _csv_blocks, ".parquet": _parquet_blocks, ".npz": _npz_blocks}
    expected = f"expected a table ({', '.join(SUFFIXES)}), got"
    if path.suffix not in readers:
        raise ConfigError(f"{expected} {str(path)!r}")
    try:
        for table in readers[path.suffix](path, names):
            yield table if names is None else table.select(list(names))
    except UNREADABLE as error:
        raise ConfigError(f"{path}: {expected}: {error}") from None


def said(column: Any) -> Any:
    """Return a column whose cells are null where they say nothing; text has no spaces around it."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        text = pc.utf8_trim_whitespace(column).cast(pa.string())
        return pc.if_else(pc.is_in(text, pa.array(EMPTY)), None, text)
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), None, column)
    return column


def is_numeric(column: Any) -> bool:
    """Return whether all cells of a column that say something are finite numbers."""
    try:
        found = said(column.cast(pa.string())).cast(pa.float64())  # a truth is none
    except pa.ArrowInvalid:
        return False
    return pc.all(pc.is_finite(found), min_count=0).as_py()


def to_numpy(column: Any) -> NDArray[Any]:
    """Return a column of an Arrow table as an array, (N,) or, of vectors, (N, H)."""
    joined = column.combine_chunks()
    if pa.types.is_dictionary(joined.type):
        joined = joined.dictionary_decode()
    if pa.types.is_fixed_size_list(joined.type):
        return joined.flatten().to_numpy(zero_copy_only=False).reshape(-1, joined.type.list_size)
    if pa.types.is_list(joined.type):
        return np.array(joined.to_pylist(), np.float32).reshape(len(joined), -1)
    if pa.types.is_boolean(joined.type) and joined.null_count:
        joined = joined.cast(pa.float64())
    values = joined.to_numpy(zero_copy_only=False)
    return values.astype(str) if values.dtype == object else values


def to_arrow(values: NDArray[Any], kind: Any = None) -> Any:
    """Return values, (N,) or, of vectors, (N, H), as an Arrow array of a type (None: their own).

    A truth may be a float, NaN where unknown, which is null.
    """
    flat = values.reshape(-1)
    if kind == TEXT or (kind is None and flat.dtype.kind in "OU"):
        return pa.array(flat.astype(object), pa.string()).dictionary_encode()
    if kind is None:
        return pa.array(flat)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type), kind.list_size)
    if pa.types.is_boolean(kind) and flat.dtype.kind == "f":
        return pa.array(flat == 1, kind, mask=np.isnan(flat))
    return pa.array(flat, kind)


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file. A float gets six significant digits, NaN an empty cell; True is 1."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)


def write_json(path: Path, value: Any) -> None:
    """Write JSON; NaN, which it lacks, becomes null."""
    encoded = msgspec.json.encode(value, enc_hook=lambda found: found.tolist())
    path.write_bytes(msgspec.json.format(encoded, indent=1) + b"\n")


def _csv_blocks(path: Path, some: Sequence[str] | None) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    kinds = dict.fromkeys(names, pa.string())
    read, parse = pv.ReadOptions(block_size=BLOCK_BYTES), pv.ParseOptions(newlines_in_values=True)
    convert = pv.ConvertOptions(
        column_types=kinds, null_values=EMPTY, strings_can_be_null=True, include_columns=some
    )
    with pv.open_csv(path, read, parse, convert) as reader:
        yield reader.schema.empty_table()
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _parquet_blocks(path: Path, _: Sequence[str] | None) -> Iterator[Any]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BLOCK_ROWS):
            table: Any = pa.Table.from_batches([batch])
            yield _flat(zip(table.column_names, table.columns, strict=True))


def _npz_blocks(path: Path, _: Sequence[str] | None) -> Iterator[Any]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        yield _flat((name, archive[name]) for name in archive.files)


def _flat(columns: Iterable[tuple[str, Any]]) -> Any:
    """Return a table in which columns of vectors are taken apart."""
    flat: dict[str, Any] = {}
    for name, column in columns:
        arrow = not isinstance(column, np.ndarray)
        values = to_numpy(column) if arrow and pa.types.is_nested(column.type) else column
        if isinstance(values, np.ndarray) and values.ndim == 2:
            flat |= {f"{name}_{k}": said(pa.array(one)) for k, one in enumerate(values.T)}
        else:
            flat[name] = said(values if arrow else pa.array(values))
    return pa.table(flat)


def _is(cell: Any, kind: Any) -> bool:
    try:
        cell.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _cell(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.6g}"
    return value
