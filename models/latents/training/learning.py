"""`turnstream latents learning`: what a network learns first, from the snapshots of its run.

The answers at moments drawn as the training loss weighs them are compared with those of baselines
that see the last n frames alone (past.py). A network that is unsure is near to a baseline that is
unsure, so the order of learning is read from divergences in which their confidence is matched: if
short-range dependencies are learned first, the network is nearest to a short-sighted baseline
early, and to a far-sighted one later. That is said only where an interval over dialogues shows it,
of a network above chance.

Source: Karpathy, Johnson & Fei-Fei 2016, section 4.4, for turn-taking.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.special import expit

from ....stream.errors import ConfigError
from ...dialogues.activity import FRAME_RATE_HZ
from ...evaluation.measures import Estimate, Floats
from ...runs.run_folder import SNAPSHOTS, find_snapshots
from ..bars import bar
from ..collect import load_network, opened_collection
from ..collection import Collection
from ..drawing import heading, listed, many
from ..memory.drawing import in_words
from ..memory.held_out import log_loss
from ..memory.past import ALL, fixed_order_baseline, recent_sound, score_with_past
from ..memory.readings import Readings, decisive_readings, silence_readings
from ..options import add_out, check_files, option, shown
from ..parts import Parts, parts_beside
from ..quality import Quality, measure_quality
from ..tables import write_rows
from ..views import LIGHT, View, legend_below, picture

ORDERS = (1, 4, 16, 64, 128)  # frames that the baselines see
PASTS_S = (0.25, 1.0, 4.0, 16.0, ALL)
SEEN = [f"{many(order, 'frame')} ({order / FRAME_RATE_HZ:g} s)" for order in ORDERS]
HEARD = ["all" if past_s == ALL else f"{past_s:g} s" for past_s in PASTS_S]
MOMENTS = 1500
FACTORS = np.array([0.0, *np.geomspace(0.02, 50, 80)])  # of log-odds, to match confidence


@dataclass(frozen=True)
class Learning:
    """What the E snapshots of a run and the baselines say at N moments, as log-odds."""

    steps: Sequence[int]  # of training, (E,)
    said: Floats  # by the network with so much past, (E, PASTS_S, N)
    baselines: Floats  # by each baseline, (ORDERS, N)
    share: Floats  # knowing only how often each holder comes next in other dialogues, (N,)
    readings: Readings  # the moments
    quality: Quality | None = None  # of the last snapshot; None without shifts or holds

    @property
    def divergence(self) -> Floats:
        """Mean symmetric KL divergence from each baseline in nats, (E, ORDERS)."""
        return symmetric_divergence(self.said[:, -1:], self.baselines).mean(axis=-1)

    @cached_property
    def matched(self) -> Floats:
        """The divergence at each moment with the confidence matched, (E, ORDERS, N)."""
        matched = match_confidence(self.said[:, -1], self.baselines)
        return symmetric_divergence(matched, self.baselines)

    @property
    def loss(self) -> Floats:
        """Mean loss with so much past in nats, (E, PASTS_S)."""
        return self._loss_of(self.said)

    @property
    def loss_difference(self) -> Floats:
        """Mean loss with all the past minus that of each baseline, (E, ORDERS)."""
        return self.loss[:, -1:] - self._loss_of(self.baselines)

    @property
    def nearest(self) -> list[int]:
        """At which snapshot the network is nearest to each baseline, if as sure, (ORDERS,)."""
        return self.matched.mean(axis=-1).argmin(axis=0).tolist()

    def steps_later(self) -> Estimate:
        """By how many steps it is nearest to the most far-sighted baseline after the other end."""
        steps = np.array(self.steps, float)
        # Means differ from sums by one factor for all snapshots.
        sums = self.readings.sums(np.moveaxis(self.matched[:, [0, -1]], -1, 0))  # (D, E, 2)

        def later(weights: Floats) -> Floats:
            near, far = np.tensordot(weights, sums, 1).argmin(axis=1).T
            return steps[far] - steps[near]

        return self.readings.estimate(later)

    def against(self, log_odds: Floats) -> Estimate:
        """Loss of the last snapshot minus that of other log-odds, (N,)."""
        happened = self.readings.happened
        last = log_loss(self.said[-1, -1], happened)
        return self.readings.mean(last - log_loss(log_odds, happened))

    def above_chance(self) -> bool:
        """Whether the last snapshot is measurably better than a coin, and than the share alone."""
        blind = (np.zeros_like(self.share), self.share)
        known = self.quality is None or self.quality.above_chance is not False
        return known and all(self.against(log_odds).high < 0 for log_odds in blind)

    def _loss_of(self, log_odds: Floats) -> Floats:
        return log_loss(log_odds, self.readings.happened).mean(axis=-1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents learning`."""
    run = "folder of a run of `turnstream train --snapshots`"
    parser.add_argument("run", type=Path, metavar="RUN", help=run)
    source = "dialogues to measure on, not trained on: manifest or collection"
    option(parser, "--source SOURCE", source, kind=Path, required=True)
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
    for step in snapshots:
        Parts(parts_beside(args.out.with_suffix(f".{step}")), "").remove()
    return shown(view)


