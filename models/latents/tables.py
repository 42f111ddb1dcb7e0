"""Tables that views read and write: CSV, Parquet and .npz files, by name of the column.

A column of vectors, (N, H) in an .npz archive or lists in Parquet, is read as H columns: `latent`
becomes latent_0, latent_1, ... CSV and Parquet are read block by block; an array of an .npz archive
is read whole.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...stream.errors import ConfigError

SUFFIXES = (".csv", ".parquet", ".npz")
EMPTY = ("", "nan", "NaN")  # cells that say nothing
TRUE, FALSE = ("1", "true", "True", "TRUE", "1.0"), ("0", "false", "False", "FALSE", "0.0")
BLOCK_BYTES, BLOCK_ROWS = 8 << 20, 8000


def check_table(path: Path) -> None:
    """Refuse a file that no table can be read from.

    Raises:
        ConfigError: another suffix.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"expected a table ({', '.join(SUFFIXES)}), got {str(path)!r}")


def where(path: Path, row: int) -> str:
    """Return the place of a row, counted from 0, for an error: a line of a CSV file, or a row."""
    return f"{path}, line {row + 2}" if path.suffix == ".csv" else f"{path}, row {row + 1}"


def text_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the cells of every row, as text; first the names of the columns.

    Raises:
        ConfigError: the file cannot be read.
    """
    check_table(path)
    if path.suffix == ".csv":
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file)
                for row in reader:
                    yield f"{path}, line {reader.line_num}", row
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ConfigError(f"{path}: expected a CSV file in UTF-8, got: {error}") from None
        return
    count = 0
    for block in _arrays(path):
        if not count:
            yield str(path), list(block)
        for cells in zip(*block.values(), strict=True):
            yield where(path, count), ["" if _is_nothing(cell) else str(cell) for cell in cells]
            count += 1


def blocks(path: Path, types: Mapping[str, Any]) -> Iterator[Any]:
    """Yield Arrow tables of some columns, block by block, of these types.

    Raises:
        pa.ArrowInvalid, UnicodeDecodeError: a cell is not of its column's type.
        ConfigError: the file cannot be read.
    """
    if path.suffix == ".csv":
        convert = pv.ConvertOptions(
            column_types=dict(types),
            include_columns=list(types),
            null_values=list(EMPTY),
            true_values=list(TRUE),
            false_values=list(FALSE),
        )
        options = pv.ReadOptions(block_size=BLOCK_BYTES)
        with pv.open_csv(path, read_options=options, convert_options=convert) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])
        return
    for block in _arrays(path):
        columns = [_typed(block[name], kind) for name, kind in types.items()]
        yield pa.Table.from_arrays(columns, names=list(types))


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file.

    Args:
        path: .csv.
        header: names of the columns.
        rows: cells. A float gets six significant digits, NaN an empty cell; True is 1.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)


def write_json(path: Path, value: Any) -> None:
    """Write JSON; NaN, which it lacks, becomes null."""
    path.write_text(json.dumps(_finite(value), indent=1) + "\n", encoding="utf-8")


def is_number(cell: str) -> bool:
    """Return whether a cell is a finite number, or says nothing."""
    if (cell := cell.strip()) in EMPTY:
        return True
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def to_numpy(column: Any) -> NDArray[Any]:
    """Return a column of an Arrow table as an array, (N,) or, of vectors, (N, H)."""
    joined = column.combine_chunks()
    if isinstance(joined, pa.ChunkedArray):
        joined = pa.concat_arrays(joined.chunks) if joined.num_chunks else pa.array([], joined.type)
    if pa.types.is_dictionary(joined.type):
        joined = joined.dictionary_decode()
    if pa.types.is_fixed_size_list(joined.type):
        return joined.flatten().to_numpy(zero_copy_only=False).reshape(-1, joined.type.list_size)
    if pa.types.is_list(joined.type):
        return np.array(joined.to_pylist(), np.float32).reshape(len(joined), -1)
    if pa.types.is_boolean(joined.type) and joined.null_count:
        return np.array([np.nan if value is None else float(value) for value in joined.to_pylist()])
    values = joined.to_numpy(zero_copy_only=False)
    return values.astype(str) if values.dtype == object else values


def _arrays(path: Path) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the columns of a Parquet file or an .npz archive, (N,) each, block by block."""
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BLOCK_ROWS):
                    table: Any = pa.Table.from_batches([batch])
                    yield _flat({name: to_numpy(table[name]) for name in table.column_names})
        else:
            with np.load(path, allow_pickle=False) as there:
                whole = {name: there[name] for name in there.files}
            counts = {len(values) for values in whole.values()}
            if len(counts) > 1:
                raise ValueError(f"arrays of {' and '.join(map(str, sorted(counts)))} rows")
            for start in range(0, max(counts, default=0), BLOCK_ROWS):
                stop = start + BLOCK_ROWS
                yield _flat({name: values[start:stop] for name, values in whole.items()})
    except (OSError, ValueError, EOFError, TypeError, pa.ArrowInvalid) as error:
        raise ConfigError(
            f"{path}: expected a table ({', '.join(SUFFIXES)}), got: {error}"
        ) from None


def _flat(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Take columns of vectors apart."""
    return dict(
        chain.from_iterable(
            [(name, values)]
            if values.ndim == 1
            else [(f"{name}_{k}", values[:, k]) for k in range(values.shape[1])]
            for name, values in columns.items()
        )
    )


def _typed(values: NDArray[Any], kind: Any) -> Any:
    nothing = np.isnan(values) if values.dtype.kind == "f" else None
    array: Any = pa.array(values.astype(object) if values.dtype.kind == "U" else values)
    if nothing is not None and nothing.any():
        array = pa.array(values, mask=nothing)
    return array.cast(kind)


def _is_nothing(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float | np.floating) and bool(np.isnan(cell)))


def _cell(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.6g}"
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
