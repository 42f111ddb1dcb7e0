"""`turnstream latents colour`: the latent space coloured by a column or a label of one's own.

turnstream latents colour SOURCE --by LABEL --out colour.png [--embedding FILE.json]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ....stream.saved_embedding import SavedEmbedding
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import COLUMNS, Collection
from ..labels import UNKNOWN, coded_label
from ..options import add_out, add_seed, option, shown
from ..views import View, check_suffix
from .drawing import points_picture
from .fitting import placer, projection_for
from .trust import figures_in_words, name_of_fit

POINTS = 4000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents colour`."""
    add_source_argument(parser)
    option(
        parser,
        "--by COLUMN",
        "a label of your own (`turnstream latents label`), or a column such as p_next",
        required=True,
    )
    add_out(parser, "colour.png")
    option(
        parser,
        "--embedding FILE.json",
        "embedding from `turnstream latents project` (default: the bundled plane or principal "
        "components)",
        kind=Path,
    )
    option(parser, "--points N", "frames of single speakers to draw", POINTS)
    add_seed(parser)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_suffix(args.out, ".png")
    with opened_collection(args.source, args.model) as collection:
        projection = projection_for(collection, args.embedding)
        view = colour_picture(
            collection, projection, args.by, args.out, points=args.points, seed=args.seed
        )
    return shown(view)


def colour_picture(
    collection: Collection,
    projection: SavedEmbedding,
    by: str,
    out: Path,
    *,
    points: int = POINTS,
    seed: int = 0,
) -> View:
    """Draw frames of single speakers in a projection, coloured by a column.

    Args:
        collection: whose frames are drawn.
        projection: of its network.
        by: a label of one's own, or a column of collection.py.
        out: .png.
        points: about how many.
        seed: of the draw.
    Raises:
        ConfigError: no such column, no points, or no point has a known value.
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
    label = coded_label(values)
    places = placer(projection)(sample[projection.layer])
    known = _known(label)
    if not known.any():
        raise ConfigError(f"expected frames of which {by!r} is known, got none among {len(known)}")
    title = f"{name_of_fit(projection)} of {collection.about.model}, by {by}"
    caption = (
        f"Each point is what the network holds in mind of one speaker in one frame, {len(known)} "
        f"of {len(collection.dialogues)} dialogue{'s' * (len(collection.dialogues) != 1)}, half "
        f"of them drawn alike from every situation; {by} is known of {known.sum()}. "
        f"Of the projection: {figures_in_words(projection) or 'how far to believe it is unknown'}."
    )
    return points_picture(out, title, caption, places, label, by)


def _known(label: dict[str, Any]) -> NDArray[np.bool_]:
    if "classes" not in label:
        return np.isfinite(label["values"])
    if UNKNOWN not in label["classes"]:
        return np.ones(len(label["values"]), bool)
    return label["values"] != label["classes"].index(UNKNOWN)
