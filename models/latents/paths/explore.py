"""`turnstream latents explore`: a page to explore the latent space, from a point to its moment.

turnstream latents explore SOURCE --out explore.html [--embedding FILE ...] [--model FOLDER]
    [--points N] [--sound-minutes N] [--seed N]

Points are frames of single speakers, or speakers around silences; paths lead through the same
plane (page.py writes both).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..collect import add_model_argument, add_source_argument, opened_collection
from ..options import add_out, add_seed, option, shown
from ..space.fitting import projection_for
from ..views import check_suffix
from .page import POINTS, SOUND_MINUTES, explorer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents explore`."""
    add_source_argument(parser)
    add_out(parser, "explore.html", "page to write", "FILE.html")
    words = "embedding from `turnstream latents project`; can be repeated"
    option(parser, "--embedding FILE.json", words, kind=Path, action="append")
    add_model_argument(parser)
    option(parser, "--points N", "draw N frames and at most N silences", POINTS)
    words = "minutes of sound in the page, to hear and follow"
    option(parser, "--sound-minutes N", words, SOUND_MINUTES)
    add_seed(parser)


def main(args: argparse.Namespace) -> int:
    """Write the page, and say what is in it."""
    check_suffix(args.out, ".html")
    which = {name: getattr(args, name) for name in ("points", "sound_minutes", "seed")}
    with opened_collection(args.source, args.model) as collection:
        projections = [projection_for(collection, path) for path in args.embedding or [None]]
        return shown(explorer(collection, projections, args.out, **which))
