"""`turnstream latents learning`: what a network learns first over training, from the snapshots of its run.

At every snapshot the network is asked who holds the floor next, at moments drawn as the training loss weighs them. Its answers are
compared with those of fixed-order baselines, which see the last n frames alone (past.py): the more a young network's answers are like those of
a short-sighted one, and the later like those of one that sees further, the more it has learned short-range dependencies first. And it is
asked again with only the last seconds heard: the loss that more past saves at each step of training.

Source: "Visualizing and understanding recurrent networks" (Karpathy, Johnson, Fei-Fei 2016), section 4.4, for turn-taking.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tqdm import tqdm

from ....stream.errors import ConfigError
from ...checkpoint import weights_sha256
from ...runs.run_folder import SNAPSHOTS, find_snapshots
from ..collect import load_network, opened_collection
from ..collection import Collection
from ..memory.held_out import log_loss
from ..memory.past import ALL, fixed_order_baseline, recent_sound, score_with_past
from ..memory.readings import Readings, decisive_readings
from ..parts import Parts, parts_beside
from ..views import LIGHT, View, check_suffix, picture

ORDERS = (1, 4, 16, 64, 128)  # frames that the baselines see
PASTS_S = (0.25, 1.0, 4.0, 16.0, ALL)
MOMENTS = 1500

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Learning:
    """A run, snapshot by snapshot.

    Attributes:
        steps: of training, (E,).
        similarity: Spearman's correlation of the network's log-odds with each baseline's, (E, ORDERS).
        loss: of the network with so much past, nats, (E, PASTS_S).
        baseline_loss: of each baseline, (ORDERS,).
        moments: how many were asked.
        dialogues: that they are from.
    """

    steps: tuple[int, ...]
    similarity: Floats
    loss: Floats
    baseline_loss: Floats
    moments: int
    dialogues: int

    @property
    def likest(self) -> list[int]:
        """At which snapshot the network is most like each baseline, (ORDERS,)."""
        return [int(np.nanargmax(column)) for column in self.similarity.T]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents learning`."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder of a run of `turnstream train --snapshots`"
    )
    parser.add_argument(
        "--source",
        type=Path,
        required=True,
        metavar="SOURCE",
        help="dialogues to measure on, not trained on: manifest or collection",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.png", help="file for the picture"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE.csv", help="also write the figures as a table"
    )
    parser.add_argument(
        "--moments",
        type=int,
        default=MOMENTS,
        metavar="N",
        help=f"number of moments to measure at (default {MOMENTS})",
    )


def main(args: argparse.Namespace) -> int:
    """Measure, draw, and say what was learned first."""
    check_suffix(args.out, ".png")
    if args.csv:
        check_suffix(args.csv, ".csv")
    snapshots = find_snapshots(args.run)
    if len(snapshots) < 2:
        raise ConfigError(
            f"{args.run}: expected a run with two or more snapshots in {SNAPSHOTS}/ (`turnstream train --snapshots`), got {len(snapshots)}"
        )
    last = list(snapshots.values())[-1]
    with opened_collection(args.source, None if args.source.is_dir() else last) as collection:
        found = learn(snapshots, collection, args.moments, kept=args.out)
    if args.csv:
        write_learning(found, args.csv)
    view = draw_learning(found, args.out)
    Parts(parts_beside(args.out), "").remove()
    print(f"{view.caption}\n{view.path}")
    return 0


def learn(
    snapshots: dict[int, Path],
    collection: Collection,
    moments: int = MOMENTS,
    kept: Path | None = None,
) -> Learning:
    """Ask every snapshot; work that was cut short is gone on with.

    Args:
        snapshots: folders by step.
        collection: dialogues with sound, two or more, since a baseline is judged where it was not fitted.
        moments: how many to ask at.
        kept: result beside which the answers of each snapshot are kept; None keeps none.
    """
    readings = decisive_readings(collection, moments)
    networks = {step: load_network(folder) for step, folder in snapshots.items()}
    sound = recent_sound(next(iter(networks.values())), collection, readings, ORDERS)
    baselines = [fixed_order_baseline(sound, order) for order in ORDERS]
    weights = [weights_sha256(network) for network in networks.values()]
    parts = Parts(
        parts_beside(kept),
        json.dumps([weights, [dialogue.id for dialogue in collection.dialogues], moments, PASTS_S]),
    )
    said = [
        parts.of(
            number,
            lambda network=network: {
                "said": score_with_past(network, collection, readings, PASTS_S)
            },
        )["said"]
        for number, network in enumerate(
            tqdm(networks.values(), desc="learning", unit="snapshot", disable=None)
        )
    ]
    return Learning(
        steps=tuple(snapshots),
        similarity=np.array(
            [[correlation(whole[-1], baseline) for baseline in baselines] for whole in said]
        ),
        loss=np.array([[_loss(row, readings) for row in rows] for rows in said]),
        baseline_loss=np.array([_loss(baseline, readings) for baseline in baselines]),
        moments=len(readings),
        dialogues=len(np.unique(readings.number)),
    )


def correlation(a: Floats, b: Floats) -> float:
    """Spearman's rank correlation; 0 where one of the two never changes."""
    if np.ptp(a) < 1e-9 or np.ptp(b) < 1e-9:
        return 0.0
    found: Any = spearmanr(a, b)
    return float(found.statistic)


