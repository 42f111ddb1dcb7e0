"""`turnstream latents colour`: the latent space coloured by a column or a label of one's own.

turnstream latents colour SOURCE --by LABEL --out colour.png [--embedding FILE.json]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ....stream.errors import ConfigError
from ....stream.saved_embedding import SavedEmbedding
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import COLUMNS, Collection
from ..drawing import listed, many
from ..labels import coded_label, is_known
from ..options import add_embedding, add_out, add_seed, option, shown
from ..views import View, check_suffix
from .drawing import points_picture
from .fitting import placer, projection_for
from .trust import figures_in_words, name_of_fit

POINTS = 4000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents colour`."""
    add_source_argument(parser)
    what = "a label of your own (`turnstream latents label`), or a column such as p_next"
    option(parser, "--by COLUMN", what, required=True)
    add_out(parser, "colour.png")
    add_embedding(parser)
    option(parser, "--points N", "frames of single speakers to draw", POINTS)
    add_seed(parser)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_suffix(args.out, ".png")
    with opened_collection(args.source, args.model) as collection:
        projection = projection_for(collection, args.embedding)
        which = (args.by, args.out, args.points, args.seed)
        return shown(colour_picture(collection, projection, *which))


def colour_picture(
    collection: Collection,
    projection: SavedEmbedding,
    by: str,
    out: Path,
    points: int = POINTS,
    seed: int = 0,
) -> View:
    """Draw about so many frames of single speakers in a projection, coloured by label or column.

    ConfigError if there is no such column, no point, or none of which it is known.
    """
    if by not in collection.labels and by not in COLUMNS:
        raise ConfigError(
            f"expected a label ({', '.join(collection.labels) or 'there is none'}) or a column "
            f"({', '.join(COLUMNS)}), got {by!r}"
        )
    if points < 1:
        raise ConfigError(f"expected at least one point, got {points}")
    sample = collection.sample(points, [by, projection.layer], seed=seed)
    values = sample[by]
    if values.dtype.kind in "biu":
        values = values.astype(str)
    known = is_known(values)
    if not known.any():
        raise ConfigError(f"expected frames of which {by!r} is known, got none among {len(known)}")
    title = f"{name_of_fit(projection)} of {collection.about.model}, by {by}"
    figures = {
        "drawn": f"{many(len(known), 'point')} of {many(len(collection.dialogues), 'dialogue')}",
        f"{by} is known of": str(known.sum()),
        "of the projection": figures_in_words(projection) or "how far to believe it is unknown",
    }
    caption = (
        "Each point is what the network holds in mind of one speaker in one frame; half of them "
        f"are drawn alike from every situation. {listed(figures)}"
    )
    places = placer(projection)(sample[projection.layer])
    return points_picture(out, title, caption, places, coded_label(values), by)
