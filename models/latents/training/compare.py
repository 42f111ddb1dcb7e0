"""`turnstream latents compare`: RNN, GRU and LSTM of different depth, of the same size, trained on the same data with the same budget.

One command trains what is missing (variants.py) and compares all: the loss on held-out dialogues over training, shift or hold on real ones, how
much a longer past helps, and how far back each looks (half-life of its connectivity). A dot is a network; a family has one for each seed.

Source: "Visualizing and understanding recurrent networks" (Karpathy, Johnson, Fei-Fei 2016), section 4.1, for turn-taking.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....stream.errors import DialogueError
from ...checkpoint import weights_sha256
from ...config import from_plain
from ...dialogues.manifest import Dialogue, read_manifest
from ...evaluation.measures import auc
from ...runs.options import read_settings
from ...runs.run_folder import LOG_FILE
from ...training.command import settings_from
from ...training.settings import TrainingSettings
from ...turn_model import TurnModel
from ..collect import opened_collection
from ..collection import Collection
from ..memory.connectivity import INTO_S, connect
from ..memory.held_out import log_loss
from ..memory.past import ALL, score_with_past
from ..memory.readings import decisive_readings, silence_readings
from ..views import COLOURS, LIGHT, View, picture
from .variants import KINDS, Variant, parameter_count, train_variant

SHORT_PAST_S = 1.0
MOMENTS = 1000
MEASURED_FILE = "measured.json"


@dataclass(frozen=True)
class Measured:
    """One trained network.

    Attributes:
        kind, layers, seed: see Variant.
        parameters: how many.
        loss: of the next holder on the dialogues compared on, in nats, at moments drawn as training weighs them.
        loss_short: the same with the last SHORT_PAST_S alone heard.
        auc: shift or hold, 0.25 s into the silence.
        half_life_s: of its connectivity at that moment, the median over single shifts and holds.
        curve: (step, loss of the next holder on held-out dialogues) at every validation of its training.
    """

    kind: str
    layers: int
    seed: int
    parameters: int
    loss: float
    loss_short: float
    auc: float
    half_life_s: float
    curve: tuple[tuple[float, float], ...]

    @property
    def family(self) -> str:
        """What networks of other seeds share with it."""
        return Variant(self.kind, self.layers, self.seed).family


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents compare`."""
    parser.add_argument(
        "--manifest",
        type=Path,
        required=True,
        help="dialogues to train on (split train or not given)",
    )
    parser.add_argument(
        "--validation",
        type=Path,
        required=True,
        help="manifest of held-out dialogues, whose loss is followed",
    )
    parser.add_argument(
        "--source",
        type=Path,
        required=True,
        help="dialogues to compare on: manifest, such as of real calls",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="runs, comparison.png, comparison.csv",
    )
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="(default all)"
    )
    parser.add_argument(
        "--layers",
        nargs="+",
        type=int,
        default=[1, 2],
        metavar="N",
        help="depths of both recurrent layers (default 1 2)",
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1], metavar="N", help="(default 0 1)"
    )
    parser.add_argument(
        "--settings",
        type=Path,
        help="JSON of training settings: the budget, and the network whose size is matched",
    )
    parser.add_argument(
        "--steps", type=int, help="optimizer steps of each (default: of the settings)"
    )


