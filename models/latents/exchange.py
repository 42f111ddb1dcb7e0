"""`turnstream latents export`: the states and labels of a collection as one CSV file or .npz
archive, a row for every frame and speaker.

turnstream latents export SOURCE --out FILE.csv [--layer latent] [--every N]

The columns are those of collection.py and the labels of one's own; after them, of one layer, d0 d1
..., of both, latent_speaker_0 ... latent_0 ...; NaN and what does not apply are empty cells. An
.npz archive has an array for each column, with one for a layer (N, H). Both are written dialogue by
dialogue. importing.py reads them back.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv

from ...stream.errors import ConfigError
from .bars import bar
from .collect import add_model_argument, add_source_argument, opened_collection
from .collection import COLUMNS, LAYERS, Collection, Columns
from .drawing import many
from .options import add_out, check_files, option, shown
from .tables import said, to_arrow
from .views import View

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
        collection, layers: what to export.
        out: .csv or .npz.
        every: of so many frames the last is kept, so that rows lie on a regular grid of times, from
            its first step on.
    Raises:
        ConfigError: a layer that the collection lacks, or no frame that is kept.
    """
    sizes = collection.about.sizes
    if missing := [layer for layer in layers if layer not in sizes]:
        raise ConfigError(
            f"expected layers of the collection ({', '.join(sizes)}), got {', '.join(missing)}"
        )
    longest = max(collection.frame_counts)
    if not 0 < every <= longest:
        raise ConfigError(
            f"expected to keep at least one frame, got every {every} of dialogues of at most "
            f"{longest}"
        )
    rows = 2 * sum(frames // every for frames in collection.frame_counts)
    part = out.with_name(out.name + ".part")
    write = _write_csv if out.suffix == ".csv" else _write_npz
    try:
        write(collection, part, layers, every, rows)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    states = " and ".join(f"{sizes[layer]} of {layer}" for layer in layers)
    caption = (
        f"{rows} rows of {many(len(collection.dialogues), 'dialogue')} in "
        f"{collection.about.model}: one for every speaker and frame, "
        f"{collection.frame_rate_hz / every:g} frames a second; "
        f"{len(COLUMNS) + len(collection.labels)} columns of labels and probabilities, and "
        f"values: {states}."
    )
    return View(out, "States and labels", caption)


def _blocks(collection: Collection, names: Sequence[str], every: int) -> Iterator[Columns]:
    """Columns of one dialogue after another, (N,), layers (N, H)."""
    for number in range(len(collection.dialogues)):
        found = collection.frames(number, names)
        kept = {name: found[name][every - 1 :: every] for name in names}
        yield {name: values.reshape(-1, *values.shape[2:]) for name, values in kept.items()}


def _write_csv(
    collection: Collection, path: Path, layers: tuple[str, ...], every: int, rows: int
) -> None:
    names = (*COLUMNS, *collection.labels, *layers)
    with bar(None, "export", "row", rows) as progress, ExitStack() as opened:
        writer: Any = None
        for columns in _blocks(collection, names, every):
            flat: dict[str, Any] = {}
            for name, values in columns.items():
                if name in layers:
                    prefix = "d" if len(layers) == 1 else f"{name}_"
                    flat |= {f"{prefix}{k}": to_arrow(one) for k, one in enumerate(values.T)}
                else:
                    flat[name] = to_arrow(values, COLUMNS.get(name))
            table: Any = pa.table({name: said(column) for name, column in flat.items()})
            writer = writer or opened.enter_context(pv.CSVWriter(path, table.schema))
            writer.write_table(table)
            progress.update(len(table))


def _write_npz(
    collection: Collection, path: Path, layers: tuple[str, ...], every: int, rows: int
) -> None:
    """Column by column: each is a stored .npy, whose type and length must be known before."""
    names = (*COLUMNS, *collection.labels, *layers)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        bar(None, "export", "row", rows * len(names)) as progress,
    ):
        for name in names:
            kinds = [block[name].dtype for block in _blocks(collection, [name], every)]
            width = (collection.about.sizes[name],) if name in layers else ()
            dtype = np.result_type(*kinds)  # text as wide as its longest
            header = {
                "descr": np.lib.format.dtype_to_descr(dtype),
                "fortran_order": False,
                "shape": (rows, *width),
            }
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_2_0(file, header)
                for block in _blocks(collection, [name], every):
                    file.write(block[name].astype(dtype).tobytes())
                    progress.update(len(block[name]))
