"""`turnstream latents learning`: what a network learns first, from the snapshots of its run.

At every snapshot the network is asked who holds the floor next, at moments drawn as the training
loss weighs them. Its answers are compared with those of fixed-order baselines, which see the last n
frames alone (past.py), by the symmetric KL divergence and by the difference of the mean loss. A
network that is unsure is near to a baseline that is unsure, so the order of learning is read from
divergences in which the network's confidence is matched to the baseline's. If short-range
dependencies are learned first, the network is nearest to a short-sighted baseline early and to a
far-sighted one later. That is said only where an interval over dialogues shows it, and only of a
network that is better than chance. The network is asked again with only the last seconds heard: the
loss that more past saves at each step of training.

Source: "Visualizing and understanding recurrent networks" (Karpathy, Johnson, Fei-Fei 2016),
section 4.4, for turn-taking.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ....stream.errors import ConfigError
from ...dialogues.activity import FRAME_RATE_HZ
from ...evaluation.measures import Estimate, consecutive, estimate, sums_by_dialogue
from ...runs.run_folder import SNAPSHOTS, find_snapshots
from ..bars import bar
from ..collect import load_network, opened_collection
from ..collection import Collection
from ..memory.held_out import log_loss
from ..memory.past import ALL, fixed_order_baseline, recent_sound, score_with_past
from ..memory.readings import Readings, decisive_readings, silence_readings
from ..options import add_out, check_files, option, shown
from ..parts import Parts, parts_beside
from ..quality import Quality, measure_quality
from ..views import LIGHT, View, legend_below, picture

if TYPE_CHECKING:
    from ...turn_model import TurnModel

ORDERS = (1, 4, 16, 64, 128)  # frames that the baselines see
PASTS_S = (0.25, 1.0, 4.0, 16.0, ALL)
MOMENTS = 1500
FACTORS = np.array([0.0, *np.geomspace(0.02, 50, 80)])  # of log-odds, to match confidence

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Learning:
    """A run, snapshot by snapshot, as sums over the moments of each dialogue.

    Attributes:
        steps: of training, (E,).
        divergences: symmetric KL divergence from each baseline, in nats, (D, E, ORDERS).
        matched: the same with the network's confidence matched (`match_confidence`).
        losses: of the network with so much past, in nats, (D, E, PASTS_S).
        baseline_losses: of each baseline, (D, ORDERS).
        chance_losses: of knowing only how often each holder comes next in other dialogues, (D,).
        counts: moments of each dialogue, (D,).
        quality: of the last snapshot; None where the dialogues lack shifts or holds.
    """

    steps: tuple[int, ...]
    divergences: Floats
    matched: Floats
    losses: Floats
    baseline_losses: Floats
    chance_losses: Floats
    counts: Floats
    quality: Quality | None = None

    @property
    def divergence(self) -> Floats:
        """Mean symmetric KL divergence from each baseline, (E, ORDERS)."""
        return self.divergences.sum(axis=0) / self.counts.sum()

    @property
    def loss(self) -> Floats:
        """Mean loss with so much past, (E, PASTS_S)."""
        return self.losses.sum(axis=0) / self.counts.sum()

    @property
    def loss_difference(self) -> Floats:
        """Mean loss with all the past minus that of each baseline, (E, ORDERS)."""
        return self.loss[:, -1:] - self.baseline_losses.sum(axis=0) / self.counts.sum()

    @property
    def nearest(self) -> list[int]:
        """At which snapshot the network is nearest to each baseline, if as sure, (ORDERS,)."""
        return self.matched.sum(axis=0).argmin(axis=0).tolist()

    def steps_later(self) -> Estimate:
        """By how many steps it is nearest to the most far-sighted baseline after the other end."""
        steps = np.array(self.steps, float)

        def later(weights: Floats) -> Floats:
            # Means differ from sums by one factor for all snapshots.
            places = np.tensordot(weights, self.matched[:, :, [0, -1]], 1).argmin(axis=1)
            return steps[places[:, 1]] - steps[places[:, 0]]

        return estimate(later, len(self.counts))

    def above_chance(self) -> bool:
        """Whether the last snapshot is measurably better than a coin, and than the share alone."""
        last = self.losses[:, -1, -1]
        return all(
            self._mean(last - other).high < 0
            for other in (np.log(2) * self.counts, self.chance_losses)
        ) and (self.quality is None or self.quality.above_chance is not False)

    def against_best(self) -> Estimate:
        """Loss of the last snapshot minus that of the best baseline."""
        best = self.baseline_losses[:, self.baseline_losses.sum(axis=0).argmin()]
        return self._mean(self.losses[:, -1, -1] - best)

    def _mean(self, sums: Floats) -> Estimate:
        return estimate(
            lambda weights: (weights @ sums) / (weights @ self.counts), len(self.counts)
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents learning`."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder of a run of `turnstream train --snapshots`"
    )
    option(
        parser,
        "--source SOURCE",
        "dialogues to measure on, not trained on: manifest or collection",
        kind=Path,
        required=True,
    )
    add_out(parser, csv="the figures as a table")
    option(parser, "--moments N", "number of moments to measure at", MOMENTS)


def main(args: argparse.Namespace) -> int:
    """Measure, draw, and say what was learned first."""
    check_files(args, ".png")
    snapshots = find_snapshots(args.run)
    if len(snapshots) < 2:
        raise ConfigError(
            f"{args.run}: expected a run with two or more snapshots in {SNAPSHOTS}/ (`turnstream "
            f"train --snapshots`), got {len(snapshots)}"
        )
    last = list(snapshots.values())[-1]
    with opened_collection(args.source, None if args.source.is_dir() else last) as collection:
        found = learn(snapshots, collection, args.moments, kept=args.out)
    if args.csv:
        write_learning(found, args.csv)
    view = draw_learning(found, args.out)
    Parts(parts_beside(args.out), "").remove()
    return shown(view)


def learn(
    snapshots: dict[int, Path],
    collection: Collection,
    moments: int = MOMENTS,
    kept: Path | None = None,
) -> Learning:
    """Ask every snapshot; work that was cut short is gone on with.

    Args:
        snapshots: folders by step.
        collection: dialogues with sound, two or more, since a baseline is judged where it was not
            fitted.
        moments: how many to ask at.
        kept: result beside which the answers of each snapshot are kept; None keeps none.
    """
    from ...checkpoint import weights_sha256

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
        for number, network in enumerate(bar(networks.values(), "learning", "snapshot"))
    ]
    return compare(
        tuple(snapshots),
        np.array(said),
        np.array(baselines),
        fixed_order_baseline(sound, 0),
        readings,
        _quality(list(networks.values())[-1], collection),
    )


def compare(
    steps: Sequence[int],
    said: Floats,
    baselines: Floats,
    share: Floats,
    readings: Readings,
    quality: Quality | None = None,
) -> Learning:
    """Compare what snapshots say with what the baselines say.

    Args:
        steps: of the snapshots, (E,).
        said: log-odds with so much past, (E, PASTS_S, N).
        baselines: log-odds of each baseline, (ORDERS, N).
        share: log-odds that know only how often it happens, (N,).
        readings: N moments.
        quality: of the last snapshot.
    """
    numbers, dialogues = consecutive(readings.number)

    def sums(values: Floats) -> Floats:
        return sums_by_dialogue(np.moveaxis(values, -1, 0), numbers, dialogues)

    return Learning(
        tuple(steps),
        sums(symmetric_divergence(said[:, -1:], baselines)),
        sums(symmetric_divergence(match_confidence(said[:, -1], baselines), baselines)),
        sums(log_loss(said, readings.happened)),
        sums(log_loss(baselines, readings.happened)),
        sums(log_loss(share, readings.happened)),
        sums(np.ones(len(readings))),
        quality,
    )


def symmetric_divergence(a: Floats, b: Floats) -> Floats:
    """KL(a, b) + KL(b, a) of two yes/no answers given as log-odds, in nats."""
    return (expit(a) - expit(b)) * (a - b)


def match_confidence(said: Floats, baselines: Floats) -> Floats:
    """Return log-odds times the factor that brings them nearest to each baseline.

    Args:
        said: log-odds, (E, N).
        baselines: log-odds, (ORDERS, N).
    Returns:
        (E, ORDERS, N).
    """
    scaled = np.zeros((len(said), len(baselines), said.shape[1]))
    for snapshot, order in np.ndindex(scaled.shape[:2]):
        tried = FACTORS[:, None] * said[snapshot]
        best = symmetric_divergence(tried, baselines[order]).mean(axis=1).argmin()
        scaled[snapshot, order] = tried[best]
    return scaled


def _quality(network: TurnModel, collection: Collection) -> Quality | None:
    try:
        readings, _ = silence_readings(collection)
    except ConfigError:
        return None
    said = score_with_past(network, collection, readings, [ALL])[0]
    return measure_quality(said, readings.happened, readings.number, readings.speaker)


def draw_learning(found: Learning, out: Path) -> View:
    """The picture: divergence and loss against each baseline, and the loss with each past."""
    title = "What is learned first"
    caption = describe(found)
    with picture(out, title, caption, (13.5, 5.4), ncols=3) as (divergence, difference, losses):
        for panel, values, words in (
            (divergence, found.divergence, "symmetric KL divergence from a baseline (nats)"),
            (difference, found.loss_difference, "loss minus that of a baseline (nats)"),
        ):
            _draw_lines(panel, found.steps, values, [_seen(order) for order in ORDERS])
            panel.set_title(words, fontsize=9.5)
            legend_below(panel, columns=2, title="baseline that sees only the last")
        difference.axhline(0, color=LIGHT.faint, linewidth=1, linestyle=":")
        _draw_lines(losses, found.steps, found.loss, [_heard(past_s) for past_s in PASTS_S])
        losses.axhline(np.log(2), color=LIGHT.faint, linewidth=1, linestyle=":")
        losses.set_title("loss of the next holder (nats)", fontsize=9.5)
        legend_below(losses, columns=2, title="past heard (dotted: a coin)")
    return View(out, title, caption)


def _draw_lines(panel: Any, steps: Sequence[int], values: Floats, labels: Sequence[str]) -> None:
    for place, label in enumerate(labels):
        colour = _shade(place, len(labels))
        panel.plot(steps, values[:, place], color=colour, marker="o", markersize=3.5, label=label)
    panel.set_xlabel("step of training")


def _shade(place: int, count: int) -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"](0.9 * place / max(1, count - 1))


def _seen(order: int) -> str:
    return f"{order} frame{'s' * (order > 1)} ({order / FRAME_RATE_HZ:g} s)"


def _heard(past_s: float) -> str:
    return "all" if past_s == ALL else f"{past_s:g} s"


def describe(found: Learning) -> str:
    """What the picture shows."""
    nearest = ", ".join(
        f"{_seen(order)} at step {found.steps[place]}"
        for order, place in zip(ORDERS, found.nearest, strict=True)
    )
    first, last = found.loss[0], found.loss[-1]
    moves = "falls" if last[-1] < first[-1] else "rises" if last[-1] > first[-1] else "goes"
    longer = f"{'saves' if last[1] > last[-1] else 'costs'} {abs(last[1] - last[-1]):.3f}"
    second = f"{'saves' if last[0] > last[1] else 'costs'} {abs(last[0] - last[1]):.3f}"
    best, against = found.baseline_losses.sum(axis=0).min(), found.against_best()
    words = [
        f"{found.counts.sum():.0f} moments of {len(found.counts)} dialogues, at "
        f"{len(found.steps)} snapshots up to step {found.steps[-1]}. Left and middle: the network "
        "against models that see only the last frames, each fitted on other dialogues. Were it "
        f"as sure as they are, its answers would be nearest to {nearest}.",
        _verdict(found),
        f"Its loss at the end is {against.value:+.3f} ({against.low:+.3f} to {against.high:+.3f}) "
        f"against the best of them, {best / found.counts.sum():.3f}. Right: the loss {moves} from "
        f"{first[-1]:.3f} to {last[-1]:.3f} (a coin has {np.log(2):.3f}, knowing only how often "
        f"each speaker comes next {found.chance_losses.sum() / found.counts.sum():.3f}); at the "
        f"end hearing everything instead of the last second {longer}, hearing the last second "
        f"instead of {PASTS_S[0]:g} s {second}.",
        "" if found.quality is None else found.quality.in_words(),
    ]
    return " ".join(words).strip()


def _verdict(found: Learning) -> str:
    """What can be said of the order of learning, with the test that shows it."""
    if not found.above_chance():
        return (
            "At these moments the network is not measurably better than chance, so nothing is said "
            "of what it learned first."
        )
    later = found.steps_later()
    order = (
        "short-range dependencies come first"
        if later.low > 0
        else "long-range dependencies come first"
        if later.high < 0
        else "no order can be shown"
    )
    return (
        f"It is nearest to the model of {_seen(ORDERS[-1])} {later.value:+.0f} steps after it is "
        f"nearest to that of {_seen(ORDERS[0])} ({later.low:+.0f} to {later.high:+.0f} over "
        f"dialogues): {order}."
    )


def write_learning(found: Learning, path: Path) -> None:
    """The figures, a row for each snapshot."""
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(
            [
                "step",
                *(f"divergence_{order}_frames" for order in ORDERS),
                *(f"matched_divergence_{order}_frames" for order in ORDERS),
                *(f"loss_minus_{order}_frames" for order in ORDERS),
                *(f"loss_{_heard(past_s).replace(' ', '')}" for past_s in PASTS_S),
            ]
        )
        matched = found.matched.sum(axis=0) / found.counts.sum()
        for step, *figures in zip(
            found.steps, found.divergence, matched, found.loss_difference, found.loss, strict=True
        ):
            rows.writerow([step, *(f"{value:.5f}" for value in np.concatenate(figures))])
