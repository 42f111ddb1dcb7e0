"""`turnstream latents animate`: how the same points move from stage to stage of training.

turnstream latents animate RUN --source MANIFEST --out animation.html
turnstream latents animate RUN_A RUN_B --source MANIFEST --out two.html
turnstream latents animate epoch1.csv epoch2.csv ... --out animation.html

The first takes a run that was trained with --snapshots, the second compares networks, the third
takes anyone's representations (stages.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ....stream.errors import ConfigError
from ...runs.run_folder import SNAPSHOTS, find_snapshots
from ..bars import bar
from ..collect import check_checkpoint, load_network, name_of, opened_collection
from ..collection import Collection
from ..options import add_layer, add_out, add_seed, option, shown
from ..parts import parts_beside
from ..paths.heard import described_dialogues, hearing
from ..paths.page import write_view
from ..quality import quality_of
from ..space.embed import NEIGHBOURS, tsne_work
from ..space.trust import near_among
from ..views import View, check_suffix
from .aligned import (
    METHODS,
    STILL_SHARE,
    Drift,
    Floats,
    fit_apart,
    fit_together,
    measure_drift,
    radius,
)
from .stages import Stages, follow, read_csv_stages, read_stages, write_stages

if TYPE_CHECKING:
    from ...turn_model import TurnModel

MOST_POINTS = 4000  # that a page moves smoothly
NEAR = 8  # neighbours that the page knows of a point
SOUND_MINUTES = 30.0  # of the dialogues, to hear their moments
TITLES = {
    "run": "What training changes in the space of states",
    "networks": "The same moments in the spaces of several networks",
    "files": "The same points at several stages",
}


@dataclass(frozen=True)
class Animated:
    """Stages, their places in one picture, and how still it is beside projections fitted apart."""

    stages: Stages
    method: str
    places: Floats
    together: Drift
    apart: Drift


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents animate`."""
    parser.add_argument(
        "stages",
        type=Path,
        nargs="+",
        metavar="STAGE",
        help=(
            "one run of `turnstream train --snapshots`; or two or more runs, or CSV files, in order"
        ),
    )
    option(
        parser,
        "--source SOURCE",
        "dialogues whose moments are followed: manifest, audio file or collection (not for CSV "
        "files)",
        kind=Path,
    )
    add_out(parser, what="page to write", metavar="FILE.html")
    option(parser, "--csv FOLDER", "also write the states, one CSV file per stage", kind=Path)
    option(parser, "--method", "method of embedding", "tsne", choices=METHODS)
    add_layer(parser, "layer to show")
    option(
        parser,
        "--points N",
        "number of moments, or of rows that all CSV files have, to follow",
        800,
    )
    option(parser, "--dims", "dimensions of the page", 2, choices=(2, 3))
    add_seed(parser)


def main(args: argparse.Namespace) -> int:
    """Make the page."""
    check_suffix(args.out, ".html")
    if not 2 <= args.points <= MOST_POINTS:
        raise ConfigError(f"expected 2 to {MOST_POINTS} points, got {args.points}")
    stages = gather(
        args.stages, args.source, args.layer, args.points, args.seed, parts_beside(args.out)
    )
    if args.csv:
        write_stages(stages, args.csv)
    view = animation_page(animate(stages, args.method, args.dims, args.seed), args.out)
    return shown(view)


def gather(
    paths: Sequence[Path],
    source: Path | None,
    layer: str,
    points: int,
    seed: int = 0,
    kept: Path | None = None,
) -> Stages:
    """The stages that are asked for.

    Args:
        paths: CSV files; or one folder of a run with snapshots; or folders of several checkpoints.
        source: dialogues, for networks.
        layer: "latent" or "latent_speaker".
        points: how many moments, or at most how many of the files' common rows, to follow.
        seed: of their choice.
        kept: folder for what networks have heard so far; removed in the end.
    Raises:
        ConfigError: another mixture, a single stage, or dialogues that are missing or not needed.
    """
    tables = [path for path in paths if path.suffix.lower() == ".csv"]
    if tables:
        if len(tables) < len(paths) or len(tables) < 2:
            raise ConfigError(
                f"expected two or more CSV files and nothing else, got {', '.join(map(str, paths))}"
            )
        if source is not None:
            raise ConfigError(
                f"expected no --source with CSV files, which hold their points, got {source}"
            )
        return read_csv_stages(tables, points, seed)
    if source is None:
        raise ConfigError("expected --source with dialogues whose moments to follow, got none")
    folders = list(paths)
    if len(paths) == 1:
        folders = list(find_snapshots(paths[0]).values())
        if len(folders) < 2:
            raise ConfigError(
                f"{paths[0]}: expected a run with two or more snapshots in {SNAPSHOTS}/ "
                "(`turnstream train --snapshots`), or several checkpoints, "
                f"got {len(folders)} snapshots"
            )
    names = [folder.name if len(paths) == 1 else name_of(folder) for folder in folders]
    if len(set(names)) < len(folders):
        raise ConfigError(
            f"expected checkpoints with names of their own, got {', '.join(map(str, folders))}"
        )
    for folder in folders:
        check_checkpoint(folder)  # of all, before any is loaded
    with opened_collection(source, None if source.is_dir() else folders[-1]) as collection:
        from ...checkpoint import weights_sha256

        networks = dict(zip(names, map(load_network, folders), strict=True))
        stages = moving_stages(networks, collection, points, layer, seed, kept)
        last = list(networks.values())[-1]
        if weights_sha256(last) == collection.about.weights_sha256:
            stages = replace(stages, quality=quality_of(collection).in_words())
    return replace(stages, origin="run" if len(paths) == 1 else "networks")


