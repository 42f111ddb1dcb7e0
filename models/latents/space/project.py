"""`turnstream latents project`: fits a projection of a layer's states, in which others are placed.

turnstream latents project COLLECTION --method tsne --layer latent --out space.json --plot space.png
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ....stream.saved_embedding import METHODS, SavedEmbedding
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import Collection
from ..moments import SITUATIONS
from ..options import add_layer, add_out, add_seed, option, shown
from ..parts import parts_beside
from ..quality import quality_of
from ..views import View, check_suffix
from .drawing import ELSE, points_picture
from .fitting import REFITS, fit_projection
from .trust import UNSTABLE, name_of_fit, trust_in_words

OPTIONS = ("layer", "dims", "points", "seed", "refits", "perplexity", "neighbours")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents project`."""
    add_source_argument(parser)
    option(parser, "--method", "method of embedding", choices=METHODS, required=True)
    add_out(parser, what="embedding to write", metavar="FILE.json")
    option(parser, "--plot FILE.png", "also draw a picture of it", kind=Path)
    add_layer(parser, "layer to project")
    option(parser, "--dims", "dimensions to project to", 2, choices=(2, 3))
    what = "frames of single speakers to fit on (default 20000; for t-SNE and UMAP 2000)"
    option(parser, "--points N", what, kind=int)
    option(parser, "--refits N", "fit again N times, to see what survives", REFITS)
    add_seed(parser)
    option(parser, "--perplexity N", "perplexity of t-SNE (default 30)", kind=float)
    option(parser, "--neighbours N", "neighbours in UMAP (default 15)", kind=int)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Fit, save, draw, and say how far it can be believed."""
    check_suffix(args.out, ".json")
    if args.plot:
        check_suffix(args.plot, ".png")
    options = {name: getattr(args, name) for name in OPTIONS}
    with opened_collection(args.source, args.model) as collection:
        view = project(collection, args.method, args.out, args.plot, **options)
    return shown(replace(view, path=args.out), *([replace(view, caption="")] if args.plot else []))


def project(
    collection: Collection, method: str, out: Path, drawing: Path | None = None, **options: Any
) -> View:
    """Fit a projection, save it as .json, and perhaps draw it as .png; return what is shown.

    `options` and errors are those of `fit_projection`.
    """
    projection = fit_projection(collection, method, parts=parts_beside(out), **options)
    projection.save(out)
    quality = quality_of(collection).in_words()
    if drawing:
        return draw_projection(projection, drawing, quality)
    return View(out, *_words(projection, quality))


def draw_projection(projection: SavedEmbedding, path: Path, quality: str = "") -> View:
    """Draw a projection's places by situation, landmarks named, beside how good the network is.

    Points of neighbourhoods that do not survive refits are hollow.
    """
    codes = np.array([SITUATIONS.index(name) for name in projection.situations])
    label = {"classes": [ELSE, *SITUATIONS[1:]], "values": codes}
    return points_picture(
        path,
        *_words(projection, quality),
        projection.places,
        label,
        "the speaker is",
        hollow=projection.stability < UNSTABLE,
        landmarks=projection.landmarks,
    )


def _words(projection: SavedEmbedding, quality: str) -> tuple[str, str]:
    """Title, and caption: what is drawn, its directions, and how far it can be believed."""
    warning = (
        "Only neighbourhoods mean anything here: distances between groups and their sizes do not, "
        "and a mean place may lie between groups."
    )
    said = (
        "Each point is what the network holds in mind of one speaker in one frame, "
        f"{len(projection.places)} of them; half are drawn alike from every situation, so rare "
        "ones look more frequent than they are. Named markers are mean places.",
        projection.about,
        "" if projection.has_formula else warning,
        trust_in_words(projection),
        quality,
    )
    return f"{name_of_fit(projection)} of {projection.model}", " ".join(filter(None, said))
