"""`turnstream latents oracles`: which share of a network's shift/hold errors goes away with which
knowledge.

turnstream latents oracles MANIFEST --out oracles.png [--model RUN] [--json FILE.json]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...evaluation.measures import Estimate
from ...evaluation.shift_hold import SCORE_S
from ..collect import (
    add_model_argument,
    add_source_argument,
    name_of,
    network_to_run,
    opened_collection,
)
from ..collection import Collection
from ..drawing import listed
from ..options import RESUMED, add_out, check_files, shown
from ..parts import Parts, parts_beside
from ..quality import measure_quality
from ..tables import write_json
from ..views import LIGHT, View, picture
from .oracles import Asked, Errors, Oracle, ask, count_errors

if TYPE_CHECKING:
    from ...turn_model import TurnModel

MEASURES = {"balanced": "balanced error, %", "ranking": "1-AUC within speaker, %"}
ROW_IN = 0.34
HATCH = "////"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents oracles`."""
    add_source_argument(parser)
    add_out(parser, what=RESUMED, json="the numbers")
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_files(args, ".png")
    with opened_collection(args.source, args.model) as collection:
        model, name = network_to_run(collection, args.model), name_of(args.model)
        return shown(*view_oracles(collection, model, args.out, numbers=args.json, name=name))


def view_oracles(
    collection: Collection,
    model: TurnModel,
    out: Path,
    *,
    numbers: Path | None = None,
    name: str = "",
) -> list[View]:
    """Errors that go away, step by step and one by one.

    Args:
        collection: whose dialogues' sound is there.
        model: any network.
        out: .png; where only some of the dialogues have text, theirs are drawn into a second one,
            NAME.text.png.
        numbers: .json to write.
        name: of the network; that of the collection's unless given.
    Raises:
        ConfigError: no shifts or no holds.
    """
    views: list[View] = []
    table: dict[str, Any] = {}
    for words, asked in ask(model, collection, kept=out):
        path = out.with_name(f"{out.stem}.text{out.suffix}") if words else out
        together = count_all(asked.together, stepwise=True, asked=asked)
        alone = count_all(asked.alone, stepwise=False, asked=asked)
        title = f"What the shift/hold errors of {name or collection.about.model} are made of" + (
            f": {words}" if words else ""
        )
        readings = asked.readings
        quality = measure_quality(
            asked.alone[0].log_odds, readings.happened, readings.number, readings.speaker
        )
        caption = f"{describe(asked, together, alone, collection)} {quality.in_words()}"
        height = ROW_IN * (len(together) + len(alone)) + 1.4
        with picture(
            path,
            title,
            caption,
            (11.0, height),
            nrows=2,
            ncols=2,
            sharey="row",
            height_ratios=[len(together), len(alone)],
        ) as panels:
            for column, measure in enumerate(MEASURES):
                _draw_steps(asked.together, together, measure, panels[0][column])
                _draw_alone(asked.alone, alone, measure, panels[1][column])
        views.append(View(path, title, caption))
        kinds = {"step_by_step": (asked.together, together), "one_by_one": (asked.alone, alone)}
        table[words or "all dialogues"] = {
            "shifts": int(asked.readings.happened.sum()),
            "holds": int((~asked.readings.happened).sum()),
            "dialogues": len(np.unique(asked.readings.number)),
            "blind_balanced_error_with_counts_known": asked.guessing,
            **{
                kind: {
                    way.name: {"looks_ahead": way.ahead, **asdict(found)}
                    for way, found in zip(ways, errors, strict=True)
                }
                for kind, (ways, errors) in kinds.items()
            },
        }
    if numbers is not None:
        write_json(numbers, table)
    Parts(parts_beside(out), "").remove()
    return views


def count_all(ways: Sequence[Oracle], *, stepwise: bool, asked: Asked) -> list[Errors]:
    """Errors of ways to ask, each beside the one before it, or beside the first."""
    beside = [ways[0], *ways[:-1]] if stepwise else [ways[0]] * len(ways)
    return [
        count_errors(way.log_odds, other.log_odds, asked.readings)
        for way, other in zip(ways, beside, strict=True)
    ]


def describe(
    asked: Asked, together: Sequence[Errors], alone: Sequence[Errors], collection: Collection
) -> str:
    """Return what is seen: a sentence, and the figures."""
    readings, network = asked.readings, alone[0]
    several = len(np.unique(readings.number)) > 1
    figures = {
        "the network": f"{network.missed} shifts for holds and {network.false} holds for shifts, "
        f"balanced error {_percent(network.balanced)}, 1-AUC within dialogue and speaker "
        f"{_percent(network.ranking)}"
    }
    for way, errors in zip(asked.alone[1:], alone[1:], strict=True):
        ahead = ", looks ahead" if way.ahead else ""
        sure = "" if _measurable(errors.balanced_less) or not several else ", not measurable"
        figures[way.name] = (
            f"{-100 * errors.balanced_less.value + 0.0:+.1f} points{sure} ({errors.mended} mended, "
            f"{errors.spoiled} spoiled{ahead})"
        )
    if several:
        last = max(place for place, way in enumerate(asked.together) if not way.ahead)
        first, final = asked.together[0], asked.together[last]
        gone = count_errors(final.log_odds, first.log_odds, readings).share_less
        figures[f"step by step, from “{first.name}” to “{final.name}”"] = (
            f"{_percent(gone)} of the balanced error goes away, "
            f"{_percent(together[last].balanced)} remains"
        )
        blind = "blind guesses that know how many are shifts, to compare that bound with"
        figures[blind] = f"{100 * asked.guessing:.0f} %"
    known = any("words" in way.name for way in asked.alone)
    lacking = "" if known or not asked.fittable else _lacking_words(collection)
    if not asked.fittable:
        lacking = (
            "the dialogues that some would be fitted on have only shifts or only holds"
            if several
            else "one dialogue leaves none to fit on"
        )
    figures["left out"] = lacking
    sources = {collection.dialogues[int(number)].activity_from for number in readings.number}
    return (
        f"{readings.counted}, read {SCORE_S:g} s into the silence. Given are points of balanced "
        "error against the network, of each way to ask alone. “True” voice activity is from: "
        f"{', '.join(sorted(sources))}. Regressions are judged on dialogues that they were not "
        f"fitted on. {listed(figures)}"
    )


