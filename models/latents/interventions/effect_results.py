"""What interventions changed, as pictures, in words and as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...evaluation.measures import Estimate
from ..cells.unit_search import UnitSearch, both_halves
from ..collection import Collection
from ..tables import write_rows
from ..views import COLOURS, LIGHT, View, picture
from .effects import LEVEL, Effect, UnitEffects

NAMED = 12  # of the first units, whose names are written into the picture
KINDS = ("shift", "hold")
ENDS = ("", "_low", "_high")  # of the names of columns: a figure, and its interval

Tracked = tuple[str, float, bool]


def tracked(search: UnitSearch, layer: str, unit: int) -> Tracked:
    """Return what a unit tracks best: the target, its strength, and whether it is above chance.

    The strength is that of the weaker half, from -1 to 1 (unit_search.py). Without a target that
    the unit tracks in both halves it is ("", 0, False).
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
    sizes = [ranking.effects[unit].magnitude for unit in order]
    tracks = [tracked(search, ranking.layer, unit) for unit in order]
    title = f"Which units of {ranking.layer} {search.model} uses for p_shift"
    caption = describe_ranking(ranking, search)
    with picture(out, title, caption, (11.5, 5.6), ncols=2) as (left, right):
        values = np.array([size.value for size in sizes])
        strengths = np.abs([strength for _, strength, _ in tracks])
        _draw_sizes(left, sizes)
        _name_first(left, order, tracks)
        right.plot(strengths, values, "o", color=LIGHT.second, alpha=0.6, markersize=4)
        for unit, x, y in list(zip(order, strengths, values, strict=True))[:NAMED]:
            right.annotate(str(unit), (x, y), xytext=(4, 2), textcoords="offset points", fontsize=8)
        right.set_xlabel("strength of what the unit tracks best")
        for panel in (left, right):
            panel.set_ylabel("mean |change of p_shift|")
            panel.axhline(ranking.level, color=LIGHT.ink, linewidth=1, linestyle="--")
            panel.set_ylim(bottom=0)
    return View(out, title, caption)


def describe_ranking(ranking: UnitEffects, search: UnitSearch) -> str:
    """Return what is seen, in words."""
    order = ranking.ranked()
    first, windows = ranking.effects[order[0]], ranking.effects[0].windows
    name, strength, above = tracked(search, ranking.layer, order[0])
    values = np.array([effect.magnitude.value for effect in ranking.effects])
    strengths = np.abs([tracked(search, ranking.layer, unit)[1] for unit in range(len(values))])
    tracks = (
        f"it tracks {name} best (strength {strength:+.2f}{'' if above else ', within chance'})"
        if name
        else "it tracks nothing that was searched for"
    )
    return (
        f"Each unit of {ranking.layer} alone is set to its mean, from {windows.before_s:g} s "
        f"before a mutual silence until p_shift is read in it, at {windows.readings.counted}. "
        "Left: "
        "mean absolute change of p_shift, within speaker, with 95 % intervals. Unit "
        f"{order[0]} changes it most, by {in_words(first.magnitude)}: "
        f"{in_words(first.at('shift'), sign=True)} at shifts, "
        f"{in_words(first.at('hold'), sign=True)} at holds; {tracks}. "
        f"{int((values > ranking.level).sum())} of {len(values)} units change it more than "
        f"{LEVEL:.0%} of {len(ranking.control)} random directions do (dashed, "
        f"{ranking.level:.3f}). Right: how much a unit is used against what it tracks; the rank "
        f"correlation of the two is {_rank_correlation(strengths, values):.2f}."
    )


