"""`turnstream latents animate`: how the same points move from stage to stage of training.

turnstream latents animate RUN --source MANIFEST --out animation.html
turnstream latents animate RUN_A RUN_B --source MANIFEST --out two.html
turnstream latents animate epoch1.csv epoch2.csv ... --out animation.html

Of a run that was trained with --snapshots, of networks, of anyone's representations (stages.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ....stream.errors import ConfigError
from ...runs.run_folder import SNAPSHOTS, find_snapshots
from ..collect import check_checkpoint, load_network, name_of, opened_collection
from ..drawing import listed
from ..options import add_layer, add_out, add_seed, option, shown
from ..parts import parts_beside
from ..paths.page import write_view
from ..quality import quality_of
from ..space.embed import NEIGHBOURS
from ..space.trust import near_among
from ..views import View, check_suffix
from .aligned import METHODS, STILL_SHARE, fit_apart, fit_together, measure_drift, radius
from .stages import Stages, moving_stages, read_csv_stages, write_stages

MOST_POINTS = 4000  # that a page moves smoothly
NEAR = 8  # neighbours that the page knows of a point
TITLES = {
    "run": "What training changes in the space of states",
    "networks": "The same moments in the spaces of several networks",
    "files": "The same points at several stages",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents animate`."""
    what = "one run of `turnstream train --snapshots`; or two or more runs, or CSV files, in order"
    parser.add_argument("stages", type=Path, nargs="+", metavar="STAGE", help=what)
    moments = "dialogues whose moments are followed: manifest, audio file or collection"
    option(parser, "--source SOURCE", f"{moments} (not for CSV files)", kind=Path)
    add_out(parser, what="page to write", metavar="FILE.html")
    option(parser, "--csv FOLDER", "also write the states, one CSV file per stage", kind=Path)
    option(parser, "--method", "method of embedding", "tsne", choices=METHODS)
    add_layer(parser, "layer to show")
    many = "number of moments, or of rows that all CSV files have, to follow"
    option(parser, "--points N", many, 800)
    option(parser, "--dims", "dimensions of the page", 2, choices=(2, 3))
    add_seed(parser)


def main(args: argparse.Namespace) -> int:
    """Make the page."""
    check_suffix(args.out, ".html")
    if not 2 <= args.points <= MOST_POINTS:
        raise ConfigError(f"expected 2 to {MOST_POINTS} points, got {args.points}")
    kept = parts_beside(args.out)
    stages = gather(args.stages, args.source, args.layer, args.points, args.seed, kept)
    if args.csv:
        write_stages(stages, args.csv)
    return shown(animation_page(stages, args.out, args.method, args.dims, args.seed))


def gather(
    paths: Sequence[Path],
    source: Path | None,
    layer: str,
    points: int,
    seed: int = 0,
    kept: Path | None = None,
) -> Stages:
    """The stages of CSV files, of the folder of a run with snapshots, or of several checkpoints.

    `source` are dialogues, for networks; points are moments, or at most so many of the common rows
    of files; the rest is as for `moving_stages`. ConfigError for another mixture, a single stage,
    or dialogues that are missing or not needed.
    """
    got = ", ".join(map(str, paths))
    tables = [path for path in paths if path.suffix.lower() == ".csv"]
    if tables:
        if len(tables) < len(paths) or len(tables) < 2:
            raise ConfigError(f"expected two or more CSV files and nothing else, got {got}")
        if source is not None:
            raise ConfigError(
                f"expected no --source with CSV files, which hold their points, got {source}"
            )
        return read_csv_stages(tables, points, seed)
    if source is None:
        raise ConfigError("expected --source with dialogues whose moments to follow, got none")
    named = {name_of(path): path for path in paths}
    if len(paths) == 1:
        named = {folder.name: folder for folder in find_snapshots(paths[0]).values()}
        if len(named) < 2:
            raise ConfigError(
                f"{paths[0]}: expected a run with two or more snapshots in {SNAPSHOTS}/ "
                f"(`turnstream train --snapshots`), or several checkpoints, got {len(named)} "
                "snapshots"
            )
    elif len(named) < len(paths):
        raise ConfigError(f"expected checkpoints with names of their own, got {got}")
    for folder in named.values():
        check_checkpoint(folder)  # of all, before any is loaded
    *_, last = named.values()
    with opened_collection(source, None if source.is_dir() else last) as collection:
        from ...checkpoint import weights_sha256

        networks = {name: load_network(folder) for name, folder in named.items()}
        stages = moving_stages(networks, collection, points, layer, seed, kept)
        *_, trained = networks.values()
        if weights_sha256(trained) == collection.about.weights_sha256:
            stages = replace(stages, quality=quality_of(collection).in_words())
    return replace(stages, origin="run" if len(paths) == 1 else "networks")


def animation_page(stages: Stages, out: Path, method: str, dims: int = 2, seed: int = 0) -> View:
    """Fit one picture for all stages by one of METHODS, measure how still it is, write the page."""
    states, same = stages.states, [stages.states[-1]] * 2
    places = fit_together(states, method, dims, seed)
    apart = fit_apart(states, method, dims, seed)
    together = measure_drift(states, places, fit_together(same, method, dims, seed))
    apart = measure_drift(states, apart, fit_apart(same, method, dims, seed))
    moved = np.linalg.norm(places[-1] - places[0], axis=1) / radius(places)
    first, *_, last = stages.names

    def both(name: str, digits: str) -> str:
        return f"{getattr(together, name):{digits}} ({getattr(apart, name):{digits}})"

    figures = {
        f"{STILL_SHARE:.0%} of points whose neighbours change least": both("still", ".2f"),
        "all points": both("all", ".2f"),
        "the last stage shown twice, where nothing changes": both("same", ".3f"),
        f"half of the points from {first} to {last}": f"more than {np.median(moved):.2f}",
        f"the {NEIGHBOURS} nearest in the full space that are so here": both("overlap", ".0%"),
    }
    caption = (
        f"The same {len(stages.ids)} points at {len(stages.names)} stages, from {first} to {last}, "
        f"projected together by {method}. Ways between two stages are in the picture's radius; in "
        "brackets, of stages that were fitted apart and turned onto each other. "
        f"{listed(figures | mistakes(stages))} {stages.quality}"
    )
    labels = {name: given for name, given in stages.labels.items() if len(set(given.tolist())) > 1}
    section = {
        "names": stages.names,
        "ids": stages.ids,
        "labels": labels,
        "wrong": stages.wrong,
        "marks": ["right", "wrong"],
        "places": [place.astype(np.float32) for place in places],
        "near": np.stack([near_among(one, NEAR) for one in states]),
        "moments": stages.moments,
    }
    contents = stages.heard | {"stages": section}
    return write_view(out, TITLES[stages.origin], caption.strip(), contents)


def mistakes(stages: Stages) -> dict[str, str]:
    """How much is wrong at the first and the last stage, and at all; {} where nothing is marked."""
    if stages.wrong is None or not np.isfinite(stages.wrong).any():
        return {}
    marked = np.isfinite(stages.wrong)
    what = "marked points" if stages.origin == "files" else "shifts and holds"
    found: dict[str, str] = {}
    for place in (0, -1):
        marks = stages.wrong[place][marked[place]]
        share = f"{marks.mean():.0%} of {len(marks)}" if len(marks) else "none is marked"
        found[f"{what} wrong at {stages.names[place]}"] = share
    always = (stages.wrong[:, marked.all(axis=0)] == 1).all(axis=0).sum()
    return found | {"wrong at every stage": str(always)}
