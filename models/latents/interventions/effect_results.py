"""What interventions changed, as pictures and as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...evaluation.measures import auc
from ...evaluation.shift_hold import SCORE_S
from ..cells.unit_search import UnitSearch, both_halves
from ..collection import Collection
from ..drawing import listed
from ..quality import auc_within, ranged
from ..tables import write_rows
from ..views import COLOURS, LIGHT, View, picture
from .effects import LEVEL, Effect, UnitEffects, bootstrap_units

NAMED = 12  # of the first units, whose names are written into the picture
KINDS = ("shift", "hold")
ENDS = ("", "_low", "_high")  # of the names of columns: a figure, and its interval

Tracked = tuple[str, float, bool]


def tracked(search: UnitSearch, layer: str, unit: int) -> Tracked:
    """Return what a unit tracks best: the target, its strength, and whether it is above chance.

    The strength is that of the weaker half, from -1 to 1; without a target it is ("", 0, False).
    """
    best: Tracked = ("", 0.0, False)
    for found in search.found:
        if found.layer == layer and found.known:
            strength = float(both_halves(found.strengths)[unit])
            if strength > abs(best[1]):
                sign = float(np.sign(found.strengths[0, unit]))
                best = (found.target.name, sign * strength, strength > found.level)
    return best


def draw_ranking(ranking: UnitEffects, search: UnitSearch, out: Path) -> View:
    """Draw the units by what their ablation changes, and against what they track."""
    order = ranking.ranked()
    first, windows = ranking.effects[order[0]], ranking.effects[0].windows
    sizes = [ranking.effects[unit].magnitude for unit in order]
    values = np.array([size.value for size in sizes])
    tracks = [tracked(search, ranking.layer, unit) for unit in order]
    strengths = np.abs([strength for _, strength, _ in tracks])
    names = [
        f"{unit}: {name or 'nothing'} {strength:+.2f}{'' if above else ' (within chance)'}"
        for unit, (name, strength, above) in zip(order, tracks, strict=True)
    ]
    share = f"units above {LEVEL:.0%} of {len(ranking.control)} random directions (dashed)"
    figures = {
        "silences": windows.readings.counted,
        f"unit {order[0]} changes it most": _changes(first),
        "tracks best, strength": f"unit {names[0]}",
        share: f"{int((values > ranking.level).sum())} of {len(values)}, {ranking.level:.3f}",
        "rank correlation of both": f"{_rank_correlation(strengths, values):.2f}",
    }
    caption = (
        f"Each unit of {ranking.layer} alone is set to its mean, from {windows.before_s:g} s "
        "before a mutual silence until p_shift is read in it. Left: mean absolute change of "
        "p_shift, within speaker, with 95 % intervals. Right: how much a unit is used against "
        f"what it tracks. {listed(figures)}"
    )
    title = f"Which units of {ranking.layer} {search.model} uses for p_shift"
    with picture(out, title, caption, (11.5, 5.6), ncols=2) as (left, right):
        places = np.arange(len(sizes))
        ends = [size.low for size in sizes], [size.high for size in sizes]
        left.vlines(places, *ends, color=LIGHT.first, alpha=0.45, linewidth=1.2)
        left.plot(places, values, ".", color=LIGHT.first, markersize=4)
        left.set_xlabel("units, the most used first")
        look = {"facecolor": LIGHT.paper, "edgecolor": "none", "alpha": 0.85}
        corner = {"transform": left.transAxes, "va": "top", "ha": "right", "bbox": look}
        listing = "\n".join(["unit: tracks best, strength", *names[:NAMED]])
        left.text(0.98, 0.97, listing, fontsize=8, color=LIGHT.ink, **corner)
        right.plot(strengths, values, "o", color=LIGHT.second, alpha=0.6, markersize=4)
        beside = {"xytext": (4, 2), "textcoords": "offset points", "fontsize": 8}
        for unit, *point in list(zip(order, strengths, values, strict=True))[:NAMED]:
            right.annotate(str(unit), point, **beside)
        right.set_xlabel("strength of what the unit tracks best")
        for panel in (left, right):
            panel.set_ylabel("mean |change of p_shift|")
            panel.axhline(ranking.level, color=LIGHT.ink, linewidth=1, linestyle="--")
            panel.set_ylim(bottom=0)
    return View(out, title, caption)


def draw_effect(effect: Effect, words: str, model: str, out: Path) -> View:
    """Draw p_shift before and after what was done (`words`) to a network, and the mean changes."""
    windows = effect.windows
    happened, units = windows.readings.happened, bootstrap_units(windows)
    figures = {"silences": windows.readings.counted, "mean change": _changes(effect)}
    for name, said in {"as it is": windows.p_shift, "with the change": effect.p_shift}.items():
        within = auc_within(said, happened, units, windows.before)
        pooled = f"{auc(said, happened):.3f} over all speakers"
        figures[f"AUC of shift against hold, {name}"] = f"{within.value:.3f}, {pooled}"
    title = f"{model}: {words}"
    caption = (
        f"p_shift {SCORE_S:g} s into mutual silences, as it is and with {words}. Means, with 95 % "
        f"intervals, and AUC are within speaker. {listed(figures)}"
    )
    with picture(out, title, caption, (10.5, 4.8), ncols=2, width_ratios=[1.2, 1]) as (left, right):
        left.plot([0, 1], [0, 1], color=LIGHT.faint, linewidth=1)
        for place, kind in enumerate(KINDS):
            some = happened == (kind == "shift")
            look = {"color": COLOURS[kind], "marker": "os"[place], "linestyle": "none"}
            points = {"markersize": 4, "alpha": 0.6, "label": f"{kind}s ({some.sum()})"}
            left.plot(windows.p_shift[some], effect.p_shift[some], **look, **points)
            change = effect.at(kind)
            reach = np.nan_to_num([[change.value - change.low], [change.high - change.value]])
            right.errorbar(place, change.value, yerr=reach, capsize=4, **look)
        left.set(xlabel="p_shift as it is", ylabel="p_shift with the change")
        left.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        left.legend(fontsize=8, frameon=False)
        right.axhline(0, color=LIGHT.ink, linewidth=1)
        right.set_xticks([0, 1], ["shifts", "holds"])
        right.set(xlim=(-0.5, 1.5), ylabel="mean change of p_shift, within speaker")
    return View(out, title, caption)


def write_ranking(ranking: UnitEffects, search: UnitSearch, path: Path) -> None:
    """Write a row for each unit, the most used first."""
    figures = [f"{name}{end}" for name in ("change", "at_shifts", "at_holds") for end in ENDS]
    tracks = ("tracks", "strength", "above_chance")

    def row(unit: int) -> tuple[Any, ...]:
        effect = ranking.effects[unit]
        estimates = (effect.magnitude, effect.at("shift"), effect.at("hold"))
        cells = (cell for estimate in estimates for cell in vars(estimate).values())
        used = effect.magnitude.value > ranking.level
        return (unit, *cells, used, *tracked(search, ranking.layer, unit))

    header = ("unit", *figures, "above_random_directions", *tracks)
    write_rows(path, header, map(row, ranking.ranked()))


def write_effect(effect: Effect, collection: Collection, path: Path) -> None:
    """Write a row for each silence."""
    windows = effect.windows
    columns = {
        "dialogue": [collection.dialogues[number].id for number in windows.readings.number],
        "start_s": windows.start_s,
        "kind": np.where(windows.readings.happened, *KINDS),
        "speaker": windows.before,
        "p_shift": windows.p_shift,
        "p_shift_changed": effect.p_shift,
        "change": effect.change,
    }
    write_rows(path, list(columns), zip(*columns.values(), strict=True))


def _changes(effect: Effect) -> str:
    at = {f"at {kind}s": ranged(effect.at(kind), "+.3f") for kind in KINDS}
    size = ranged(effect.magnitude, ".3f")
    return f"{size} in size, " + ", ".join(f"{value} {where}" for where, value in at.items())


def _rank_correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    from scipy.stats import rankdata

    constant = np.ptp(first) == 0 or np.ptp(second) == 0
    return np.nan if constant else float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])