def main(args: argparse.Namespace) -> int:
    """Train what is missing, compare, and say what came out."""
    plain = read_settings(args.settings) if args.settings else {}
    settings = settings_from(plain | ({"steps": args.steps} if args.steps is not None else {}))
    training = [
        dialogue for dialogue in read_manifest(args.manifest) if dialogue.split in ("", "train")
    ]
    validation = read_manifest(args.validation)
    if not training or not validation:
        raise DialogueError(
            f"expected dialogues to train and to validate on, got {len(training)} and {len(validation)}"
        )
    variants = [
        Variant(kind, layers, seed)
        for seed in args.seeds
        for layers in args.layers
        for kind in args.kinds
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    with opened_collection(args.source, None) as collection:
        measured = compare(variants, settings, training, validation, collection, args.out)
    write_comparison(measured, args.out / "comparison.csv")
    view = draw_comparison(measured, settings, args.out / "comparison.png")
    print(f"{view.caption}\n{view.path}")
    return 0


def compare(
    variants: Sequence[Variant],
    settings: TrainingSettings,
    training: Sequence[Dialogue],
    validation: Sequence[Dialogue],
    collection: Collection,
    out: Path,
) -> list[Measured]:
    """Train and measure variants; what was measured before on the same dialogues is read."""
    measured: list[Measured] = []
    for variant in variants:
        model = train_variant(variant, settings, training, validation, out)
        kept = out / variant.folder / MEASURED_FILE
        key = [weights_sha256(model), [dialogue.id for dialogue in collection.dialogues]]
        if kept.is_file() and (there := json.loads(kept.read_text()))["key"] == key:
            measured.append(
                from_plain(
                    Measured,
                    there["measured"]
                    | {"curve": [tuple(pair) for pair in there["measured"]["curve"]]},
                    "measured",
                )
            )
            continue
        found = measure_variant(variant, model, collection, out / variant.folder)
        kept.write_text(
            json.dumps({"key": key, "measured": dataclasses.asdict(found)}, indent=1) + "\n"
        )
        measured.append(found)
    return measured


def measure_variant(
    variant: Variant, model: TurnModel, collection: Collection, run: Path
) -> Measured:
    """All figures of a trained network."""
    decisive = decisive_readings(collection, MOMENTS)
    short, whole = score_with_past(model, collection, decisive, (SHORT_PAST_S, ALL))
    silences, _ = silence_readings(collection)
    (said,) = score_with_past(model, collection, silences, (ALL,))
    log = [json.loads(line) for line in (run / LOG_FILE).read_text().splitlines()]
    return Measured(
        variant.kind,
        variant.layers,
        variant.seed,
        parameter_count(model.config),
        float(log_loss(whole, decisive.happened).mean()),
        float(log_loss(short, decisive.happened).mean()),
        auc(said, silences.happened),
        float(np.nanmedian(connect(model, collection, into_s=INTO_S[:1]).half_s[:, 0])),
        tuple((float(line["step"]), float(line["next_holder"])) for line in log),
    )


def draw_comparison(measured: Sequence[Measured], settings: TrainingSettings, out: Path) -> View:
    """Four panels: loss over training, loss with all and with little past, shift or hold, half-life."""
    title, caption = (
        "RNN, GRU and LSTM, of the same size and with the same budget",
        describe(measured, settings),
    )
    families = list(dict.fromkeys(one.family for one in measured))
    with picture(out, title, caption, (12.0, 7.6), nrows=2, ncols=2) as panels:
        curves, losses, aucs, halves = np.ravel(panels)
        for one in measured:
            steps, values = zip(*one.curve, strict=True)
            first = one.family not in [other.family for other in measured[: measured.index(one)]]
            curves.plot(
                steps,
                values,
                color=_colour(one),
                linestyle=_dash(one),
                linewidth=1.6,
                label=one.family if first else None,
            )
        curves.set(
            xlabel="step of training",
            ylabel="loss on held-out dialogues (nats)",
            title="who holds the floor next, while training",
        )
        curves.legend(frameon=False, fontsize=8, ncols=2)
        for panel, name, words in (
            (
                losses,
                "loss",
                f"loss on the dialogues compared on (hollow: with {SHORT_PAST_S:g} s of past)",
            ),
            (aucs, "auc", "shift or hold, AUC 0.25 s into the silence"),
            (halves, "half_life_s", "half-life of connectivity (s), median over silences"),
        ):
            for place, family in enumerate(families):
                members = [one for one in measured if one.family == family]
                values = [getattr(one, name) for one in members]
                panel.plot(
                    [place] * len(values), values, "o", color=_colour(members[0]), markersize=7
                )
                panel.plot(
                    [place - 0.2, place + 0.2],
                    [np.mean(values)] * 2,
                    color=LIGHT.ink,
                    linewidth=1.5,
                )
                if name == "loss":
                    panel.plot(
                        [place] * len(values),
                        [one.loss_short for one in members],
                        "o",
                        markerfacecolor="none",
                        color=_colour(members[0]),
                        markersize=7,
                    )
            panel.set_xticks(range(len(families)), families)
            panel.set_title(words, fontsize=10)
        aucs.axhline(0.5, color=LIGHT.faint, linewidth=1, linestyle=":")
    return View(out, title, caption)


def describe(measured: Sequence[Measured], settings: TrainingSettings) -> str:
    """What the comparison shows, and how little two seeds can say."""
    families = list(dict.fromkeys(one.family for one in measured))
    by_family = {family: [one for one in measured if one.family == family] for family in families}
    seeds = sorted({one.seed for one in measured})
    sizes = [one.parameters for one in measured]
    heard_h = settings.steps * settings.batch_rows * settings.chunk_s / 3600
    words = (
        f"{len(measured)} networks of {min(sizes):,} to {max(sizes):,} parameters, {settings.steps} steps ({heard_h:.1f} h of dialogue heard) each, seeds "
        f"{', '.join(map(str, seeds))}; a dot is a network, a bar the mean of its family. "
    )
    for name, what, best, digits in (("loss", "loss", min, 3), ("auc", "AUC", max, 2)):
        means = {
            family: float(np.mean([getattr(one, name) for one in members]))
            for family, members in by_family.items()
        }
        winner = best(means, key=lambda family: means[family])
        ranges = [
            max(values) - min(values)
            for members in by_family.values()
            if len(values := [getattr(one, name) for one in members]) > 1
        ]
        spread = max(ranges) if ranges else float("nan")
        others = sorted(
            (abs(value - means[winner]) for family, value in means.items() if family != winner)
        )
        listed = ", ".join(f"{family} {value:.{digits}f}" for family, value in means.items())
        words += f"Mean {what}: {listed}. "
        if not ranges:
            words += "One seed of each cannot say which differences are luck. "
        elif others and others[0] > spread:
            words += f"{winner} is best by {others[0]:.{digits}f}, more than two seeds of one family differ (at most {spread:.{digits}f}). "
        else:
            words += f"{winner} is ahead, but two seeds of one family differ by up to {spread:.{digits}f}, so the nearest families cannot be told apart. "
    halves = ", ".join(
        f"{family} {np.mean([one.half_life_s for one in members]):.2f} s"
        for family, members in by_family.items()
    )
    saved = ", ".join(
        f"{family} {np.mean([one.loss_short - one.loss for one in members]):+.3f}"
        for family, members in by_family.items()
    )
    return (
        words
        + f"Half-life of connectivity, median over silences: {halves}. What hearing only the last {SHORT_PAST_S:g} s costs: {saved} nats."
    )


def write_comparison(measured: Sequence[Measured], path: Path) -> None:
    """A row for each network."""
    names = [field.name for field in dataclasses.fields(Measured) if field.name != "curve"]
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(names)
        rows.writerows([getattr(one, name) for name in names] for one in measured)


def _colour(one: Measured) -> str:
    return {"rnn": COLOURS["hold"], "gru": COLOURS["speaking"], "lstm": COLOURS["shift"]}[one.kind]


def _dash(one: Measured) -> str:
    return ("-", "--", ":", "-.")[(one.layers - 1) % 4]