def draw_learning(found: Learning, out: Path) -> View:
    """The picture: likeness to each baseline, and the loss with each past, over training."""
    title = "What is learned first"
    caption = describe(found)
    from matplotlib import colormaps

    with picture(out, title, caption, (11.5, 4.4), ncols=2) as (likeness, losses):
        for place, order in enumerate(ORDERS):
            colour = colormaps["viridis"](0.9 * place / max(1, len(ORDERS) - 1))
            likeness.plot(
                found.steps,
                found.similarity[:, place],
                color=colour,
                marker="o",
                markersize=3.5,
                label=f"{order} frames ({order / 50:g} s)",
            )
            best = found.likest[place]
            likeness.plot(
                found.steps[best],
                found.similarity[best, place],
                "*",
                color=colour,
                markersize=13,
                markeredgecolor=LIGHT.paper,
            )
        likeness.set(
            xlabel="step of training",
            ylabel="rank correlation with a model that sees only the last",
        )
        likeness.legend(
            frameon=False, fontsize=8, title="star: where it is likest", title_fontsize=8
        )
        for place, past_s in enumerate(PASTS_S):
            colour = colormaps["viridis"](0.9 * place / max(1, len(PASTS_S) - 1))
            losses.plot(
                found.steps,
                found.loss[:, place],
                color=colour,
                marker="o",
                markersize=3.5,
                label="all" if past_s == ALL else f"{past_s:g} s",
            )
        losses.axhline(np.log(2), color=LIGHT.faint, linewidth=1, linestyle=":")
        losses.set(xlabel="step of training", ylabel="loss of the next holder (nats)")
        losses.legend(
            frameon=False, fontsize=8, title="past heard (dotted: a coin)", title_fontsize=8
        )
    return View(out, title, caption)


def describe(found: Learning) -> str:
    """What the picture shows."""
    places = found.likest
    peaks = ", ".join(
        f"{order} frames at step {found.steps[place]} ({found.similarity[place, i]:.2f})"
        for i, (order, place) in enumerate(zip(ORDERS, places, strict=True))
    )
    rising = (
        all(a <= b for a, b in zip(places, places[1:], strict=False)) and places[0] < places[-1]
    )
    if rising:
        verdict = "the further a baseline sees, the later the network is like it: short-range dependencies come first"
    elif places[0] < places[-1]:
        verdict = "the most short-sighted baseline is matched before the most far-sighted one, though not all in order"
    elif len(set(places)) == 1:
        verdict = "all baselines are matched best at the same snapshot, so no order shows"
    else:
        verdict = "the order of sight does not show: the most far-sighted baseline is not matched later than the most short-sighted one"
    if len(found.similarity) > 1:
        apart = np.diff(np.sort(found.similarity, axis=0)[-2:], axis=0)
        verdict += f" (the peaks stand {apart.min():.2f} to {apart.max():.2f} above the next best snapshot; whether that is measurable was not looked at)"
    first, last = found.loss[0], found.loss[-1]
    moves = "falls" if last[-1] < first[-1] else "rises" if last[-1] > first[-1] else "goes"
    longer = f"{'saves' if last[1] > last[-1] else 'costs'} {abs(last[1] - last[-1]):.3f}"
    second = f"{'saves' if last[0] > last[1] else 'costs'} {abs(last[0] - last[1]):.3f}"
    return (
        f"{found.moments} moments of {found.dialogues} dialogues, at {len(found.steps)} snapshots up to step {found.steps[-1]}. Left: how like the "
        f"network's answers are to those of models that see only the last frames; likest to {peaks}: {verdict}. Right: the loss {moves} from "
        f"{first[-1]:.3f} to {last[-1]:.3f} (a coin has {np.log(2):.3f}; the best baseline here {found.baseline_loss.min():.3f}); at the end hearing "
        f"everything instead of the last second {longer}, hearing the last second instead of {PASTS_S[0]:g} s {second}."
    )


def write_learning(found: Learning, path: Path) -> None:
    """The figures, a row for each snapshot."""
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out, lineterminator="\n")
        pasts: Sequence[str] = ["all" if past_s == ALL else f"{past_s:g}s" for past_s in PASTS_S]
        rows.writerow(
            [
                "step",
                *(f"similarity_{order}_frames" for order in ORDERS),
                *(f"loss_{past}" for past in pasts),
            ]
        )
        for step, similarity, loss in zip(found.steps, found.similarity, found.loss, strict=True):
            rows.writerow([step, *(f"{value:.5f}" for value in (*similarity, *loss))])


def _loss(log_odds: Floats, readings: Readings) -> float:
    return float(log_loss(log_odds, readings.happened).mean())
