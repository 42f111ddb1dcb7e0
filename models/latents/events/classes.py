"""`turnstream latents classes`: where a network beats fixed-order baselines, by class of moment.

turnstream latents classes SOURCE --out classes.png [--csv FILE.csv] [--model RUN]

The network and logistic regressions that see only the last frames (memory/past.py) are asked 0.25 s
into every shift and hold. The log-odds of all are fitted on other dialogues than they are judged
on, the network's by an offset and a slope, so that none wins by being surer. Of each class of
moments, the log-loss of the baseline that is best over all moments is compared with the network's.
Every label of one's own makes classes, too.

Source: the special functions in "Visualizing and understanding recurrent networks" (Karpathy,
Johnson, Fei-Fei 2016), section 4.3: which characters the LSTM predicts better than n-grams.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ...dialogues.activity import FRAME_RATE_HZ
from ...evaluation.measures import Estimate, consecutive, estimate, sums_by_dialogue
from ...evaluation.shift_hold import SCORE_S
from ..collect import (
    add_model_argument,
    add_source_argument,
    name_of,
    network_to_run,
    opened_collection,
)
from ..collection import Collection, Event
from ..memory.held_out import held_out_log_odds, is_fittable, log_loss
from ..memory.past import ALL, FRAMES, fixed_order_baseline, recent_sound, score_with_past
from ..memory.readings import Readings, silence_readings
from ..moments import ENDINGS
from ..options import add_out, check_files, shown
from ..quality import measure_quality
from ..tables import write_rows
from ..views import LIGHT, View, picture
from .label_contrasts import event_labels

if TYPE_CHECKING:
    from ...turn_model import TurnModel

LEAST = 5  # moments of a class, for a figure
NEAR_S = 2.0  # before a silence, in which a backchannel or an overlap counts
SHORT_S, LONG_S = 0.5, 1.0  # of silences

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class ClassLoss:
    """The mean log-loss, in nats, at the moments of one class.

    Attributes:
        name: of the class.
        count: of moments.
        network, baseline: mean log-loss.
        better: the baseline's less the network's, with its interval over dialogues.
    """

    name: str
    count: int
    network: float
    baseline: float
    better: Estimate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents classes`."""
    add_source_argument(parser)
    add_out(parser, "classes.png", csv="the figures as a table")
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_files(args, ".png")
    with opened_collection(args.source, args.model) as collection:
        model, name = network_to_run(collection, args.model), name_of(args.model)
        return shown(view_classes(collection, model, args.out, table=args.csv, name=name))


def view_classes(
    collection: Collection,
    model: TurnModel,
    out: Path,
    *,
    table: Path | None = None,
    frames: Sequence[int] = FRAMES,
    name: str = "",
) -> View:
    """Draw where the network beats the best fixed-order baseline.

    Args:
        collection: of dialogues whose sound is there.
        model: any network.
        out: .png.
        table: .csv to write.
        frames: that the baselines see.
        name: of the network; that of the collection's unless given.
    Raises:
        ConfigError: no shifts or no holds, or too few dialogues to fit on.
    """
    readings, events = silence_readings(collection)
    if not is_fittable(readings.happened, readings.number):
        raise ConfigError(
            "expected two or more dialogues with shifts and holds, to fit baselines on some and to "
            f"judge on others, got {len(np.unique(readings.number))}"
        )
    said = score_with_past(model, collection, readings, [ALL])[0]
    fitted = held_out_log_odds(said[:, None], readings.happened, readings.number)
    sound = recent_sound(model, collection, readings, frames)
    baselines = {seen: fixed_order_baseline(sound, seen) for seen in frames}
    losses = {seen: log_loss(each, readings.happened) for seen, each in baselines.items()}
    best = min(losses, key=lambda seen: losses[seen].mean())
    classes = find_classes(collection, events)
    found = compare_classes(classes, log_loss(fitted, readings.happened), losses[best], readings)
    if table is not None:
        header = ("class", "moments", "network", "baseline", "better", "better_low", "better_high")
        rows = [(*list(vars(one).values())[:-1], *vars(one.better).values()) for one in found]
        write_rows(table, header, rows)
    quality = measure_quality(said, readings.happened, readings.number, readings.speaker)
    title = f"Where {name or collection.about.model} beats a model of the last frames"
    caption = (
        f"Log-loss of {len(readings)} shifts and holds of {len(np.unique(readings.number))} "
        f"dialogues, {SCORE_S:g} s into the silence: the best logistic regression on the last "
        f"frames ({best / FRAME_RATE_HZ:g} s of both speakers) less the network, each fitted on "
        "other dialogues, with 95 % intervals over dialogues; filled where the interval lies on "
        "one side of 0. Of shifts alone, holds alone and silences of one length a difference also "
        f"says how often each expects a shift. {_in_words(found)} {quality.in_words()}"
    )
    with picture(out, title, caption, (9.0, 0.34 * len(found) + 1.2)) as panel:
        _draw(found, panel)
    return View(out, title, caption)


