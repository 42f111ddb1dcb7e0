"""`turnstream latents colour`: the latent space coloured by a column or a label of one's own.

turnstream latents colour SOURCE --by LABEL --out colour.png [--embedding FILE.json]
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ....stream.saved_embedding import SavedEmbedding
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import COLUMNS, Collection
from ..labels import OTHERS, UNKNOWN, coded_label
from ..views import LIGHT, View, check_suffix, picture
from .fitting import placer, projection_for
from .trust import name_of_fit

POINTS = 4000
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#b8a800")
MARKERS = "os^vDPX*"
FAINT = {UNKNOWN: "#dddddd", OTHERS: "#999999"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents colour`."""
    add_source_argument(parser)
    parser.add_argument(
        "--by",
        required=True,
        metavar="COLUMN",
        help="a label of your own (`turnstream latents label`), or a column such as p_next",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("colour.png"),
        metavar="FILE.png",
        help="picture to write (default colour.png)",
    )
    parser.add_argument(
        "--embedding",
        type=Path,
        metavar="FILE.json",
        help="embedding from `turnstream latents project` (default: the bundled plane or principal "
        "components)",
    )
    parser.add_argument(
        "--points",
        type=int,
        default=POINTS,
        metavar="N",
        help=f"frames of single speakers to draw (default {POINTS})",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the draw (default 0)"
    )
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_suffix(args.out, ".png")
    with opened_collection(args.source, args.model) as collection:
        projection = projection_for(collection, args.embedding)
        view = colour_picture(
            collection, projection, args.by, args.out, points=args.points, seed=args.seed
        )
    print(f"{view.caption}\n{view.path}")
    return 0


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
        f"{_trust(projection)}"
    )
    pairs = list(combinations(range(projection.dims), 2))
    size = (7.6, 5.6) if len(pairs) == 1 else (14.0, 4.8)
    with picture(out, title, caption, size, ncols=len(pairs), squeeze=False) as panels:
        for panel, axes in zip(panels[0], pairs, strict=True):
            _draw(panel, places[:, axes], label, by, last=axes == pairs[-1])
            panel.set(xlabel="xyz"[axes[0]], ylabel="xyz"[axes[1]])
    return View(out, title, caption)


def _trust(projection: SavedEmbedding) -> str:
    """How far a picture can be believed; project.py says it at length."""
    figures = [
        f"{words} {projection.trust[name]:.2f}"
        for name, words in (
            ("trustworthiness", "trustworthiness"),
            ("stability", "share of neighbours that stay when it is fitted again"),
        )
        if name in projection.trust
    ]
    return f"Of the projection: {', '.join(figures) or 'how far to believe it is unknown'}."


def _known(label: dict[str, Any]) -> NDArray[np.bool_]:
    if "classes" not in label:
        return np.isfinite(label["values"])
    if UNKNOWN not in label["classes"]:
        return np.ones(len(label["values"]), bool)
    return label["values"] != label["classes"].index(UNKNOWN)


def _draw(
    panel: Any, places: NDArray[np.float32], label: dict[str, Any], by: str, *, last: bool
) -> None:
    values = label["values"]
    if "classes" not in label:
        known = np.isfinite(values)
        panel.scatter(*places[~known].T, s=6, color=FAINT[UNKNOWN], linewidths=0)
        low, high = np.percentile(values[known], [1, 99])
        dots = panel.scatter(
            *places[known].T, s=12, c=values[known], cmap="viridis", vmin=low, vmax=high
        )
        if last:
            panel.figure.colorbar(dots, ax=panel, label=by)
        return
    order = sorted(range(len(label["classes"])), key=lambda k: label["classes"][k] not in FAINT)
    for k in order:  # what is not known lies below
        name, here = label["classes"][k], values == k
        panel.scatter(
            *places[here].T,
            s=7 if name in FAINT else 15,
            marker="." if name in FAINT else MARKERS[k % len(MARKERS)],
            color=FAINT.get(name, PALETTE[k % len(PALETTE)]),
            alpha=0.6,
            linewidths=0,
            label=f"{name} ({here.sum()})",
        )
    if last:
        panel.legend(
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            fontsize=8.5,
            frameon=False,
            title=by,
            labelcolor=LIGHT.ink,
        )
