"""`turnstream latents place`: where other dialogues lie in a fitted projection, as a table.

turnstream latents place COLLECTION --embedding space.json --out places.csv

Columns: dialogue, speaker, frame, time_s (end of the frame), situation, x, y, and z where there is
one. Dialogues are placed one after another and kept beside the table until all are done, so work
that was cut short is gone on with.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ....stream.errors import ConfigError
from ....stream.saved_embedding import SavedEmbedding
from ..bars import bar
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import Collection
from ..options import add_out, option, shown
from ..parts import Arrays, Parts, parts_beside
from ..quality import quality_of
from ..views import View, check_suffix
from .fitting import Placer, placer, projection_for
from .trust import name_of_fit

EVERY = {"tsne": 5, "umap": 5}  # frames: what has no formula takes a while to place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents place`."""
    add_source_argument(parser)
    add_out(parser, what="table to write, .csv or .parquet", metavar="FILE")
    option(
        parser,
        "--embedding FILE.json",
        "embedding from `turnstream latents project` (default: the bundled plane, or "
        "principal components of SOURCE)",
        kind=Path,
    )
    option(parser, "--every N", "place every Nth frame (default 1; for t-SNE and UMAP 5)", kind=int)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Place, write, and say how much it is."""
    check_suffix(args.out, ".csv", ".parquet")
    with opened_collection(args.source, args.model) as collection:
        view = place_collection(
            collection, projection_for(collection, args.embedding), args.out, args.every
        )
    return shown(view)


def place_collection(
    collection: Collection, projection: SavedEmbedding, out: Path, every: int | None = None
) -> View:
    """Write where every frame and speaker of a collection lies.

    Args:
        collection: of the network that the projection is of.
        projection: to place in.
        out: .csv or .parquet.
        every: Nth frame of each dialogue, from its first (None: 1; of t-SNE and UMAP 5).
    Raises:
        ConfigError: `every` is less than 1.
    """
    every = EVERY.get(projection.method, 1) if every is None else every
    if every < 1:
        raise ConfigError(f"expected to place every frame (1) or fewer, got every {every}")
    numbers = range(len(collection.dialogues))
    kept = Parts(parts_beside(out), _fingerprint(collection, projection, every))
    place: list[Placer] = []  # built when it is needed

    def make(number: int) -> Arrays:
        place[:] = place or [placer(projection)]
        return _place_dialogue(collection, number, projection, place[0], every)

    for number in bar(numbers, "place", "dialogue"):
        kept.of(number, partial(make, number))
    rows = _join(kept, numbers, out)
    kept.remove()
    return View(
        out,
        f"places in the {name_of_fit(projection)} of {projection.model}",
        _caption(collection, projection, rows, every),
    )


def _place_dialogue(
    collection: Collection, number: int, projection: SavedEmbedding, place: Placer, every: int
) -> Arrays:
    columns = ["dialogue", "speaker", "frame", "time_s", "situation", projection.layer]
    found = collection.frames(number, columns)
    rows = {name: values[::every].reshape(-1, *values.shape[2:]) for name, values in found.items()}
    places = place(rows.pop(projection.layer))
    return rows | {axis: places[:, i] for i, axis in enumerate("xyz"[: projection.dims])}


def _join(kept: Parts, numbers: Sequence[int], out: Path) -> int:
    """Write the dialogues' tables below each other; returns the rows."""
    unfinished, rows = out.with_name(out.name + ".part"), 0
    writer: Any = None
    for number in numbers:
        table: Any = pa.table(kept.of(number, dict))
        if writer is None and out.suffix == ".csv":
            writer = pacsv.CSVWriter(unfinished, table.schema)
        elif writer is None:
            writer = pq.ParquetWriter(unfinished, table.schema, compression="zstd")
        writer.write_table(table)
        rows += len(table)
    writer.close()
    unfinished.replace(out)
    return rows


def _fingerprint(collection: Collection, projection: SavedEmbedding, every: int) -> str:
    """Tells parts of this work from those of any other."""
    digest = hashlib.sha256(
        repr((collection.about, projection.method, projection.layer, every)).encode()
    )
    for array in (
        projection.places,
        projection.reference,
        *(values for layer in projection.layers for values in (layer.weight, layer.bias)),
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _caption(collection: Collection, projection: SavedEmbedding, rows: int, every: int) -> str:
    dialogues = (
        f"{len(collection.dialogues)} dialogue{'' if len(collection.dialogues) == 1 else 's'}"
    )
    which = "every frame" if every == 1 else f"every {every}th frame"
    if rows == 0:
        return f"No places: {dialogues} without frames."
    return (
        f"{rows} places, of {which} and both speakers of {dialogues}, in a projection "
        f"({projection.method}) of {projection.layer!r} that holds still. "
        f"{quality_of(collection).in_words()}"
    )