def find_classes(collection: Collection, events: Sequence[Event]) -> dict[str, Flags]:
    """Return which of some shifts and holds are of each class, by name; (E,) each."""
    near = {
        kind: [(event.number, event.end_s) for event in collection.events(kind)]
        for kind in ("backchannel", "overlap")
    }

    def follows(event: Event, kind: str) -> bool:
        return any(
            number == event.number and 0 <= event.start_s - end_s <= NEAR_S
            for number, end_s in near[kind]
        )

    lengths = np.array([event.end_s - event.start_s for event in events])
    found = {
        "all": np.ones(len(events), bool),
        **{kind: np.array([e.kind == kind for e in events]) for kind in ("shift", "hold")},
        **{
            f"after a {ending}": np.array([e.ending == ending for e in events])
            for ending in ENDINGS[1:]
        },
        "after a backchannel": np.array([follows(event, "backchannel") for event in events]),
        "after overlap": np.array([follows(event, "overlap") for event in events]),
        f"silence under {SHORT_S:g} s": lengths < SHORT_S,
        f"silence over {LONG_S:g} s": lengths > LONG_S,
    }
    labels = event_labels(collection, events)
    for label in collection.labels:
        values = np.array([one[label] for one in labels])
        found |= {f"{label}: {value}": values == value for value in np.unique(values) if value}
    return {name: flags for name, flags in found.items() if flags.sum() >= LEAST}


def compare_classes(
    classes: dict[str, Flags], network: Floats, baseline: Floats, readings: Readings
) -> list[ClassLoss]:
    """Compare the log-loss of the network and of a baseline, (E,) each, class by class."""
    found: list[ClassLoss] = []
    for name, flags in classes.items():
        numbers, dialogues = consecutive(readings.number[flags])
        differences = baseline[flags] - network[flags]
        columns = np.stack([differences, np.ones(len(numbers))], axis=1)
        sums = sums_by_dialogue(columns, numbers, dialogues)

        def better(weights: Floats, sums: Floats = sums) -> Floats:
            summed = weights @ sums
            return summed[:, 0] / summed[:, 1]

        found.append(
            ClassLoss(
                name,
                int(flags.sum()),
                float(network[flags].mean()),
                float(baseline[flags].mean()),
                estimate(better, dialogues),
            )
        )
    return found


def _in_words(found: Sequence[ClassLoss]) -> str:
    figures = [
        f"{one.name} {one.better.value:+.3f}"
        + f" ({one.better.low:+.3f} to {one.better.high:+.3f})"
        * bool(one.better.low == one.better.low)
        for one in found
    ]
    return f"Nats by which the network is better: {'; '.join(figures)}."


def _draw(found: Sequence[ClassLoss], panel: Any) -> None:
    for row, one in enumerate(found):
        sure = one.better.low > 0 or one.better.high < 0
        panel.plot([one.better.low, one.better.high], [row, row], color=LIGHT.ink, linewidth=1.2)
        face = LIGHT.first if sure else LIGHT.paper
        panel.plot(one.better.value, row, "o", color=LIGHT.first, markerfacecolor=face)
    panel.axvline(0, color=LIGHT.faint, linewidth=1)
    panel.set_yticks(range(len(found)), [f"{one.name} ({one.count})" for one in found], fontsize=9)
    panel.set_ylim(len(found) - 0.5, -0.5)
    panel.set_xlabel("nats by which the network is better than the baseline", fontsize=9)
    panel.grid(visible=False, axis="y")