def moving_stages(
    networks: dict[str, TurnModel],
    collection: Collection,
    points: int,
    layer: str,
    seed: int = 0,
    kept: Path | None = None,
) -> Stages:
    """The same moments in several networks, which the page can play.

    Args:
        networks: by the name of their stage, in order.
        collection: of dialogues with sound.
        points: how many moments to follow.
        layer: "latent" or "latent_speaker".
        seed: of their choice.
        kept: folder for what networks have heard so far; removed in the end.
    """
    followed = follow(collection, points, seed)
    stages = read_stages(networks, collection, followed, layer, kept)
    dialogues = described_dialogues(collection, SOUND_MINUTES)
    return replace(
        stages,
        heard=hearing(collection, dialogues, collection.events()),
        moments=followed.moments(collection.frame_rate_hz),
    )


def animate(stages: Stages, method: str, dims: int = 2, seed: int = 0) -> Animated:
    """Fit one picture for all stages and measure how still it is."""
    same = [stages.states[-1], stages.states[-1]]
    work = tsne_work(len(stages.names)) + tsne_work(2) if method == "tsne" else 1
    with bar(None, "fit together", "fit", work) as progress:
        places = fit_together(stages.states, method, dims, seed, progress.update)
        twice = fit_together(same, method, dims, seed, progress.update)
    apart = fit_apart(stages.states, method, dims, seed)
    return Animated(
        stages,
        method,
        places,
        measure_drift(stages.states, places, twice),
        measure_drift(stages.states, apart, fit_apart(same, method, dims, seed)),
    )


def animation_page(animated: Animated, out: Path) -> View:
    """Write the page.

    Args:
        animated: from `animate`.
        out: .html.
    """
    stages = animated.stages
    title = TITLES[stages.origin]
    caption = describe(animated)
    section = {
        "names": stages.names,
        "ids": stages.ids,
        "labels": {
            name: values for name, values in stages.labels.items() if len(set(values.tolist())) > 1
        },
        "wrong": stages.wrong,
        "marks": ["marked right", "marked wrong"]
        if stages.origin == "files"
        else ["told rightly", "told wrongly"],
        "places": [place.astype(np.float32) for place in animated.places],
        "near": np.stack([near_among(states, NEAR) for states in stages.states]),
        "moments": stages.moments,
    }
    return write_view(out, title, caption, stages.heard | {"stages": section})


def describe(animated: Animated) -> str:
    """What is seen, and how far its movements can be believed."""
    stages, together, apart = animated.stages, animated.together, animated.apart
    first, last = stages.names[0], stages.names[-1]
    moved = np.linalg.norm(animated.places[-1] - animated.places[0], axis=1)
    words = (
        f"The same {len(stages.ids)} points at {len(stages.names)} stages, from {first} to {last}, "
        f"projected together by {animated.method}. "
        f"Ways are given in the picture's radius: between two stages the {100 * STILL_SHARE:.0f} % "
        f"of points whose {NEIGHBOURS} nearest neighbours in the full "
        f"space change least move {together.still:.2f} (fitted apart and turned onto each other: "
        f"{apart.still:.2f}), all points {together.all:.2f} "
        f"({apart.all:.2f}). The last stage shown twice, where nothing changes, moves "
        f"{together.same:.3f} ({apart.same:.3f}). "
        f"{together.overlap:.0%} of a point's {NEIGHBOURS} nearest neighbours among the full "
        f"states are its nearest here, too ({apart.overlap:.0%} fitted "
        f"apart): holding still costs {max(0.0, apart.overlap - together.overlap):.0%}. "
        f"From {first} to {last} half of the points move more than "
        f"{np.median(moved) / radius(animated.places):.2f}. "
    )
    return " ".join(part for part in (words.strip(), _mistakes(stages), stages.quality) if part)


def _mistakes(stages: Stages) -> str:
    """How much is wrong at the first and the last stage; "" where nothing is marked."""
    if stages.wrong is None or not np.isfinite(stages.wrong).any():
        return ""
    marked = np.isfinite(stages.wrong)
    always = int((stages.wrong[:, marked.all(axis=0)] == 1).all(axis=0).sum())
    ends = [(stages.names[place], stages.wrong[place][marked[place]]) for place in (0, -1)]
    if stages.origin == "files":
        said = [
            f"{100 * marks.mean():.0f} % of {len(marks)} are wrong at {name}"
            if len(marks)
            else f"there are none at {name}"
            for name, marks in ends
        ]
        return (
            f"Of the points with a mark, {' and '.join(said)}; {always} are wrong at every stage."
        )
    (first, before), (last, after) = ends
    told = (
        f"{100 * before.mean():.0f} % are told wrongly at {first} and {100 * after.mean():.0f} % "
        f"at {last}"
    )
    return f"Of {len(after)} shifts and holds {told}; {always} are wrong at every stage."
