"""`turnstream latents paths`: conversations and events as lines through the plane.

turnstream latents paths SOURCE --out paths.html|paths.png [--embedding FILE ...] [--dims 2|3]
[--model FOLDER] [--layer NAME]
    [--before SECONDS] [--after SECONDS] [--of KIND ...] [--whose speaker|listener]
    [--most N] [--seed N] [--dialogue ID [--start SECONDS] [--end SECONDS]]

A page to change scale, dimensions and groups in, to compare pairs and to hear them (page.py, which
also has the points); or a picture of the same for papers (paths_picture.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ....stream.errors import ConfigError
from ....stream.saved_embedding import SavedEmbedding
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import LAYERS, Collection
from ..moments import EVENT_KINDS
from ..options import add_out, add_seed, option, shown
from ..space.fitting import projection_for
from ..views import check_suffix, number_of
from .page import explorer
from .path_states import AFTER_S, BEFORE_S, MOST, ROLES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents paths`."""
    add_source_argument(parser)
    add_out(parser, "paths.html", "page (.html) or picture (.png) to write", "FILE")
    projections = (
        "embedding from `turnstream latents project`; a page takes one in 2 dimensions and one in "
        "3 (default: the bundled plane or principal components)"
    )
    option(parser, "--embedding FILE.json", projections, kind=Path, action="append")
    option(
        parser,
        "--dims",
        "dimensions of the picture, or of the page when it opens (default: those of "
        "--embedding, or 2)",
        kind=int,
        choices=(2, 3),
    )
    add_model_argument(parser)
    option(
        parser, "--layer", "layer to show (default: that of --embedding, or latent)", choices=LAYERS
    )
    option(parser, "--before SECONDS", "length of a path before its event", BEFORE_S)
    option(parser, "--after SECONDS", "length of a path from the start of its event on", AFTER_S)
    option(
        parser,
        "--of KIND",
        f"kinds of events to show, of {', '.join(EVENT_KINDS)} (default: shift hold)",
        ["shift", "hold"],
        nargs="+",
        choices=EVENT_KINDS,
    )
    option(
        parser,
        "--whose",
        "whose state to show: of who spoke before the event, or of who listened (default speaker)",
        "speaker",
        choices=ROLES,
    )
    option(parser, "--most N", "show at most N events, drawn at random", MOST)
    add_seed(parser)
    option(parser, "--dialogue ID", "show this whole dialogue, both speakers, instead of events")
    option(
        parser, "--start SECONDS", "time in --dialogue to begin at (default: its start)", kind=float
    )
    option(parser, "--end SECONDS", "time in --dialogue to end at (default: its end)", kind=float)


def main(args: argparse.Namespace) -> int:
    """Write the page or the picture, and say what is in it."""
    check_suffix(args.out, ".html", ".png")
    if args.dialogue is None and (args.start is not None or args.end is not None):
        raise ConfigError("expected --dialogue with --start or --end, got none")
    page = args.out.suffix == ".html"
    with opened_collection(args.source, args.model) as collection:
        first, second = _chosen_projections(
            collection, args.embedding or [], args.layer, args.dims, page
        )
        between = _part(collection, args.dialogue, args.start, args.end)
        which = {
            "kinds": args.of,
            "before_s": args.before,
            "after_s": args.after,
            "most": args.most,
            "seed": args.seed,
        }
        if page:
            both = [first] if second is None else [first, second]
            whose = {"whose": ROLES.index(args.whose), "dialogue": args.dialogue}
            view = explorer(
                collection, both, args.out, opens="paths", between=between, **whose, **which
            )
        elif args.dialogue is not None:
            from .paths_picture import conversation_picture

            view = conversation_picture(collection, first, args.out, args.dialogue, between)
        else:
            from .paths_picture import paths_picture

            view = paths_picture(collection, first, args.out, whose=args.whose, **which)
    return shown(view)


def _part(
    collection: Collection, dialogue: str | None, start_s: float | None, end_s: float | None
) -> tuple[float, float] | None:
    """Start and end of the part of a dialogue that is asked for, in seconds; None: all of it."""
    if dialogue is None or (start_s is None and end_s is None):
        return None
    whole_s = collection.frame_count(number_of(collection, dialogue)) / collection.frame_rate_hz
    return start_s or 0.0, whole_s if end_s is None else end_s


def _chosen_projections(
    collection: Collection, files: Sequence[Path], layer: str | None, dims: int | None, page: bool
) -> tuple[SavedEmbedding, SavedEmbedding | None]:
    """The projection to open with; for a page also one of the other number of dimensions.

    What is not given is fitted.
    """
    if len(files) > (2 if page else 1):
        raise ConfigError(
            f"expected {'at most two projections' if page else 'one projection'}, got {len(files)}"
        )
    given = [projection_for(collection, path) for path in files]
    if len({projection.dims for projection in given}) < len(given):
        raise ConfigError(
            f"expected projections in 2 and in 3 dimensions, got two in {given[0].dims}"
        )
    layer = layer or (given[0].layer if given else "latent")
    other = [projection.layer for projection in given if projection.layer != layer]
    if other:
        raise ConfigError(f"expected projections of layer {layer}, got one of {other[0]}")
    by_dims = {projection.dims: projection for projection in given}
    dims = dims or (given[0].dims if given else 2)
    if not page and given and dims not in by_dims:
        raise ConfigError(f"expected a projection in {dims} dimensions, got one in {given[0].dims}")
    for wanted in (dims, 5 - dims) if page else (dims,):
        if wanted not in by_dims:
            by_dims[wanted] = projection_for(collection, None, layer, wanted)
    return by_dims[dims], by_dims.get(5 - dims)