def draw_effect(effect: Effect, words: str, model: str, out: Path) -> View:
    """Draw p_shift of every silence before and after, and the mean changes.

    Args:
        effect: to draw.
        words: what was done.
        model: name of the network.
        out: .png.
    """
    title, caption = f"{model}: {words}", describe_effect(effect, words)
    with picture(out, title, caption, (10.5, 4.8), ncols=2, width_ratios=[1.2, 1]) as (left, right):
        happened = effect.windows.readings.happened
        left.plot([0, 1], [0, 1], color=LIGHT.faint, linewidth=1)
        for place, kind in enumerate(KINDS):
            some = happened if kind == "shift" else ~happened
            left.plot(
                effect.windows.p_shift[some],
                effect.p_shift[some],
                "os"[place],
                color=COLOURS[kind],
                markersize=4,
                alpha=0.6,
                label=f"{kind}s ({some.sum()})",
            )
            change = effect.at(kind)
            reach = np.nan_to_num([[change.value - change.low], [change.high - change.value]])
            right.errorbar(
                place,
                change.value,
                yerr=reach,
                fmt="os"[place],
                color=COLOURS[kind],
                capsize=4,
            )
        left.set(xlabel="p_shift as it is", ylabel="p_shift with the change")
        left.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        left.legend(fontsize=8, frameon=False)
        right.axhline(0, color=LIGHT.ink, linewidth=1)
        right.set_xticks([0, 1], ["shifts", "holds"])
        right.set(xlim=(-0.5, 1.5), ylabel="mean change of p_shift, within speaker")
    return View(out, title, caption)


def describe_effect(effect: Effect, words: str) -> str:
    """Return what is seen, in words."""
    before, after = effect.scores()
    return (
        f"p_shift 0.25 s into {effect.windows.readings.counted}, as it is and with {words}. "
        "Mean change, within speaker, with 95 % intervals: "
        f"{in_words(effect.at('shift'), sign=True)} at "
        f"shifts, {in_words(effect.at('hold'), sign=True)} at holds; mean absolute change "
        f"{in_words(effect.magnitude)}. AUC of shift against hold {_auc(before.auc)} before, "
        f"{_auc(after.auc)} with it; within speaker {_auc(before.auc_within)} and "
        f"{_auc(after.auc_within)}."
    )


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
    write_rows(
        path,
        ("dialogue", "start_s", "kind", "speaker", "p_shift", "p_shift_changed", "change"),
        (
            (
                collection.dialogues[number].id,
                windows.start_s[row],
                KINDS[int(not windows.readings.happened[row])],
                windows.before[row],
                windows.p_shift[row],
                effect.p_shift[row],
                effect.change[row],
            )
            for row, number in enumerate(windows.readings.number)
        ),
    )


def in_words(value: Estimate, *, sign: bool = False) -> str:
    """Return a figure with its interval, where it has one."""
    form = "+.3f" if sign else ".3f"
    interval = "" if np.isnan(value.low) else f" ({value.low:{form}} to {value.high:{form}})"
    return f"{value.value:{form}}{interval}"


def _auc(value: Estimate | None) -> str:
    return "unknown" if value is None or np.isnan(value.value) else f"{value.value:.3f}"


def _draw_sizes(panel: Any, sizes: list[Estimate]) -> None:
    places = np.arange(len(sizes))
    lows, highs = [size.low for size in sizes], [size.high for size in sizes]
    panel.vlines(places, lows, highs, color=LIGHT.first, alpha=0.45, linewidth=1.2)
    panel.plot(places, [size.value for size in sizes], ".", color=LIGHT.first, markersize=4)
    panel.set_xlabel("units, the most used first")


def _name_first(panel: Any, order: list[int], tracks: list[Tracked]) -> None:
    lines = [
        f"{unit}: {name or 'nothing'} {strength:+.2f}{'' if above else ' (within chance)'}"
        for unit, (name, strength, above) in list(zip(order, tracks, strict=True))[:NAMED]
    ]
    panel.text(
        0.98,
        0.97,
        "\n".join(["unit: tracks best, strength", *lines]),
        transform=panel.transAxes,
        fontsize=8,
        va="top",
        ha="right",
        color=LIGHT.ink,
        bbox={"facecolor": LIGHT.paper, "edgecolor": "none", "alpha": 0.85},
    )


def _rank_correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    from scipy.stats import rankdata

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])