def learn(
    snapshots: dict[int, Path],
    collection: Collection,
    moments: int = MOMENTS,
    kept: Path | None = None,
) -> Learning:
    """Ask every snapshot; work that was cut short is resumed.

    Args:
        snapshots: folders by step.
        collection: two dialogues with sound or more: a baseline is judged where it was not fitted.
        moments: how many to ask at.
        kept: result beside which the answers of each snapshot are kept; None keeps none.
    """
    readings = decisive_readings(collection, moments)
    networks = [load_network(folder) for folder in snapshots.values()]
    sound = recent_sound(networks[0], collection, readings, ORDERS)
    share, *baselines = (fixed_order_baseline(sound, order) for order in (0, *ORDERS))
    said: list[Floats] = []
    for step, network in zip(snapshots, bar(networks, "learning", "snapshot"), strict=True):
        part = None if kept is None else kept.with_suffix(f".{step}")
        said.append(score_with_past(network, collection, readings, PASTS_S, part))
    quality = None
    if len({event.kind for event in collection.events("shift", "hold")}) == 2:
        silences, _ = silence_readings(collection)
        last = score_with_past(networks[-1], collection, silences, [ALL])[0]
        quality = measure_quality(last, *silences.asked)
    steps, baselines = tuple(snapshots), np.array(baselines)
    return Learning(steps, np.array(said), baselines, share, readings, quality)


def symmetric_divergence(a: Floats, b: Floats) -> Floats:
    """KL(a, b) + KL(b, a) of two yes/no answers given as log-odds, in nats."""
    return (expit(a) - expit(b)) * (a - b)


def match_confidence(said: Floats, baselines: Floats) -> Floats:
    """Return log-odds, (E, N), times the factor that brings them nearest to each baseline,
    (ORDERS, N): (E, ORDERS, N).
    """
    scaled = np.zeros((len(said), len(baselines), said.shape[1]))
    for snapshot, order in np.ndindex(scaled.shape[:2]):
        tried = FACTORS[:, None] * said[snapshot]
        best = symmetric_divergence(tried, baselines[order]).mean(axis=1).argmin()
        scaled[snapshot, order] = tried[best]
    return scaled


def draw_learning(found: Learning, out: Path) -> View:
    """The picture: divergence and loss against each baseline, and the loss with each past."""
    from matplotlib import colormaps

    title, caption = "What is learned first", describe(found)
    seen, heard = "baseline that sees only the last", "past heard (dotted: a coin)"
    drawn = {  # values, their labels and title, and the dotted level
        "symmetric KL divergence from a baseline (nats)": (found.divergence, SEEN, seen, np.nan),
        "loss minus that of a baseline (nats)": (found.loss_difference, SEEN, seen, 0.0),
        "loss of the next holder (nats)": (found.loss, HEARD, heard, np.log(2)),
    }
    with picture(out, title, caption, (13.5, 5.4), ncols=len(drawn)) as panels:
        for panel, words in zip(panels, drawn, strict=True):
            values, labels, of_labels, level = drawn[words]
            panel.set_prop_cycle(color=colormaps["viridis"](np.linspace(0, 0.9, len(labels))))
            panel.plot(found.steps, values, marker="o", markersize=3.5, label=labels)
            panel.axhline(level, color=LIGHT.faint, linewidth=1, linestyle=":")
            panel.set_xlabel("step of training")
            heading(panel, words)
            legend_below(panel, columns=2, title=of_labels)
    return View(out, title, caption)


def describe(found: Learning) -> str:
    """Return what is seen: fixed sentences, and the figures."""
    readings, first, last = found.readings, found.loss[0], found.loss[-1]
    losses = [log_loss(baseline, readings.happened).mean() for baseline in found.baselines]
    best = int(np.argmin(losses))
    against, share = found.against(found.baselines[best]), log_loss(found.share, readings.happened)
    figures = {
        "Nearest to the baselines, were it as sure as they are": ", ".join(
            f"{words} at step {found.steps[place]}"
            for words, place in zip(SEEN, found.nearest, strict=True)
        ),
        "order": _verdict(found),
        "loss with all the past": f"{first[-1]:.3f} at first, {last[-1]:.3f} at the end",
        f"at the end with {HEARD[1]}, and with {HEARD[0]}": f"{last[1]:.3f} and {last[0]:.3f}",
        "of a coin, and of the share of each speaker": f"{np.log(2):.3f} and {share.mean():.3f}",
        f"at the end against the best baseline, {losses[best]:.3f}": in_words(against, "+.3f"),
    }
    quality = "" if found.quality is None else found.quality.in_words()
    return (
        f"{len(readings)} moments of {many(readings.dialogues, 'dialogue')}, at "
        f"{len(found.steps)} snapshots up to step {found.steps[-1]}. Left and middle: the network "
        "against models that see only the last frames, each fitted on other dialogues. Right: its "
        f"loss by how much it has heard. {listed(figures)} {quality}"
    ).strip()


def _verdict(found: Learning) -> str:
    """What can be said of the order of learning, with the test that shows it."""
    if not found.above_chance():
        return "not said, since the network is not measurably better than chance at these moments"
    later = found.steps_later()
    order = "no order can be shown"
    if later.low > 0 or later.high < 0:
        order = f"{'short' if later.low > 0 else 'long'}-range dependencies come first"
    steps = in_words(later, "+.0f", " steps")
    return f"{order}: nearest to {SEEN[-1]} {steps} after {SEEN[0]}"


def write_learning(found: Learning, path: Path) -> None:
    """The figures, a row for each snapshot."""
    kinds = ("divergence_{}_frames", "matched_divergence_{}_frames", "loss_minus_{}_frames")
    header = [kind.format(order) for kind in kinds for order in ORDERS]
    header += [f"loss_{heard.replace(' ', '')}" for heard in HEARD]
    matched = found.matched.mean(axis=-1)
    columns = (found.divergence, matched, found.loss_difference, found.loss)
    rows = np.column_stack([found.steps, *columns])
    write_rows(path, ["step", *header], ([int(step), *row] for step, *row in rows))
