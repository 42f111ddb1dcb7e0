"""`turnstream latents past`: how much of the past a network needs, against models that can see only
so far back.

turnstream latents past MANIFEST --out past.png [--model RUN] [--csv FILE.csv] [--fit SOURCE]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....stream.errors import ConfigError
from ...dialogues.activity import FRAME_RATE_HZ
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
from ..drawing import heading, line_with_band, listed, many
from ..options import RESUMED, add_out, check_files, option, shown
from ..parts import Parts, parts_beside
from ..quality import counted_log_odds, measure_quality, ranged
from ..tables import write_rows
from ..views import LIGHT, View, legend_below, picture
from .held_out import is_fittable
from .past import (
    ALL,
    FRAMES,
    PASTS_S,
    Quality,
    enough_past,
    fixed_order_baseline,
    judge,
    recent_sound,
    score_with_past,
)
from .readings import Readings, decisive_readings, silence_readings

if TYPE_CHECKING:
    from ...turn_model import TurnModel

MOMENTS = 200
NETWORK, BASELINE, COUNTING = "network", "fixed-order baseline", "counting this speaker's shifts"
HOLDER = "network, next holder at drawn moments"
TITLES = {
    "auc": "AUC of shifts against holds, within dialogue and speaker",
    "loss": "log-loss, nats",
}
NOTHING = Estimate(math.nan, math.nan, math.nan)
CLOSE_AUC = 0.01


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        system: NETWORK, BASELINE or COUNTING.
        past_s: how much was heard; 0 of a baseline: the share of shifts. COUNTING hears nothing.
        quality: at shifts and holds.
        holder: log-loss at moments drawn from all that matter, and by how much it is more than with
            all the past; None for baselines.
    """

    system: str
    past_s: float
    quality: Quality
    holder: tuple[Estimate, Estimate] | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents past`."""
    add_source_argument(parser)
    add_out(parser, what=RESUMED, csv="the figures as a table")
    what = (
        "other dialogues to fit the baselines on: collection, manifest or audio file (default: "
        "each "
        "on the other dialogues of SOURCE)"
    )
    parser.add_argument("--fit", type=Path, metavar="SOURCE", help=what)
    what = "draw N moments for the loss of the next holder, 0 none"
    option(parser, "--moments N", what, MOMENTS)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_files(args, ".png")
    if args.moments < 0:
        raise ConfigError(f"expected --moments >= 0, got {args.moments}")
    with ExitStack() as opened:
        collection = opened.enter_context(opened_collection(args.source, args.model))
        model, fit = network_to_run(collection, args.model), None
        if args.fit is not None:
            fit = opened.enter_context(opened_collection(args.fit, args.model))
        given = {"table": args.csv, "fit": fit, "moments": args.moments}
        return shown(view_past(collection, model, args.out, name=name_of(args.model), **given))


def view_past(
    collection: Collection,
    model: TurnModel,
    out: Path,
    *,
    table: Path | None = None,
    fit: Collection | None = None,
    pasts_s: Sequence[float] = PASTS_S,
    frames: Sequence[int] = FRAMES,
    moments: int = MOMENTS,
    name: str = "",
) -> View:
    """Quality against the amount of past.

    Args:
        collection: whose dialogues' sound is there.
        model: any network.
        out: .png; parts are kept beside it while the work lasts.
        table: .csv to write.
        fit: dialogues to fit the baselines on; else each is fitted on the collection's other
            dialogues, and left out if these lack a kind.
        pasts_s: rising, ALL last.
        frames: of the baselines.
        moments: drawn for the loss of the next holder.
        name: of the network; that of the collection's unless given.
    Raises:
        ConfigError: no shifts or no holds.
    """
    silences, _ = silence_readings(collection)
    drawn = decisive_readings(collection, moments) if moments else None
    said = score_with_past(model, collection, silences, pasts_s, kept=out)
    holder: list[Quality | None] = [None] * len(pasts_s)
    if drawn is not None:
        at_moments = score_with_past(
            model, collection, drawn, pasts_s, kept=out.with_suffix(".moments")
        )
        holder = [judge(row, at_moments[-1], drawn) for row in at_moments]
    rows = [
        Row(
            NETWORK,
            past_s,
            judge(row, said[-1], silences),
            None if found is None else (found.loss, found.loss_gained),
        )
        for past_s, row, found in zip(pasts_s, said, holder, strict=True)
    ]
    if fit is not None or is_fittable(silences.happened, silences.number):
        sound = recent_sound(model, collection, silences, frames)
        fit_on = None if fit is None else recent_sound(model, fit, silence_readings(fit)[0], frames)
        for seen in (0, *frames):
            quality = judge(fixed_order_baseline(sound, seen, fit_on), said[-1], silences)
            if (
                not seen
            ):  # a share that is the same for all of a dialogue's silences ranks none of them
                quality = replace(quality, auc=NOTHING, auc_lost=NOTHING)
            rows.append(Row(BASELINE, seen / FRAME_RATE_HZ, quality, None))
    asked = (silences.happened, silences.number, silences.speaker)
    rows.append(Row(COUNTING, 0.0, judge(counted_log_odds(*asked), said[-1], silences), None))
    title = f"How much past {name or collection.about.model} needs"
    caption = (
        f"{describe(rows, silences, 0 if drawn is None else len(drawn), fit)} "
        f"{measure_quality(said[-1], *asked).in_words()}"
    )
    with picture(out, title, caption, (11.0, 4.2), ncols=2) as panels:
        _draw(rows, panels)
    if table is not None:
        _write(rows, table)
    for kept in (out, out.with_suffix(".moments")):
        Parts(parts_beside(kept), "").remove()
    return View(out, title, caption)


def describe(rows: Sequence[Row], silences: Readings, moments: int, fit: Collection | None) -> str:
    """Return what is seen: a sentence, and the figures."""
    network = [row for row in rows if row.system == NETWORK]
    baselines = [row for row in rows if row.system == BASELINE and row.past_s]
    holders = [row.holder for row in network if row.holder is not None]
    pasts_s = [row.past_s for row in network]
    first, last = network[0].quality, network[-1].quality
    several = len(np.unique(silences.number)) > 1
    figures = {
        f"AUC within dialogue and speaker with {pasts_s[0]:g} s and with all the past": (
            f"{ranged(first.auc)} and {ranged(last.auc)}"
        ),
        "log-loss with them": f"{first.loss.value:.2f} and {last.loss.value:.2f} nats",
        f"AUC within {CLOSE_AUC:g} of the last": _close(network),
    }
    if holders:
        losses = " and ".join(f"{holders[end][0].value:.2f}" for end in (0, -1))
        figures[f"loss of the next holder at {moments} moments, with them"] = f"{losses} nats"
    enough = {
        "AUC": [row.quality.auc_lost for row in network],
        "log-loss": [row.quality.loss_gained for row in network],
        "next holder": [more for _, more in holders],
    }
    if several:
        figures["past that makes no measurable difference to all of it (paired)"] = ", ".join(
            f"{what} {_enough(pasts_s, worse)}" for what, worse in enough.items() if worse
        )
    if baselines:
        best = max(baselines, key=lambda row: row.quality.auc.value)
        on = "the other dialogues" if fit is None else many(len(fit.dialogues), "other dialogue")
        figures[f"best logistic regression on the last frames alone, fitted on {on} (dashed)"] = (
            f"AUC {ranged(best.quality.auc)} with {best.past_s:g} s, {_less(best.quality.auc_lost)}"
            f", log-loss {best.quality.loss.value:.2f} nats"
        )
    else:
        figures["left out"] = (
            "fixed-order baselines: the dialogues that some would be fitted on have only shifts or "
            "only holds"
            if several
            else "intervals and fixed-order baselines, which one dialogue does not give"
        )
    return (
        f"{silences.counted}, read {SCORE_S:g} s into the silence by a network that starts from "
        "nothing so long before (solid), with 95 % intervals over dialogues where there are "
        f"several. {listed(figures)}"
    )


def _close(network: Sequence[Row]) -> str:
    """From which past on the AUC is close to that with all of it."""
    if math.isnan(network[-1].quality.auc.value):
        return ""
    near = [abs(row.quality.auc_lost.value) <= CLOSE_AUC for row in network]
    close = next(row.past_s for place, row in enumerate(network) if all(near[place:]))
    return f"not with {network[-2].past_s:g} s" if close == ALL else f"from {close:g} s on"


def _less(lost: Estimate) -> str:
    """How a baseline's AUC compares with the network's."""
    if lost.low > 0:
        return "less than the network"
    return "more than it" if lost.high < 0 else "not measurably different from the network"


def _enough(pasts_s: Sequence[float], worse: Sequence[Estimate]) -> str:
    enough = enough_past(pasts_s, worse)
    if enough is None:
        return "unknown"
    return f"more than {pasts_s[-2]:g} s" if enough == ALL else f"{enough:g} s and more"


def _draw(rows: Sequence[Row], panels: Any) -> None:
    """AUC and log-loss against the past on a logarithmic axis; all the past stands at its end."""
    longest = max(row.past_s for row in rows if row.past_s != ALL)
    looks: dict[str, tuple[str, Any, str]] = {
        NETWORK: (LIGHT.first, "-", "o"),
        BASELINE: (LIGHT.second, (0, (5, 1.5)), "s"),
        HOLDER: (LIGHT.third, (0, (1, 1)), "^"),
    }
    for panel, measure in zip(panels, ("auc", "loss"), strict=True):
        lines = {
            system: [
                (row.past_s, getattr(row.quality, measure))
                for row in rows
                if row.system == system and row.past_s
            ]
            for system in (NETWORK, BASELINE)
        }
        if measure == "loss":
            lines[HOLDER] = [(row.past_s, row.holder[0]) for row in rows if row.holder]
        for system, points in lines.items():
            if points:
                colour, dashes, marker = looks[system]
                x = np.array([min(past_s, 2 * longest) for past_s, _ in points])
                values = np.array([list(vars(found).values()) for _, found in points])
                look = {"linestyle": dashes, "marker": marker, "markersize": 5}
                line_with_band(panel, x, values, colour, system, **look)
        for row in rows:
            value = getattr(row.quality, measure).value
            if not (row.past_s or math.isnan(value)):
                counting = row.system == COUNTING
                colour, dashes = (LIGHT.fourth, "-.") if counting else (LIGHT.faint, ":")
                label = COUNTING if counting else "knowing only how often a shift comes"
                panel.axhline(value, color=colour, linewidth=1.2, linestyle=dashes, label=label)
        if measure == "auc":
            panel.axhline(0.5, color=LIGHT.faint, linewidth=1, linestyle=":", label="chance")
        panel.set_xscale("log")
        ticks = [tick for tick in (0.02, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32) if tick <= longest]
        panel.set_xticks([*ticks, 2 * longest], [*(f"{tick:g}" for tick in ticks), "all"])
        panel.minorticks_off()
        panel.set_xlabel("seconds of past heard (logarithmic)", fontsize=9)
        heading(panel, TITLES[measure], 10)
        legend_below(panel, columns=1)


def _write(rows: Sequence[Row], path: Path) -> None:
    names = ("auc", "auc_lost", "loss", "loss_gained")
    figures = (*names, "holder_loss", "holder_loss_gained")
    header = [f"{name}{end}" for name in figures for end in ("", "_low", "_high")]
    write_rows(
        path,
        ("system", "past_s", *header),
        (
            (
                row.system,
                "all" if row.past_s == ALL else f"{row.past_s:g}",
                *(value for name in names for value in vars(getattr(row.quality, name)).values()),
                *(value for one in row.holder or (NOTHING,) * 2 for value in vars(one).values()),
            )
            for row in rows
        ),
    )
