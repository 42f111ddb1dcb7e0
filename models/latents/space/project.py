"""`turnstream latents project`: a projection of a layer's states, fitted once over many dialogues, to a file in which others are placed.

turnstream latents project COLLECTION --method tsne --layer latent --out space.json --plot space.png
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ....stream.saved_embedding import METHODS, SavedEmbedding
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import LAYERS, Collection
from ..moments import SITUATIONS
from ..parts import parts_beside
from ..quality import quality_of
from ..views import COLOURS, LIGHT, View, check_suffix, picture
from .fitting import REFITS, fit_projection
from .trust import FIGURES, UNSTABLE, name_of_fit, trust_in_words

MARKERS: dict[str, str] = dict(
    zip(SITUATIONS, ".os^vDP", strict=True)
)  # with the colours, which alone would not tell everyone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents project`."""
    add_source_argument(parser)
    parser.add_argument("--method", choices=METHODS, required=True, help="method of embedding")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.json", help="file for the embedding"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="also draw a picture of it")
    parser.add_argument(
        "--layer",
        choices=LAYERS,
        default="latent",
        help="layer to project (default latent, the last one)",
    )
    parser.add_argument(
        "--dims", type=int, choices=(2, 3), default=2, help="dimensions to project to (default 2)"
    )
    parser.add_argument(
        "--points",
        type=int,
        metavar="N",
        help="frames of single speakers to fit on (default 20000; for t-SNE and UMAP 2000)",
    )
    parser.add_argument(
        "--refits",
        type=int,
        default=REFITS,
        metavar="N",
        help=f"fit again N times, to see what survives (default {REFITS})",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of all random draws (default 0)"
    )
    parser.add_argument(
        "--perplexity", type=float, metavar="N", help="perplexity of t-SNE (default 30)"
    )
    parser.add_argument(
        "--neighbours", type=int, metavar="N", help="neighbours in UMAP (default 15)"
    )
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
    """A picture of a projection's places by situation, landmarks named; points of neighbourhoods that do not survive refits are hollow.

    Args:
        projection: with places.
        path: .png.
        quality: how good the network is, in words.
    """
    title, caption = (
        f"{name_of_fit(projection)} of {projection.model}",
        f"{caption_of(projection)} {quality}".strip(),
    )
    pairs = list(combinations(range(projection.dims), 2))
    with picture(
        path,
        title,
        caption,
        (7.6, 6.4) if len(pairs) == 1 else (13.5, 5.0),
        ncols=len(pairs),
        squeeze=False,
    ) as panels:
        for panel, axes in zip(panels[0], pairs, strict=True):
            _draw(panel, projection, axes)
        words = "\n".join(_figures(projection.trust))
        panels[0, -1].text(
            1.03,
            0.02,
            words,
            transform=panels[0, -1].transAxes,
            va="bottom",
            fontsize=8.5,
            color=LIGHT.ink,
        )
        panels[0, -1].legend(
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            fontsize=8.5,
            frameon=False,
            title="the speaker is",
            title_fontsize=8.5,
        )
    return View(path, title, caption)


def caption_of(projection: SavedEmbedding) -> str:
    """What is drawn, what its directions are, and how far it can be believed."""
    shown = f"Each point is what the network holds in mind of one speaker in one frame, {len(projection.places)} of them."
    meaning = "Half of the points are drawn alike from every situation, so rare ones look more frequent than they are; named markers are mean places"
    if projection.has_formula:
        meaning += "."
    else:
        meaning += ", which may lie between groups. Only neighbourhoods mean anything here: distances between groups and their sizes do not."
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


def _draw(panel: Any, projection: SavedEmbedding, axes: tuple[int, int]) -> None:
    places, unstable = projection.places[:, axes], projection.stability < UNSTABLE
    for name in SITUATIONS:
        here = projection.situations == name
        style: dict[str, Any] = {
            "marker": MARKERS[name],
            "s": 16,
            "linewidths": 0.7,
            "edgecolors": COLOURS[name],
        }
        label = "doing something else" if name == "other" else name
        panel.scatter(
            *places[here & ~unstable].T,
            facecolors=COLOURS[name],
            alpha=0.6,
            label=f"{label} ({here.sum()})" if here.any() else None,
            **style,
        )
        panel.scatter(*places[here & unstable].T, facecolors="none", alpha=0.55, **style)
    for name, corner in projection.landmarks.items():
        at = tuple(corner[axis] for axis in axes)
        panel.scatter(
            *at,
            marker=MARKERS[name],
            s=90,
            facecolors=COLOURS[name],
            edgecolors=LIGHT.paper,
            linewidths=1.4,
            zorder=4,
        )
    _name_landmarks(
        panel,
        {name: (corner[axes[0]], corner[axes[1]]) for name, corner in projection.landmarks.items()},
    )
    panel.set(
        xlabel="xyz"[axes[0]],
        ylabel="xyz"[axes[1]],
        xlim=_limits(projection, axes[0]),
        ylim=_limits(projection, axes[1]),
    )


def _name_landmarks(panel: Any, landmarks: dict[str, tuple[float, float]]) -> None:
    """Names beside the mean places, each moved up until it is clear of the others."""
    from matplotlib.patheffects import withStroke

    heights = np.ptp(panel.dataLim.get_points()[:, 1])
    taken: list[tuple[float, float]] = []
    for name, (x, y) in sorted(landmarks.items(), key=lambda entry: entry[1][1]):
        at = y
        while any(
            abs(at - other) < 0.034 * heights
            and abs(x - beside) < 0.3 * np.ptp(panel.dataLim.get_points()[:, 0])
            for beside, other in taken
        ):
            at += 0.01 * heights
        taken.append((x, at))
        words = panel.annotate(
            name,
            (x, at),
            xytext=(8, 0),
            textcoords="offset points",
            fontsize=9,
            fontweight="bold",
            color=LIGHT.ink,
            va="center",
            zorder=5,
        )
        words.set_path_effects([withStroke(linewidth=2.5, foreground=LIGHT.paper)])


def _limits(projection: SavedEmbedding, axis: int) -> tuple[float, float]:
    """All places and landmarks, with a margin."""
    values = np.concatenate(
        [projection.places[:, axis], [corner[axis] for corner in projection.landmarks.values()]]
    )
    margin = 0.05 * (values.max() - values.min())
    return values.min() - margin, values.max() + margin
