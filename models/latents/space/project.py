"""`turnstream latents project`: fits a projection of a layer's states, in which others are placed.

turnstream latents project COLLECTION --method tsne --layer latent --out space.json --plot space.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ....stream.saved_embedding import METHODS, SavedEmbedding
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import Collection
from ..moments import SITUATIONS
from ..options import add_layer, add_out, add_seed, option
from ..parts import parts_beside
from ..quality import quality_of
from ..views import View, check_suffix
from .drawing import ELSE, points_picture
from .fitting import REFITS, fit_projection
from .trust import FIGURES, UNSTABLE, name_of_fit, trust_in_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents project`."""
    add_source_argument(parser)
    option(parser, "--method", "method of embedding", choices=METHODS, required=True)
    add_out(parser, what="embedding to write", metavar="FILE.json")
    option(parser, "--plot FILE.png", "also draw a picture of it", kind=Path)
    add_layer(parser, "layer to project")
    option(parser, "--dims", "dimensions to project to", 2, choices=(2, 3))
    option(
        parser,
        "--points N",
        "frames of single speakers to fit on (default 20000; for t-SNE and UMAP 2000)",
        kind=int,
    )
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
    options = {
        name: getattr(args, name)
        for name in ("layer", "dims", "points", "seed", "refits", "perplexity", "neighbours")
    }
    with opened_collection(args.source, args.model) as collection:
        view = project(collection, args.method, args.out, args.plot, **options)
    print(f"{view.caption}\n{args.out}" + (f"\n{args.plot}" if args.plot else ""))
    return 0


def project(
    collection: Collection, method: str, out: Path, drawing: Path | None = None, **options: Any
) -> View:
    """Fit a projection and save it.

    Args:
        collection: to fit on.
        method: one of METHODS.
        out: .json.
        drawing: .png, or None.
        options: as for `fit_projection`.
    Returns:
        The picture, or without one the file.
    Raises:
        ConfigError: what cannot be fitted.
    """
    projection = fit_projection(collection, method, parts=parts_beside(out), **options)
    projection.save(out)
    quality = quality_of(collection).in_words()
    if drawing:
        return draw_projection(projection, drawing, quality)
    return View(
        out,
        f"{name_of_fit(projection)} of {projection.model}",
        f"{caption_of(projection)} {quality}",
    )


def draw_projection(projection: SavedEmbedding, path: Path, quality: str = "") -> View:
    """A picture of a projection's places by situation, landmarks named.

    Points of neighbourhoods that do not survive refits are hollow.

    Args:
        projection: with places.
        path: .png.
        quality: how good the network is, in words.
    """
    title, caption = (
        f"{name_of_fit(projection)} of {projection.model}",
        f"{caption_of(projection)} {quality}".strip(),
    )
    names = [ELSE, *SITUATIONS[1:]]
    codes = np.array([SITUATIONS.index(name) for name in projection.situations])
    return points_picture(
        path,
        title,
        caption,
        projection.places,
        {"classes": names, "values": codes},
        "the speaker is",
        hollow=projection.stability < UNSTABLE,
        landmarks=projection.landmarks,
        figures="\n".join(_figures(projection.trust)),
    )


def caption_of(projection: SavedEmbedding) -> str:
    """What is drawn, what its directions are, and how far it can be believed."""
    shown = (
        "Each point is what the network holds in mind of one speaker in one frame, "
        f"{len(projection.places)} of them."
    )
    meaning = (
        "Half of the points are drawn alike from every situation, so rare ones look more frequent "
        "than they are; named markers are mean places"
    )
    if projection.has_formula:
        meaning += "."
    else:
        meaning += (
            ", which may lie between groups. Only neighbourhoods mean anything here: distances "
            "between groups and their sizes do not."
        )
    return " ".join([shown, projection.about, meaning, trust_in_words(projection)])


def _figures(trust: dict[str, float]) -> list[str]:
    """The figures that are printed in the picture itself."""
    faithful = [
        f"{'neighbour overlap' if name == 'overlap' else name} {trust[name]:.2f}"
        for name in FIGURES[:-1]
        if name in trust
    ]
    if "stability" not in trust:
        return faithful
    return [
        *faithful,
        f"neighbours that stay {trust['stability']:.0%}",
        f"(by chance {trust['stability_by_chance']:.1%})",
        "hollow: fewer than half stay",
    ]
