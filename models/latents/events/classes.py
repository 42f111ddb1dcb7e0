"""`turnstream latents classes`: where a network beats fixed-order baselines, by class of moment.

The network and logistic regressions that see only the last frames (memory/past.py) are asked 0.25 s
into every shift and hold. The log-odds of all are fitted on other dialogues than they are judged
on, the network's by an offset and a slope, so that none wins by being surer.

Source: the special functions in "Visualizing and understanding recurrent networks" (Karpathy,
Johnson, Fei-Fei 2016), section 4.3: which characters the LSTM predicts better than n-grams.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ...dialogues.activity import FRAME_RATE_HZ
from ...evaluation.measures import Estimate
from ...evaluation.shift_hold import SCORE_S
from .. import collect
from ..collection import Collection, Event
from ..drawing import listed
from ..memory import past
from ..memory.held_out import held_out_log_odds, is_fittable, log_loss
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
HEADER = ("class", "moments", "network", "baseline", "better", "better_low", "better_high")

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class ClassLoss:
    """The mean log-loss, in nats, at the moments of one class; `better` is the baseline's less the
    network's, with its interval over dialogues.
    """

    name: str
    count: int
    network: float
    baseline: float
    better: Estimate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents classes`."""
    collect.add_source_argument(parser)
    add_out(parser, "classes.png", csv="the figures as a table")
    collect.add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_files(args, ".png")
    with collect.opened_collection(args.source, args.model) as collection:
        model, name = collect.network_to_run(collection, args.model), collect.name_of(args.model)
        return shown(view_classes(collection, model, args.out, table=args.csv, name=name))


def view_classes(
    collection: Collection,
    model: TurnModel,
    out: Path,
    *,
    table: Path | None = None,
    name: str = "",
) -> View:
    """Draw where a network (its name: that of the collection's unless given) beats the best
    fixed-order baseline, over all moments, on dialogues whose sound is there.

    Raises:
        ConfigError: no shifts or no holds, or too few dialogues to fit on.
    """
    readings, events = silence_readings(collection)
    happened, number = readings.happened, readings.number
    if not is_fittable(happened, number):
        raise ConfigError(
            "expected two or more dialogues with shifts and holds, to fit baselines on some and to "
            f"judge on others, got {len(np.unique(number))}"
        )
    said = past.score_with_past(model, collection, readings, [past.ALL])[0]
    network = held_out_log_odds(said[:, None], happened, number)
    sound = past.recent_sound(model, collection, readings, past.FRAMES)
    baselines = {seen: past.fixed_order_baseline(sound, seen) for seen in past.FRAMES}
    best = min(baselines, key=lambda seen: log_loss(baselines[seen], happened).mean())
    found = compare_classes(find_classes(collection, events), network, baselines[best], readings)
    if table is not None:
        rows = ((*astuple(one)[:-1], *astuple(one.better)) for one in found)
        write_rows(table, HEADER, rows)
    figures = {one.name: _in_words(one.better) for one in found}
    title = f"Where {name or collection.about.model} beats a model of the last frames"
    caption = (
        f"Log-loss of {readings.counted}, {SCORE_S:g} s "
        "into the silence: the best logistic regression on the last frames "
        f"({best / FRAME_RATE_HZ:g} s of both speakers) less the network, each fitted on other "
        "dialogues, with 95 % intervals over dialogues; filled where the interval lies on one side "
        "of 0. Of shifts alone, holds alone and silences of one length a difference also says how "
        "often each expects a shift. "
        f"Nats by which the network is better:{listed(figures)} "
        f"{measure_quality(said, happened, number, readings.speaker).in_words()}"
    )
    with picture(out, title, caption, (9.0, 0.34 * len(found) + 1.2)) as panel:
        _draw(found, panel)
    return View(out, title, caption)


def find_classes(collection: Collection, events: Sequence[Event]) -> dict[str, Flags]:
    """Return which of some shifts and holds are of each class, by name; (E,) each."""

    def after(kind: str) -> list[bool]:
        near = [(event.number, event.end_s) for event in collection.events(kind)]
        return [
            any(n == e.number and 0 <= e.start_s - end_s <= NEAR_S for n, end_s in near)
            for e in events
        ]

    lengths = np.array([event.end_s - event.start_s for event in events])
    found: dict[str, Any] = {"all": [True] * len(events)}
    found |= {kind: [e.kind == kind for e in events] for kind in ("shift", "hold")}
    found |= {f"after a {end}": [e.ending == end for e in events] for end in ENDINGS[1:]}
    found |= {"after a backchannel": after("backchannel"), "after overlap": after("overlap")}
    found |= {f"silence under {SHORT_S:g} s": lengths < SHORT_S}
    found |= {f"silence over {LONG_S:g} s": lengths > LONG_S}
    labels = event_labels(collection, events)
    for label in collection.labels:
        values = np.array([one[label] for one in labels])
        found |= {f"{label}: {value}": values == value for value in np.unique(values) if value}
    classes = {name: np.asarray(flags, bool) for name, flags in found.items()}
    return {name: flags for name, flags in classes.items() if flags.sum() >= LEAST}


def compare_classes(
    classes: dict[str, Flags], network: Floats, baseline: Floats, readings: Readings
) -> list[ClassLoss]:
    """Compare the log-odds of a network and of a baseline, (E,) each, class by class."""
    found: list[ClassLoss] = []
    for name, some in classes.items():
        judged = past.judge(baseline[some], network[some], readings.only(some))
        loss, better = judged["loss"].value, judged["loss_gained"]
        found.append(ClassLoss(name, int(some.sum()), loss - better.value, loss, better))
    return found


def _in_words(found: Estimate) -> str:
    interval = "" if np.isnan(found.low) else f" ({found.low:+.3f} to {found.high:+.3f})"
    return f"{found.value:+.3f}{interval}"


def _draw(found: Sequence[ClassLoss], panel: Any) -> None:
    rows, better = range(len(found)), [one.better for one in found]
    sure = [each.low > 0 or each.high < 0 for each in better]
    faces, dots = [LIGHT.first if each else LIGHT.paper for each in sure], {"s": 36, "zorder": 3}
    low, high = [each.low for each in better], [each.high for each in better]
    panel.hlines(rows, low, high, color=LIGHT.ink, linewidth=1.2)
    panel.scatter([each.value for each in better], rows, c=faces, edgecolors=LIGHT.first, **dots)
    panel.axvline(0, color=LIGHT.faint, linewidth=1)
    panel.set_yticks(range(len(found)), [f"{one.name} ({one.count})" for one in found], fontsize=9)
    panel.set_ylim(len(found) - 0.5, -0.5)
    panel.set_xlabel("nats by which the network is better than the baseline", fontsize=9)
    panel.grid(visible=False, axis="y")
