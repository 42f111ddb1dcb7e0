"""`turnstream latents export`: the states and labels of a collection as one CSV file or .npz
archive, a row for every frame and speaker.

turnstream latents export SOURCE --out FILE.csv [--layer latent] [--every N]

The columns are those of collection.py and the labels of one's own; after them, of one layer, d0 d1
..., of both, latent_speaker_0 ... latent_0 ...; NaN and what does not apply are empty cells. An
.npz archive has an array for each column, with one for a layer (N, H). Both are written piece by
piece. importing.py reads the CSV file back.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...stream.errors import ConfigError
from .bars import bar
from .collect import add_model_argument, add_source_argument, opened_collection
from .collection import COLUMNS, LAYERS, Collection, frames_file, labels_file
from .options import add_out, check_files, option, shown
from .tables import to_numpy
from .views import View

ROWS_AT_ONCE = 4000
BOTH = "both"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents export`."""
    add_source_argument(parser)
    add_out(parser, what="file to write, .csv or .npz", metavar="FILE")
    what = "layer whose states to write (default latent)"
    parser.add_argument("--layer", choices=(*LAYERS, BOTH), default="latent", help=what)
    option(parser, "--every N", "keep the last of every N frames", 1)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Export, and print how much."""
    check_files(args, ".csv", ".npz")
    layers = LAYERS if args.layer == BOTH else (args.layer,)
    with opened_collection(args.source, args.model) as collection:
        return shown(export(collection, args.out, layers, args.every))


def export(
    collection: Collection, out: Path, layers: tuple[str, ...] = ("latent",), every: int = 1
) -> View:
    """Write states and labels, whole or not at all.

    Args:
        collection: to export.
        out: .csv or .npz.
        layers: whose states.
        every: of so many frames the last is kept, so that rows lie on a regular grid of times, from
            its first step on.
    Raises:
        ConfigError: a layer that the collection lacks, or no frame that is kept.
    """
    missing = [layer for layer in layers if layer not in collection.about.sizes]
    if missing:
        raise ConfigError(
            f"expected layers of the collection ({', '.join(collection.about.sizes)}), got "
            f"{', '.join(missing)}"
        )
    frames = [
        collection.frame_count(number) // every if every > 0 else 0
        for number in range(len(collection.dialogues))
    ]
    if not sum(frames):
        longest = max(collection.frame_count(number) for number in range(len(frames)))
        raise ConfigError(
            f"expected to keep at least one frame, got every {every} of dialogues of at most "
            f"{longest}"
        )
    part = out.with_name(out.name + ".part")
    write = _write_csv if out.suffix == ".csv" else _write_npz
    try:
        write(collection, part, layers, every, 2 * sum(frames))
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    sizes = " and ".join(f"{collection.about.sizes[layer]} of {layer}" for layer in layers)
    caption = (
        f"{2 * sum(frames)} rows of {len(collection.dialogues)} "
        f"dialogue{'s' * (len(collection.dialogues) != 1)} in {collection.about.model}: one for "
        "every "
        f"speaker and frame, {collection.frame_rate_hz / every:g} frames a second; "
        f"{len(COLUMNS) + len(collection.labels)} columns of labels and probabilities, and "
        f"values: {sizes}."
    )
    return View(out, "States and labels", caption)


def value_names(layer: str, size: int, only: bool) -> list[str]:
    """The columns of a layer's values: d0 d1 ... of an only one, else with its name before."""
    return [f"d{index}" if only else f"{layer}_{index}" for index in range(size)]


