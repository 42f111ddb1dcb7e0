"""`turnstream latents oracles`: which share of the shift/hold errors goes with which knowledge."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...evaluation.measures import Estimate
from ...evaluation.shift_hold import SCORE_S
from .. import collect
from ..collection import Collection
from ..drawing import heading, listed
from ..options import RESUMED, add_out, check_files, shown
from ..parts import Parts, parts_beside
from ..quality import measure_quality
from ..tables import write_json
from ..views import LIGHT, View, picture
from .drawing import in_words, readable
from .held_out import is_fittable
from .oracles import Asked, Oracle, ask, blind_error, count_errors

if TYPE_CHECKING:
    from ...turn_model import TurnModel

MEASURES = {"balanced": "balanced error, %", "ranking": "1-AUC within speaker, %"}
ROW_IN = 0.34


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents oracles`."""
    collect.add_source_argument(parser)
    add_out(parser, what=RESUMED, json="the numbers")
    collect.add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_files(args, ".png")
    with collect.opened_collection(args.source, args.model) as collection:
        model, name = collect.network_to_run(collection, args.model), collect.name_of(args.model)
        return shown(*view_oracles(collection, model, args.out, numbers=args.json, name=name))


def view_oracles(
    collection: Collection,
    model: TurnModel,
    out: Path,
    *,
    numbers: Path | None = None,
    name: str = "",
) -> list[View]:
    """Draw the errors that go away (`oracles.ask`), and write the `numbers`, .json.

    Where only some of the dialogues have text, theirs are drawn into a second one, NAME.text.png.
    """
    views: list[View] = []
    table: dict[str, Any] = {}
    title = f"What the shift/hold errors of {name or collection.about.model} are made of"
    for words, asked in ask(model, collection, kept=out):
        path = out.with_name(f"{out.stem}.text{out.suffix}") if words else out
        view = View(path, f"{title}: {words}" if words else title, describe(asked, collection))
        views.append(view)
        ways, shifts = (asked.together, asked.alone), int(asked.readings.happened.sum())
        rows = [len(oracles) for oracles in ways]
        grid = {"nrows": 2, "ncols": 2, "sharey": "row", "height_ratios": rows}
        size = (11.0, ROW_IN * sum(rows) + 1.4)
        with picture(path, view.title, view.caption, size, **grid) as (upper, lower):
            for column, measure in enumerate(MEASURES):
                _draw_steps(asked.together, measure, upper[column])
                _draw_alone(asked.alone, measure, lower[column])
        table[words or "all dialogues"] = {
            "shifts": shifts,
            "holds": len(asked.readings) - shifts,
            "dialogues": asked.readings.dialogues,
            "blind_balanced_error_with_counts_known": blind_error(asked.readings),
        } | {
            kind: {way.name: {"looks_ahead": way.ahead, **asdict(way.errors)} for way in oracles}
            for kind, oracles in zip(("step_by_step", "one_by_one"), ways, strict=True)
        }
    if numbers is not None:
        write_json(numbers, table)
    Parts(parts_beside(out), "").remove()
    return views


def describe(asked: Asked, collection: Collection) -> str:
    """Return what is seen: a sentence, and the figures."""
    readings, network = asked.readings, asked.alone[0].errors
    several, together = readings.dialogues > 1, asked.together
    figures = {
        "the network": f"{network.missed} shifts for holds and {network.false} holds for shifts, "
        f"balanced error {in_words(network.balanced, '.0%')}, 1-AUC within dialogue and speaker "
        f"{in_words(network.ranking, '.0%')}"
    }
    for way in asked.alone[1:]:
        errors = way.errors
        sure = "" if _measurable(errors.balanced_less) or not several else ", not measurable"
        figures[way.name] = (
            f"{-100 * errors.balanced_less.value + 0.0:+.1f} points{sure} ({errors.mended} mended, "
            f"{errors.spoiled} spoiled{', looks ahead' * way.ahead})"
        )
    if several:
        first, last = together[0], [way for way in together if not way.ahead][-1]
        gone = count_errors(last.log_odds, first.log_odds, readings)
        figures[f"step by step, from “{first.name}” to “{last.name}”"] = (
            f"{in_words(gone.share_less, '.0%')} of the balanced error goes away, "
            f"{in_words(gone.balanced, '.0%')} remains"
        )
        blind = "blind guesses that know how many are shifts, to compare that bound with"
        figures[blind] = f"{blind_error(readings):.0%}"
    if not is_fittable(readings.happened, readings.number):
        figures["left out"] = (
            "the dialogues that some would be fitted on have only shifts or only holds"
            if several
            else "one dialogue leaves none to fit on"
        )
    elif not any("words" in way.name for way in asked.alone):
        some = any(event.ending for event in collection.events("shift", "hold"))
        lacking = "known of only some of the dialogues" if some else "which nobody knows"
        figures["left out"] = f"words, {lacking}"
    sources = {collection.dialogues[int(number)].activity_from for number in readings.number}
    quality = measure_quality(asked.alone[0].log_odds, *readings.asked).in_words()
    return (
        f"{readings.counted}, read {SCORE_S:g} s into the silence. Given are points of balanced "
        "error against the network, of each way to ask alone. “True” voice activity is from: "
        f"{', '.join(sorted(sources))}. Regressions are judged on dialogues that they were not "
        f"fitted on. {listed(figures)} {quality}"
    )


