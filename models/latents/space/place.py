"""`turnstream latents place`: where other dialogues lie in a fitted projection, as a table.

turnstream latents place COLLECTION --embedding space.json --out places.csv

Columns: dialogue, speaker, frame, time_s (end of the frame), situation, x, y, and z where there is
one. What was placed of each dialogue is kept beside the table until all are, to resume.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ....stream.errors import ConfigError
from ....stream.saved_embedding import SavedEmbedding
from ..bars import bar
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import Collection
from ..drawing import many
from ..options import add_embedding, add_out, option, shown
from ..parts import Arrays, Parts, parts_beside
from ..quality import quality_of
from ..views import View, check_suffix
from .fitting import FORMULAS, placer, projection_for
from .trust import name_of_fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents place`."""
    add_source_argument(parser)
    add_out(parser, what="table to write, .csv or .parquet", metavar="FILE")
    add_embedding(parser)
    option(parser, "--every N", "place every Nth frame (default 1; for t-SNE and UMAP 5)", kind=int)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Place, write, and say how much it is."""
    check_suffix(args.out, ".csv", ".parquet")
    with opened_collection(args.source, args.model) as collection:
        projection = projection_for(collection, args.embedding)
        return shown(place_collection(collection, projection, args.out, args.every))


def place_collection(
    collection: Collection, projection: SavedEmbedding, out: Path, every: int | None = None
) -> View:
    """Write where every frame and speaker of a collection lies in a projection of its network.

    Of each dialogue every Nth frame is placed, from its first; None is 1, but 5 of t-SNE and UMAP,
    which take a while; ConfigError if it is less. `out` is a .csv or .parquet.
    """
    if every is None:
        every = 1 if projection.method in FORMULAS else 5
    if every < 1:
        raise ConfigError(f"expected to place every frame (1) or fewer, got every {every}")
    fitted = (projection.method, projection.layer, projection.places, projection.reference)

    def places_of(number: int) -> Arrays:
        columns = ["dialogue", "speaker", "frame", "time_s", "situation", projection.layer]
        found = collection.frames(number, columns).items()
        rows = {name: values[::every].reshape(-1, *values.shape[2:]) for name, values in found}
        places = place(rows.pop(projection.layer)).T
        return rows | dict(zip("xyz", places, strict=False))

    kept = Parts(parts_beside(out), repr(collection.about), every, *fitted)
    numbers, place, rows = range(len(collection.dialogues)), placer(projection), 0
    writer: Any = None
    unfinished = out.with_name(out.name + ".part")
    for number in bar(numbers, "place", "dialogue"):
        table: Any = pa.table(kept.of(number, partial(places_of, number)))
        if writer is None and out.suffix == ".csv":
            writer = pacsv.CSVWriter(unfinished, table.schema)
        elif writer is None:
            writer = pq.ParquetWriter(unfinished, table.schema, compression="zstd")
        writer.write_table(table)
        rows += len(table)
    writer.close()
    unfinished.replace(out)
    kept.remove()
    which = "every frame" if every == 1 else f"every {every}th frame"
    title = f"places in the {name_of_fit(projection)} of {projection.model}"
    caption = (
        f"{rows} places, of {which} and both speakers of {many(len(numbers), 'dialogue')}, in a "
        f"projection ({projection.method}) of {projection.layer!r} that holds still. "
        f"{quality_of(collection).in_words()}"
    )
    return View(out, title, caption)
