"""`turnstream latents past`: how much past a network needs, against models that see only so far."""

from __future__ import annotations

import argparse
import math
from dataclasses import astuple
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....stream.errors import ConfigError
from ...dialogues.activity import FRAME_RATE_HZ
from ...evaluation.measures import Estimate
from ...evaluation.shift_hold import SCORE_S
from .. import collect
from ..collection import Collection
from ..drawing import heading, line_with_band, listed
from ..options import RESUMED, add_out, check_files, option, shown
from ..parts import Parts, parts_beside
from ..quality import counted_log_odds, measure_quality, ranged
from ..tables import write_rows
from ..views import LIGHT, View, legend_below, picture
from . import past
from .drawing import seconds_axis
from .held_out import is_fittable
from .past import ALL, FRAMES, PASTS_S, enough_past, judge
from .readings import Readings, decisive_readings, silence_readings

if TYPE_CHECKING:
    from ...turn_model import TurnModel

MOMENTS = 200
NETWORK, BASELINE, COUNTING = "network", "fixed-order baseline", "counting this speaker's shifts"
FIGURES = ("auc", "auc_lost", "loss", "loss_gained", "holder_loss", "holder_loss_gained")
TITLES = {
    "auc": "AUC of shifts against holds, within dialogue and speaker",
    "loss": "log-loss, nats",
}
NOTHING = Estimate(math.nan, math.nan, math.nan)
CLOSE_AUC = 0.01