def _lacking_words(collection: Collection) -> str:
    some = any(event.ending for event in collection.events("shift", "hold"))
    return "words, known of only some of the dialogues" if some else "words, which nobody knows"


def _measurable(difference: Estimate) -> bool:
    return difference.low > 0 or difference.high < 0


def _percent(found: Estimate) -> str:
    if math.isnan(found.value):
        return "unknown"
    return f"{100 * found.value:.0f} %" + (
        "" if math.isnan(found.low) else f" ({100 * found.low:.0f} to {100 * found.high:.0f})"
    )


def _draw_steps(ways: Sequence[Oracle], errors: Sequence[Errors], measure: str, panel: Any) -> None:
    """What remains after each step, and what the step took away (or added)."""
    values = [100 * getattr(found, measure).value for found in errors]
    for row, (way, found, value) in enumerate(zip(ways, errors, values, strict=True)):
        if math.isnan(value):
            continue
        before = values[row - 1] if row else value
        panel.barh(
            row,
            min(value, before),
            color=LIGHT.first,
            height=0.68,
            alpha=0.55 if way.ahead else 1.0,
        )
        if before > value:
            panel.barh(
                row,
                before - value,
                left=value,
                color="none",
                edgecolor=LIGHT.third,
                hatch=HATCH,
                linewidth=0.8,
                height=0.68,
            )
        elif value > before:
            panel.barh(row, value - before, left=before, color=LIGHT.second, height=0.68)
        _whisker(getattr(found, measure), row, panel)
        _number(value, getattr(found, measure), row, panel)
    panel.set_title(
        f"step by step: {MEASURES[measure]} (hatched: gone, orange: added)",
        fontsize=9,
        color=LIGHT.ink,
    )
    _rows(ways, [*values, *(100 * getattr(found, measure).high for found in errors)], panel)


def _draw_alone(ways: Sequence[Oracle], errors: Sequence[Errors], measure: str, panel: Any) -> None:
    """The error with one thing changed, against the network's own."""
    network = 100 * getattr(errors[0], measure).value
    if not math.isnan(network):
        panel.axvline(network, color=LIGHT.ink, linewidth=1, linestyle=":")
    values = [100 * getattr(found, measure).value for found in errors]
    for row, (way, found, value) in enumerate(zip(ways, errors, values, strict=True)):
        if math.isnan(value):
            continue
        measurable = _measurable(getattr(found, f"{measure}_less"))
        panel.plot(
            [network, value],
            [row, row],
            color=LIGHT.faint,
            linewidth=3,
            alpha=0.5,
            solid_capstyle="butt",
        )
        _whisker(getattr(found, measure), row, panel)
        face = LIGHT.first if measurable or not row else LIGHT.paper
        panel.plot(
            value,
            row,
            "D" if way.ahead else "o",
            color=LIGHT.first,
            markerfacecolor=face,
            markersize=7,
            zorder=3,
        )
        panel.annotate(
            f"{value:.1f}",
            (value, row),
            xytext=(0, 4.5),
            textcoords="offset points",
            fontsize=7.5,
            ha="center",
            color=LIGHT.ink,
        )
    panel.set_title(
        f"one by one: {MEASURES[measure]} (filled: measurably another)", fontsize=9, color=LIGHT.ink
    )
    _rows(ways, [*values, *(100 * getattr(found, measure).high for found in errors)], panel)


def _whisker(found: Estimate, row: int, panel: Any) -> None:
    if not math.isnan(found.low):
        panel.plot(
            [100 * found.low, 100 * found.high],
            [row, row],
            color=LIGHT.ink,
            linewidth=1.2,
            zorder=2,
        )


def _number(value: float, found: Estimate, row: int, panel: Any) -> None:
    from matplotlib.patheffects import Normal, Stroke

    right = value if math.isnan(found.high) else max(value, 100 * found.high)
    readable = [Stroke(linewidth=2.5, foreground=LIGHT.paper), Normal()]
    panel.annotate(
        f"{value:.1f}",
        (right, row),
        (5, 0),
        textcoords="offset points",
        fontsize=8,
        va="center",
        color=LIGHT.ink,
        path_effects=readable,
    )


def _rows(ways: Sequence[Oracle], reached: Sequence[float], panel: Any) -> None:
    panel.set_yticks(
        range(len(ways)), [way.name + (" (looks ahead)" if way.ahead else "") for way in ways]
    )
    panel.tick_params(axis="y", labelsize=8)
    panel.set_ylim(len(ways) - 0.4, -0.6)
    panel.set_xlim(0, 1.12 * max(value for value in [*reached, 5.0] if math.isfinite(value)))
    panel.grid(visible=False, axis="y")
