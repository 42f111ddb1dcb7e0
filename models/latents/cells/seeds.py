"""`turnstream latents seeds`: which neighbours among the states survive another seed.

Networks that were trained anew have heard the same dialogues. The share of a frame's nearest
neighbours that is the same in two of them says how much of what looks alike is the task's, and how
much is one training's whim. It does not depend on the order or the sign of units.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ..collection import Collection
from ..drawing import listed
from ..moments import SITUATIONS
from ..options import add_layer, add_out, add_seed, check_files, option, shown
from ..quality import quality_of
from ..space.trust import neighbours_of, overlap
from ..tables import write_rows
from ..views import COLOURS, LIGHT, View, picture

POINTS = 2000
LEAST_POINTS = 20
KEPT = 0.5  # share of the neighbours from which a neighbourhood is said to survive


@dataclass(frozen=True)
class Survival:
    """Neighbours in P pairs of networks, at N frames of single speakers.

    Attributes:
        pairs: names of both, (P, 2).
        shared: the share of a frame's neighbours that are so in both, (P, N).
        rows: `number`, `frame`, `speaker` and `situation` of the frames, (N,) each.
    """

    pairs: list[tuple[str, str]]
    shared: NDArray[np.float32]
    rows: dict[str, NDArray[Any]]

    @property
    def chance(self) -> float:
        """The share that two spaces without anything in common have."""
        return neighbours_of(self.shared.shape[1]) / (self.shared.shape[1] - 1)

    def by_situation(self) -> dict[str, NDArray[np.float32]]:
        """Mean share by what the speaker is doing, (P,) each."""
        return {
            name: self.shared[:, self.rows["situation"] == name].mean(axis=1)
            for name in SITUATIONS
            if (self.rows["situation"] == name).any()
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents seeds`."""
    what = "collections of the same dialogues, by networks that were trained anew"
    parser.add_argument("sources", type=Path, nargs="+", metavar="COLLECTION", help=what)
    add_out(parser, "seeds.png", csv="a table of the frames, with the share in every pair")
    add_layer(parser, "layer to compare")
    option(parser, "--points N", "frames of single speakers to compare", POINTS)
    add_seed(parser)


def main(args: argparse.Namespace) -> int:
    """Compare, draw and write."""
    check_files(args, ".png")
    collections = [Collection(source) for source in args.sources]
    found = survival(collections, args.layer, args.points, args.seed)
    if args.csv is not None:
        write_survival(found, collections[0], args.csv)
    return shown(draw_survival(found, collections, args.layer, args.out))


def survival(
    collections: Sequence[Collection], layer: str = "latent", points: int = POINTS, seed: int = 0
) -> Survival:
    """Compare the neighbours of about so many frames of single speakers in several networks.

    Raises:
        ConfigError: fewer than two collections, other dialogues or rates, no such layer, or too
            few frames.
    """
    first = collections[0]
    if len(collections) < 2:
        raise ConfigError(f"expected two or more collections, got {len(collections)}")
    for other in collections:
        if layer not in other.about.sizes:
            raise ConfigError(f"{other.folder}: expected a layer {layer}, got none")
        if _described(other) != _described(first):
            raise ConfigError(
                f"{other.folder}: expected the dialogues and the frame rate of {first.folder}"
            )
    if points < LEAST_POINTS:
        raise ConfigError(f"expected at least {LEAST_POINTS} points, got {points}")
    rows = first.sample(points, ["situation"], seed=seed)
    states = [_states(collection, layer, rows) for collection in collections]
    shared = np.stack([overlap(one, other) for one, other in combinations(states, 2)])
    return Survival(list(combinations(map(_name, collections), 2)), shared, rows)


def write_survival(found: Survival, collection: Collection, path: Path) -> None:
    """Write a row for each frame."""
    rows = found.rows
    ids = [collection.dialogues[number].id for number in rows["number"]]
    times_s = (rows["frame"] + 1) / collection.frame_rate_hz
    columns = (ids, times_s, rows["speaker"], rows["situation"], *found.shared)
    header = ("dialogue", "time_s", "speaker", "situation", *map(" / ".join, found.pairs))
    write_rows(path, header, zip(*columns, strict=True))


def draw_survival(
    found: Survival, collections: Sequence[Collection], layer: str, out: Path
) -> View:
    """Draw how many neighbours each pair shares, and in which situations."""
    count, pairs = found.shared.shape[1], [*map(" and ".join, found.pairs)]
    by_situation = found.by_situation()
    everywhere = (found.shared >= KEPT).all(axis=0).mean()
    means = zip(pairs, found.shared.mean(axis=1), strict=True)
    figures = {pair: f"{mean:.2f} (by chance {found.chance:.3f})" for pair, mean in means}
    figures["frames that keep half or more in every pair"] = f"{100 * everywhere:.0f} %"
    figures |= {f"while {name}": f"{shares.mean():.2f}" for name, shares in by_situation.items()}
    figures |= {_name(c): quality_of(c).in_words().removesuffix(".") for c in collections}
    title = f"Neighbours in {layer} that survive another seed"
    caption = (
        f"Of the {neighbours_of(count)} nearest neighbours of each of {count} frames of single "
        "speakers, the share that is the same in two networks; by situation, the mean over pairs. "
        f"{listed(figures)}"
    )
    with picture(out, title, caption, (11.0, 4.0), ncols=2) as (left, right):
        for pair, shares in zip(pairs, found.shared, strict=True):
            left.plot(np.linspace(0, 1, count), np.sort(shares), linewidth=1.6, label=pair)
        left.set(xlabel="share of frames", ylabel="share of neighbours kept", ylim=(0, 1))
        left.legend(fontsize=8, frameon=False, loc="upper left")
        for row, (name, shares) in enumerate(by_situation.items()):
            right.plot(shares, np.full(len(shares), row), "o", color=COLOURS[name], markersize=6)
        right.set_yticks(range(len(by_situation)), list(by_situation), fontsize=9)
        right.set(xlabel="mean share of neighbours kept, a point per pair")
        right.set_xlim(left=0)
        for panel, line in ((left, left.axhline), (right, right.axvline)):
            line(found.chance, color=LIGHT.faint, linewidth=1, linestyle=":")
            panel.grid(visible=False)
    return View(out, title, caption)


def _name(collection: Collection) -> str:
    return f"{collection.about.model} {collection.about.weights_sha256[:6]}"


def _described(collection: Collection) -> tuple[list[str], list[int], float]:
    ids = [dialogue.id for dialogue in collection.dialogues]
    counts = [collection.frame_count(number) for number in range(len(ids))]
    return ids, counts, collection.frame_rate_hz


def _states(
    collection: Collection, layer: str, rows: dict[str, NDArray[Any]]
) -> NDArray[np.float32]:
    parts: list[NDArray[np.float32]] = []
    for number in np.unique(rows["number"]):
        here = rows["number"] == number
        values = collection.frames(int(number), [layer])[layer]
        parts.append(values[rows["frame"][here], rows["speaker"][here]])
    return np.concatenate(parts)
