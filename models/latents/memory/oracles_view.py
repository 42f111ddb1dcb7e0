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
from typing import Any

import numpy as np

from ...evaluation.measures import Estimate
from ...evaluation.shift_hold import SCORE_S
from ...turn_model import TurnModel
from ..collect import (
    add_model_argument,
    add_source_argument,
    name_of,
    network_to_run,
    opened_collection,
)
from ..collection import Collection
from ..options import RESUMED, add_out, check_files, shown
from ..parts import Parts, parts_beside
from ..quality import measure_quality
from ..tables import write_json
from ..views import LIGHT, View, picture
from .oracles import Asked, Errors, Oracle, ask, count_errors

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
    """What is seen, in words."""
    readings, network = asked.readings, alone[0]
    shifts, dialogues = int(readings.happened.sum()), len(np.unique(readings.number))
    words = [
        f"{shifts} shifts and {len(readings) - shifts} holds of {dialogues} "
        f"dialogue{'s' * (dialogues > 1)}, read {SCORE_S:g} s into the silence.",
        f"The network takes {network.missed} shifts for holds and {network.false} holds for "
        f"shifts: balanced error {_percent(network.balanced)}, "
        f"1-AUC within dialogue and speaker {_percent(network.ranking)}.",
    ]
    found: dict[bool, list[str]] = {True: [], False: []}
    for way, errors in zip(asked.alone[1:], alone[1:], strict=True):
        counted = (
            f"{errors.mended} mended, {errors.spoiled} "
            f"spoiled{', looks ahead' if way.ahead else ''}"
        )
        found[_measurable(errors.balanced_less)].append(
            f"{way.name} {-100 * errors.balanced_less.value + 0.0:+.1f} ({counted})"
        )
    words.append("Points of balanced error against the network, each alone,")
    if dialogues < 2:
        words.append(
            f"without intervals: {'; '.join(found[False])}. One dialogue leaves none to fit "
            "oracles on, so only what the network hears is varied."
        )
        return " ".join(words)
    words.append(
        "; ".join(
            [f"measurable: {'; '.join(found[True])}"] * bool(found[True])
            + [f"not measurable: {'; '.join(found[False])}"] * bool(found[False])
        )
        + "."
    )
    last = max(place for place, way in enumerate(asked.together) if not way.ahead)
    gone = count_errors(
        asked.together[last].log_odds, asked.together[0].log_odds, readings
    ).share_less
    words.append(
        f"Step by step, from “{asked.together[0].name}” to “{asked.together[last].name}”, "
        f"{_percent(gone)} of the balanced error goes away"
        f"{'' if _measurable(gone) else ', which is not measurable'}; "
        f"{_percent(together[last].balanced)} remains."
    )
    words.append(
        f"Who knows how many are shifts and guesses blindly has {100 * asked.guessing:.0f} %, so "
        "that bound is to be compared with this, not with 50 %."
    )
    if not asked.fittable:
        words.append(
            "Oracles that need fitting are left out: the dialogues that some would be fitted on "
            "have only shifts or only holds."
        )
        return " ".join(words)
    sources = sorted(
        {collection.dialogues[int(number)].activity_from for number in np.unique(readings.number)}
    )
    words.append(
        f"“True” voice activity is from: {', '.join(sources)}. Regressions are judged on "
        "dialogues that they were not fitted on."
    )
    if not any("words" in way.name for way in asked.alone):
        some = any(event.ending for event in collection.events("shift", "hold"))
        words.append(
            "Words are known of only some of the dialogues, so they are left out."
            if some
            else "Words are not known here."
        )
    return " ".join(words)


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
