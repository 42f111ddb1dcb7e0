"""`turnstream latents explore`: a page to walk about in the latent space, from a point to its moment.

turnstream latents explore SOURCE --out explore.html [--embedding FILE ...] [--model FOLDER]
    [--points N] [--sound-minutes N] [--seed N]

Points are frames of single speakers, or speakers around silences; paths lead through the same
plane (page.py writes both).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..collect import add_model_argument, add_source_argument, opened_collection
from ..space.fitting import projection_for
from ..views import check_suffix
from .page import POINTS, SOUND_MINUTES, explorer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents explore`."""
    add_source_argument(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("explore.html"),
        metavar="FILE.html",
        help="page to write (default explore.html)",
    )
    parser.add_argument(
        "--embedding",
        type=Path,
        action="append",
        metavar="FILE.json",
        help="embedding from `turnstream latents project`; can be repeated",
    )
    add_model_argument(parser)
    parser.add_argument(
        "--points",
        type=int,
        default=POINTS,
        metavar="N",
        help=f"draw N frames and at most N silences (default {POINTS})",
    )
    parser.add_argument(
        "--sound-minutes",
        type=float,
        default=SOUND_MINUTES,
        metavar="N",
        help=f"minutes of sound in the page, to hear and follow (default {SOUND_MINUTES:g})",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the draw (default 0)"
    )


def main(args: argparse.Namespace) -> int:
    """Write the page, and say what is in it."""
    check_suffix(args.out, ".html")
    with opened_collection(args.source, args.model) as collection:
        projections = [projection_for(collection, path) for path in args.embedding or [None]]
        which = {name: getattr(args, name) for name in ("points", "sound_minutes", "seed")}
        view = explorer(collection, projections, args.out, **which)
    print(f"{view.caption}\n{view.path}")
    return 0