# By system and seconds of past, those of FIGURES that are known: of `judge` at shifts and holds,
# and, with `holder_` before them, at moments drawn from all that matter. COUNTING hears nothing; a
# baseline of no past knows only the share of shifts.
Table = dict[str, dict[float, dict[str, Estimate]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents past`."""
    collect.add_source_argument(parser)
    add_out(parser, what=RESUMED, csv="the figures as a table")
    what = "draw N moments for the loss of the next holder, 0 none"
    option(parser, "--moments N", what, MOMENTS)
    collect.add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_files(args, ".png")
    if args.moments < 0:
        raise ConfigError(f"expected --moments >= 0, got {args.moments}")
    with collect.opened_collection(args.source, args.model) as collection:
        model = collect.network_to_run(collection, args.model)
        given = {"table": args.csv, "moments": args.moments, "name": collect.name_of(args.model)}
        return shown(view_past(collection, model, args.out, **given))


def view_past(
    collection: Collection,
    model: TurnModel,
    out: Path,
    *,
    table: Path | None = None,
    moments: int = MOMENTS,
    name: str = "",
) -> View:
    """Draw quality against the amount of past, and write the `table`, .csv.

    Parts are kept beside it while the work lasts. Each baseline is fitted on the other dialogues,
    and left out if these lack shifts or holds. No `moments` leave out the loss of the next holder.
    """
    silences, _ = silence_readings(collection)
    said = past.score_with_past(model, collection, silences, PASTS_S, out)
    whole, kept = said[-1], out.with_suffix(".moments")
    found: Table = {NETWORK: {}, BASELINE: {}}
    for past_s, row in zip(PASTS_S, said, strict=True):
        found[NETWORK][past_s] = judge(row, whole, silences)
    if moments:
        drawn = decisive_readings(collection, moments)
        said = past.score_with_past(model, collection, drawn, PASTS_S, kept)
        for figures, row in zip(found[NETWORK].values(), said, strict=True):
            holder = judge(row, said[-1], drawn)
            figures.update({f"holder_{name}": holder[name] for name in ("loss", "loss_gained")})
    if is_fittable(silences.happened, silences.number):
        sound = past.recent_sound(model, collection, silences)
        for seen in (0, *FRAMES):
            figures = judge(past.fixed_order_baseline(sound, seen), whole, silences)
            # A share that is the same for all of a dialogue's silences ranks none of them.
            figures |= {} if seen else {"auc": NOTHING, "auc_lost": NOTHING}
            found[BASELINE][seen / FRAME_RATE_HZ] = figures
    found[COUNTING] = {0.0: judge(counted_log_odds(*silences.asked), whole, silences)}
    title = f"How much past {name or collection.about.model} needs"
    quality = measure_quality(whole, *silences.asked).in_words()
    caption = f"{describe(found, silences, moments)} {quality}"
    with picture(out, title, caption, (11.0, 4.2), ncols=2) as panels:
        for panel, measure in zip(panels, TITLES, strict=True):
            _draw(found, measure, panel)
    if table is not None:
        header = [f"{figure}{end}" for figure in FIGURES for end in ("", "_low", "_high")]
        rows: list[list[str | float]] = []
        for system, by_past in found.items():
            for past_s, figures in by_past.items():
                values = [astuple(figures.get(name, NOTHING)) for name in FIGURES]
                heard = "all" if past_s == ALL else f"{past_s:g}"
                rows.append([system, heard, *chain.from_iterable(values)])
        write_rows(table, ("system", "past_s", *header), rows)
    for path in (out, kept):
        Parts(parts_beside(path), "").remove()
    return View(out, title, caption)


def describe(found: Table, silences: Readings, moments: int) -> str:
    """Return what is seen: a sentence, and the figures."""
    network, several = found[NETWORK], silences.dialogues > 1
    baselines = {past_s: figures for past_s, figures in found[BASELINE].items() if past_s}
    shortest, *_, longest, _ = network
    ends = network[shortest], network[ALL]

    def both(name: str) -> str:
        return " and ".join(ranged(figures[name]) for figures in ends)

    def enough(name: str, close: float | None = None) -> str:
        differences = {past_s: figures[name] for past_s, figures in network.items()}
        past_s = enough_past(differences, close)
        if past_s is None:
            return "unknown"
        return f"more than {longest:g} s" if past_s == ALL else f"{past_s:g} s and more"

    figures = {
        f"AUC within dialogue and speaker with {shortest:g} s and with all the past": both("auc"),
        "log-loss in nats with them": both("loss"),
        f"AUC within {CLOSE_AUC:g} of the last": enough("auc_lost", CLOSE_AUC),
    }
    if moments:
        figures[f"log-loss of the next holder at {moments} moments"] = both("holder_loss")
    if several:
        same = [f"AUC {enough('auc_lost')}", f"log-loss {enough('loss_gained')}"]
        same += [f"next holder {enough('holder_loss_gained')}"] if moments else []
        figures["past that makes no measurable difference to all of it (paired)"] = ", ".join(same)
    if baselines:
        past_s = max(baselines, key=lambda past_s: baselines[past_s]["auc"].value)
        auc, lost, loss = (baselines[past_s][name] for name in ("auc", "auc_lost", "loss"))
        figures["best logistic regression on the last frames of other dialogues (dashed)"] = (
            f"AUC {ranged(auc)} with {past_s:g} s, the network's minus it {ranged(lost)}, log-loss "
            f"{loss.value:.2f} nats"
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


def _draw(found: Table, measure: str, panel: Any) -> None:
    """A measure against the past on a logarithmic axis; all the past stands at its end."""
    end = 2 * max(past_s for rows in found.values() for past_s in rows if past_s != ALL)
    lines = {  # system, what comes before the name of the figure, and the look
        NETWORK: (NETWORK, "", LIGHT.first, "-", "o"),
        BASELINE: (BASELINE, "", LIGHT.second, (0, (5, 1.5)), "s"),
        "network, next holder at drawn moments": (NETWORK, "holder_", LIGHT.third, ":", "^"),
    }
    for label, (system, of, colour, dashes, marker) in lines.items():
        points = {min(s, end): row.get(of + measure) for s, row in found[system].items() if s}
        if points and None not in points.values():
            values = np.array([astuple(one) for one in points.values() if one])
            look = {"linestyle": dashes, "marker": marker, "markersize": 5}
            line_with_band(panel, np.array(list(points)), values, colour, label, **look)
    levels = {
        "knowing only how often a shift comes": (BASELINE, LIGHT.faint, ":"),
        COUNTING: (COUNTING, LIGHT.fourth, "-."),
    }
    for label, (system, colour, dashes) in levels.items():
        level = found[system].get(0.0, {}).get(measure, NOTHING).value
        if not math.isnan(level):
            panel.axhline(level, color=colour, linewidth=1.2, linestyle=dashes, label=label)
    if measure == "auc":
        panel.axhline(0.5, color=LIGHT.faint, linewidth=1, linestyle=":", label="chance")
    seconds_axis(panel, "seconds of past heard (logarithmic)", end / 2, {end: "all"})
    heading(panel, TITLES[measure], 10)
    legend_below(panel, columns=1)