def _write_csv(
    collection: Collection, path: Path, layers: tuple[str, ...], every: int, rows: int
) -> None:
    sizes = {layer: collection.about.sizes[layer] for layer in layers}
    types = {
        name: pa.string() if pa.types.is_dictionary(kind) else kind
        for name, kind in COLUMNS.items()
    } | _own_types(collection)
    values = {
        name: pa.float32()
        for layer, size in sizes.items()
        for name in value_names(layer, size, len(layers) == 1)
    }
    schema: Any = pa.schema([*types.items(), *values.items()])
    with (
        pv.CSVWriter(path, schema, write_options=pv.WriteOptions(quoting_style="needed")) as writer,
        bar(None, "export", "row", rows) as progress,
    ):
        for number in range(len(collection.dialogues)):
            for table in _tables(collection, number, [*types, *layers], every):
                columns = [_finite(table.column(name).cast(kind)) for name, kind in types.items()]
                for layer in layers:
                    columns += [
                        _finite(pa.array(column))
                        for column in np.ascontiguousarray(to_numpy(table.column(layer)).T)
                    ]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
                progress.update(table.num_rows)


def _write_npz(
    collection: Collection, path: Path, layers: tuple[str, ...], every: int, rows: int
) -> None:
    """Column by column: each is a stored .npy, whose length is known before it is written."""
    names = (*COLUMNS, *collection.labels, *layers)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        bar(None, "export", "row", rows * len(names)) as progress,
    ):
        for name in names:
            dtype, width = (
                _dtype(collection, name),
                ((collection.about.sizes[name],) if name in layers else ()),
            )
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {
                    "descr": np.lib.format.dtype_to_descr(dtype),
                    "fortran_order": False,
                    "shape": (rows, *width),
                }
                np.lib.format.write_array_header_2_0(file, header)
                for number in range(len(collection.dialogues)):
                    for table in _tables(
                        collection, number, ["frame", name] if name != "frame" else ["frame"], every
                    ):
                        file.write(to_numpy(table.column(name)).astype(dtype).tobytes())
                        progress.update(table.num_rows)


def _dtype(collection: Collection, name: str) -> np.dtype[Any]:
    """Of a column in an archive; text as wide as its longest."""
    if name == "correct":
        return np.dtype("<f4")  # NaN where it does not apply
    kinds = (
        to_numpy(next(_tables(collection, number, [name]))[name]).dtype
        for number in range(len(collection.dialogues))
    )
    first = next(kinds)
    if first.kind != "U":
        return np.dtype(np.float32) if name in collection.about.sizes else first
    longest = max(
        (
            to_numpy(table[name]).dtype.itemsize
            for number in range(len(collection.dialogues))
            for table in _tables(collection, number, [name])
        ),
        default=4,
    )
    return np.dtype(f"<U{longest // 4}")


def _tables(
    collection: Collection, number: int, columns: list[str], every: int = 1
) -> Iterator[Any]:
    """Pieces of a dialogue's frames; `frame` must be asked for where not every one is kept."""
    own = [name for name in columns if name in collection.labels]
    labels: Any = own and pq.read_table(labels_file(collection.folder, number), columns=own)
    # A file gives no rows without columns, so `frame` is read beside labels.
    asked = [name for name in columns if name not in own] or ["frame"]
    row = 0
    for batch in pq.ParquetFile(frames_file(collection.folder, number)).iter_batches(
        ROWS_AT_ONCE, columns=asked
    ):
        table: Any = pa.Table.from_batches([batch])
        for name in own:
            table = table.append_column(name, labels.column(name).slice(row, table.num_rows))
        row += batch.num_rows
        if every > 1:
            kept: NDArray[np.bool_] = to_numpy(table.column("frame")) % every == every - 1
            table = table.filter(pa.array(kept))
        if table.num_rows:
            yield table


def _own_types(collection: Collection) -> dict[str, Any]:
    """What each label of one's own is written as."""
    if not collection.labels:
        return {}
    schema = pq.read_schema(labels_file(collection.folder, 0))
    return {
        name: pa.float64() if pa.types.is_floating(schema.field(name).type) else pa.string()
        for name in schema.names
    }


def _finite(column: Any) -> Any:
    """NaN as an empty cell."""
    if not pa.types.is_floating(column.type):
        return column
    values = column.to_numpy()
    return pa.array(values, column.type, mask=~np.isfinite(values))