def _measurable(difference: Estimate) -> bool:
    return difference.low > 0 or difference.high < 0


def _draw_steps(ways: Sequence[Oracle], measure: str, panel: Any) -> None:
    """What remains after each step, and what the step took away (or added)."""
    from matplotlib.colors import to_rgba

    values, rows, high = _rows(ways, measure, panel)
    before = np.array([values[0], *values[:-1]])
    gone, added, thick = before > values, values > before, {"height": 0.68}
    colours = [to_rgba(LIGHT.first, 0.55 if way.ahead else 1.0) for way in ways]
    panel.barh(rows, np.fmin(values, before), color=colours, **thick)
    more, less = (values - before)[added], (before - values)[gone]
    panel.barh(rows[added], more, left=before[added], color=LIGHT.second, **thick)
    hatched = {"color": "none", "edgecolor": LIGHT.third, "hatch": "////", "linewidth": 0.8}
    panel.barh(rows[gone], less, left=values[gone], **hatched, **thick)
    reached = np.fmax(values, high)
    look = {"textcoords": "offset points", "fontsize": 8, "va": "center", "color": LIGHT.ink}
    look["path_effects"] = readable()
    for row, value in enumerate(values):
        if np.isfinite(value):
            panel.annotate(f"{value:.1f}", (reached[row], row), (5, 0), **look)
    heading(panel, f"step by step: {MEASURES[measure]} (hatched: gone, orange: added)", 9)


def _draw_alone(ways: Sequence[Oracle], measure: str, panel: Any) -> None:
    """The error with one thing changed, against the network's own."""
    values, rows, _ = _rows(ways, measure, panel)
    panel.axvline(values[0], color=LIGHT.ink, linewidth=1, linestyle=":")
    panel.hlines(rows, values[0], values, color=LIGHT.faint, linewidth=3, alpha=0.5)
    look = {"textcoords": "offset points", "fontsize": 7.5, "ha": "center", "color": LIGHT.ink}
    for row, (way, value) in enumerate(zip(ways, values, strict=True)):
        sure = not row or _measurable(getattr(way.errors, f"{measure}_less"))
        marker, face = "D" if way.ahead else "o", LIGHT.first if sure else LIGHT.paper
        dot = {"color": LIGHT.first, "markerfacecolor": face, "markersize": 7, "zorder": 3}
        panel.plot(value, row, marker, **dot)
        if np.isfinite(value):
            panel.annotate(f"{value:.1f}", (value, row), (0, 4.5), **look)
    heading(panel, f"one by one: {MEASURES[measure]} (filled: measurably another)", 9)


def _rows(ways: Sequence[Oracle], measure: str, panel: Any) -> tuple[Any, Any, Any]:
    """Give each way a row of a panel, with its interval; return values in %, rows and its ends."""
    found = [astuple(getattr(way.errors, measure)) for way in ways]
    values, low, high = 100 * np.array(found).T
    rows = np.arange(len(ways))
    panel.hlines(rows, low, high, color=LIGHT.ink, linewidth=1.2, zorder=2)
    panel.set_yticks(rows, [way.name + " (looks ahead)" * way.ahead for way in ways])
    panel.tick_params(axis="y", labelsize=8)
    panel.set_ylim(len(ways) - 0.4, -0.6)
    panel.set_xlim(0, 1.12 * np.nanmax([*values, *high, 5.0]))
    panel.grid(visible=False, axis="y")
    return values, rows, high
