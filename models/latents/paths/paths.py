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
import math
from collections.abc import Sequence
from pathlib import Path

from ....stream.errors import ConfigError
from ....stream.saved_embedding import SavedEmbedding
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import LAYERS, Collection
from ..moments import EVENT_KINDS
from ..options import add_out, add_seed, option, shown
from ..space.fitting import projection_for
from ..views import check_suffix
from .page import explorer
from .path_states import AFTER_S, BEFORE_S, MOST, ROLES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents paths`."""
    add_source_argument(parser)
    add_out(parser, "paths.html", "page (.html) or picture (.png) to write", "FILE")
    words = (
        "embedding from `turnstream latents project`; a page takes one in 2 dimensions and one in "
        "3 (default: the bundled plane or principal components)"
    )
    option(parser, "--embedding FILE.json", words, kind=Path, action="append")
    words = (
        "dimensions of the picture, or of the page when it opens (default: those of --embedding, "
        "or 2)"
    )
    option(parser, "--dims", words, kind=int, choices=(2, 3))
    add_model_argument(parser)
    words = "layer to show (default: that of --embedding, or latent)"
    option(parser, "--layer", words, choices=LAYERS)
    option(parser, "--before SECONDS", "length of a path before its event", BEFORE_S)
    option(parser, "--after SECONDS", "length of a path from the start of its event on", AFTER_S)
    words = f"kinds of events to show, of {', '.join(EVENT_KINDS)} (default: shift hold)"
    option(parser, "--of KIND", words, ["shift", "hold"], nargs="+", choices=EVENT_KINDS)
    words = "whose state to show: of who spoke before the event, or of who listened"
    option(parser, "--whose", words, "speaker", choices=ROLES)
    option(parser, "--most N", "show at most N events, drawn at random", MOST)
    add_seed(parser)
    option(parser, "--dialogue ID", "show this whole dialogue, both speakers, instead of events")
    words = "time in --dialogue to begin at (default: its start)"
    option(parser, "--start SECONDS", words, kind=float)
    option(parser, "--end SECONDS", "time in --dialogue to end at (default: its end)", kind=float)


def main(args: argparse.Namespace) -> int:
    """Write the page or the picture, and say what is in it."""
    check_suffix(args.out, ".html", ".png")
    if args.dialogue is None and (args.start is not None or args.end is not None):
        raise ConfigError("expected --dialogue with --start or --end, got none")
    page = args.out.suffix == ".html"
    between = args.start or 0.0, math.inf if args.end is None else args.end
    which = {name: getattr(args, name) for name in ("most", "seed")}
    which |= {"kinds": args.of, "before_s": args.before, "after_s": args.after}
    with opened_collection(args.source, args.model) as collection:
        shown_in = _projections(collection, args.embedding or [], args.layer, args.dims, page)
        if page:
            which |= {"whose": ROLES.index(args.whose), "dialogue": args.dialogue}
            paths = {"opens": "paths", "between": between}
            return shown(explorer(collection, shown_in, args.out, **paths, **which))
        from .paths_picture import conversation_picture, paths_picture

        given = collection, shown_in[0], args.out
        if args.dialogue is not None:
            return shown(conversation_picture(*given, args.dialogue, between))
        return shown(paths_picture(*given, whose=args.whose, **which))


def _projections(
    collection: Collection, files: Sequence[Path], layer: str | None, dims: int | None, page: bool
) -> list[SavedEmbedding]:
    """The projection to open with; for a page also one of the other number of dimensions.

    What is not given is fitted.
    """
    if len(files) > (2 if page else 1):
        raise ConfigError(
            f"expected {'at most two projections' if page else 'one projection'}, got {len(files)}"
        )
    given = [projection_for(collection, path) for path in files]
    by_dims = {projection.dims: projection for projection in given}
    if len(by_dims) < len(given):
        raise ConfigError(
            f"expected projections in 2 and in 3 dimensions, got two in {given[0].dims}"
        )
    layer = layer or (given[0].layer if given else "latent")
    other = [projection.layer for projection in given if projection.layer != layer]
    if other:
        raise ConfigError(f"expected projections of layer {layer}, got one of {other[0]}")
    dims = dims or (given[0].dims if given else 2)
    if not page and given and dims not in by_dims:
        raise ConfigError(f"expected a projection in {dims} dimensions, got one in {given[0].dims}")
    wanted = (dims, 5 - dims) if page else (dims,)
    return [by_dims.get(d) or projection_for(collection, None, layer, d) for d in wanted]
