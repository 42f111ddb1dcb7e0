"""Report the results of a grid: a table, a plot of quality against cost, and conclusions.

The conclusions are a web page. Every difference has its interval.
"""

from __future__ import annotations

import csv
import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation.measures import Estimate, Floats, Statistic, auc_statistic, estimate
from ..evaluation.page import STYLE
from ..evaluation.plots import DPI, THEMES, styled_panels
from .grid import Grid, Row
from .runs import JUDGED_MS, Measured

TABLE, PLOT, PAGE = "comparison.csv", "quality_and_cost.png", "index.html"
# Verdicts on one measure.
BETTER, WORSE, SAME = "Better", "Worse", "No difference that can be shown"
# Verdicts on all measures together.
MIXED, UNTOLD = (
    "Better in one thing, worse in another",
    "Cannot be told (one seed, one dialogue, or at chance)",
)
CHEAPER = 0.9  # at most this share of another cost is called cheaper
BESIDE = 1.012  # factor by which a point of the same cost is moved to the right
OF_RUNS = ("parameters", "reach_s", "heard_h", "distinct_h", "unlabelled_h")

# From one network to its score as a statistic of its dialogues, and the number of dialogues.
Per = Callable[[Measured], tuple[Statistic, int]]


@dataclass(frozen=True)
class Measure:
    """One way to measure a network.

    Attributes:
        name: its name in the table.
        words: what is measured, and on which data.
        unit: unit of its differences.
        sign: 1 where more is better, -1 where less is.
        chance: score without knowledge; NaN where undefined.
        of: returns a network's score.
    """

    name: str
    words: str
    unit: str
    sign: int
    chance: float
    of: Per

    def better(self, value: float, other: float) -> bool:
        return self.sign * (value - other) > 0

    def beats_chance(self, one: Estimate) -> bool:
        """Return whether the whole interval beats chance; false where one of them is unknown."""
        return self.better(one.low if self.sign > 0 else one.high, self.chance)


def _auc(one: Measured) -> tuple[Statistic, int]:
    dialogues = len(one.real["projection"])
    return auc_statistic(
        np.array(one.score), np.array(one.shift), np.array(one.dialogue), dialogues
    ), dialogues


def _mean_loss(part: str, head: str) -> Per:
    def of(one: Measured) -> tuple[Statistic, int]:
        losses = np.array(getattr(one, part)[head])
        return lambda counts: counts @ losses / counts.sum(1), len(losses)

    return of


MEASURES = (
    Measure(
        "auc",
        f"shift or hold on the real calls, {JUDGED_MS} ms into the silence",
        "AUC",
        1,
        0.5,
        _auc,
    ),
    Measure(
        "real_projection",
        "projection of both voices' next two seconds on the real calls",
        "nats",
        -1,
        math.nan,
        _mean_loss("real", "projection"),
    ),
    Measure(
        "held_out_next",
        "next holder on the held-out dialogues",
        "nats",
        -1,
        math.log(2),
        _mean_loss("held_out", "next_holder"),
    ),
    Measure(
        "held_out_projection",
        "projection on the held-out dialogues",
        "nats",
        -1,
        math.nan,
        _mean_loss("held_out", "projection"),
    ),
)
_NAMES = [measure.name for measure in MEASURES]


@dataclass(frozen=True)
class Summary:
    """One row over its seeds.

    Attributes:
        row: the row of the grid.
        runs: its networks, one per seed.
        scores: mean over the seeds, by measure; intervals over dialogues and seeds.
        microseconds: cost of 20 ms of one conversation.
        against: the summary of the row that it is compared with; None for the first row, and
            where that row was not measured.
        gains: its score minus the other's on the same dialogues, by measure; intervals over
            dialogues and seeds. Empty if `against` is None.
    """

    row: Row
    runs: Sequence[Measured]
    scores: dict[str, Estimate]
    microseconds: float
    against: Summary | None
    gains: dict[str, Estimate]


def summarise(
    grid: Grid, measured: Sequence[Measured], microseconds: Mapping[str, float]
) -> list[Summary]:
    """Return a summary of every row that was measured, in the order of the grid.

    Args:
        grid: the grid.
        measured: the networks measured so far.
        microseconds: cost of 20 ms, by row; a row that could not be exported has none.
    """
    found: dict[str, Summary] = {}

    def summary(row: Row) -> Summary | None:
        own = [one for one in measured if one.row == row.name]
        if row.name in found or not own:
            return found.get(row.name)
        reference = grid.reference(row)
        other = None if reference is None else summary(reference)
        scores = {measure.name: estimate(*_mean(measure, own, 1)) for measure in MEASURES}
        gains = (
            {measure.name: _gain(measure, own, other.runs) for measure in MEASURES} if other else {}
        )
        found[row.name] = Summary(
            row, own, scores, microseconds.get(row.name, math.nan), other, gains
        )
        return found[row.name]

    return [one for row in grid.rows if (one := summary(row)) is not None]


def _mean(measure: Measure, measured: Sequence[Measured], draw: int) -> tuple[Statistic, int]:
    """Return a statistic, the mean over the seeds, and the number of dialogues.

    The bootstrap draws seeds as well as dialogues. Each value of `draw` has its own random
    numbers. A draw from n seeds varies too little, by a factor of the square root of (n - 1) / n;
    so deviations from the mean are enlarged by its inverse.
    """
    each = [measure.of(one) for one in measured]
    seeds = len(each)
    wider = math.sqrt(seeds / (seeds - 1)) if seeds > 1 else 0.0

    def mean(counts: Floats) -> Floats:
        drawn = np.ones((len(counts), seeds))
        if len(counts) > 1:
            drawn += wider * (
                np.random.default_rng([draw, seeds]).multinomial(
                    seeds, np.full(seeds, 1 / seeds), len(counts)
                )
                - 1
            )
        return (
            np.sum(
                [statistic(counts) * drawn[:, seed] for seed, (statistic, _) in enumerate(each)],
                axis=0,
            )
            / seeds
        )

    return mean, each[0][1]


def _gain(measure: Measure, own: Sequence[Measured], others: Sequence[Measured]) -> Estimate:
    first, dialogues = _mean(measure, own, 1)
    second, _ = _mean(measure, others, 2)
    return estimate(lambda counts: first(counts) - second(counts), dialogues)


def conclusion(summary: Summary) -> str:
    """Return the conclusion of a row in plain English: better, worse, or undecided."""
    other = summary.against
    if other is None:
        return (
            "What it is to be compared with was not measured."
            if summary.row.against
            else "What others are compared with."
        )
    found: dict[str, list[str]] = {}
    for measure in MEASURES:
        gain = summary.gains[measure.name]
        found.setdefault(_verdict(summary, other, measure), []).append(
            f"{measure.words}, {_range(gain, '+.3f')} {measure.unit}"
        )
    parts = [f"{verdict}: {'; '.join(what)}" for verdict, what in found.items()]
    return f"Against “{other.row.name}”. {'. '.join(parts)}."


def in_short(summaries: Sequence[Summary]) -> list[str]:
    """Return one sentence each on the differences that were found, and on those that were not."""
    said = [
        f"{measure.words[0].upper()}{measure.words[1:]}: no network is measurably above chance, so "
        "with this budget it tells none from another."
        for measure in MEASURES
        if not (
            math.isnan(measure.chance)
            or any(measure.beats_chance(one.scores[measure.name]) for one in summaries)
        )
    ]
    groups: dict[str, list[Summary]] = {words: [] for words in (BETTER, WORSE, MIXED, SAME, UNTOLD)}
    for one in summaries:
        if one.against is not None:
            verdicts = {_verdict(one, one.against, measure) for measure in MEASURES}
            groups[
                MIXED
                if {BETTER, WORSE} <= verdicts
                else next((words for words in (BETTER, WORSE, SAME) if words in verdicts), UNTOLD)
            ].append(one)
    said += [
        f"{words}: {'; '.join(one.row.name for one in group)}."
        for words, group in groups.items()
        if group
    ]
    cheaper = [
        f"{one.row.name} ({1 - one.microseconds / one.against.microseconds:.0%} less than "
        f"{one.against.row.name})"
        for one in groups[SAME]
        if one.against is not None and one.microseconds <= CHEAPER * one.against.microseconds
    ]
    return said + (
        [f"Of these, cheaper by a tenth or more: {'; '.join(cheaper)}."] if cheaper else []
    )


def _verdict(summary: Summary, other: Summary, measure: Measure) -> str:
    gain = summary.gains[measure.name]
    if math.isnan(gain.low):
        return "One dialogue, which has no interval"
    if not (
        math.isnan(measure.chance)
        or any(measure.beats_chance(one.scores[measure.name]) for one in (summary, other))
    ):
        return "Neither is measurably above chance"
    if min(len(summary.runs), len(other.runs)) < 2:
        return "One seed, which cannot be told from luck"
    if gain.low <= 0 <= gain.high:
        return SAME
    return BETTER if measure.better(gain.value, 0) else WORSE


def _range(one: Estimate, digits: str) -> str:
    return (
        f"{one.value:{digits}}"
        if math.isnan(one.low)
        else f"{one.value:{digits}} ({one.low:{digits}} to {one.high:{digits}})"
    )


def write_report(
    grid: Grid, measured: Sequence[Measured], microseconds: Mapping[str, float], out: Path
) -> list[Path]:
    """Write the table, the plot and the page.

    Args:
        grid: the grid.
        measured: the networks measured so far.
        microseconds: cost of 20 ms, by row.
        out: the folder to write to.
    Returns:
        The paths of the files.
    """
    summaries = summarise(grid, measured, microseconds)
    write_table(summaries, out / TABLE)
    draw_quality_and_cost(summaries, out / PLOT)
    (out / PAGE).write_text(page(grid, summaries), encoding="utf-8")
    return [out / name for name in (PAGE, TABLE, PLOT)]


def write_table(summaries: Sequence[Summary], path: Path) -> None:
    """Write the CSV table, one line per row."""
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out, lineterminator="\n")
        scores, gains = (
            [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
            for names in (_NAMES, [f"{name}_gain" for name in _NAMES])
        )
        rows.writerow(["row", "seeds", *scores, "us_per_20_ms", *OF_RUNS, "against", *gains])
        for one in summaries:
            figures = [value for name in _NAMES for value in astuple(one.scores[name])]
            differences = [
                value
                for name in _NAMES
                for value in (astuple(one.gains[name]) if one.gains else ("", "", ""))
            ]
            of_runs = [getattr(one.runs[0], name) for name in OF_RUNS]
            rows.writerow(
                [
                    one.row.name,
                    len(one.runs),
                    *figures,
                    one.microseconds,
                    *of_runs,
                    one.against.row.name if one.against else "",
                    *differences,
                ]
            )


def draw_quality_and_cost(summaries: Sequence[Summary], path: Path) -> None:
    """Plot each measure against the cost of 20 ms.

    Each row is a number with its interval; a legend gives the names. Rows of the same cost stand
    side by side, because they would hide each other.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    light = THEMES[0]
    figure: Any = Figure(figsize=(15.0, 10.0), facecolor=light.paper)
    grid = {
        "left": 0.05,
        "right": 0.77,
        "top": 0.95,
        "bottom": 0.06,
        "hspace": 0.25,
        "wspace": 0.15,
    }
    panels: NDArray[Any] = np.ravel(
        styled_panels(figure, light, nrows=2, ncols=2, gridspec_kw=grid)
    )
    exact = [one.microseconds for one in summaries]
    cost = np.array(
        [value * BESIDE ** exact[:place].count(value) for place, value in enumerate(exact)]
    )
    for panel, measure in zip(panels, MEASURES, strict=True):
        scores = [one.scores[measure.name] for one in summaries]
        values, lows, highs = np.array([astuple(score) for score in scores]).T
        panel.vlines(cost, lows, highs, color=light.first, alpha=0.18, linewidth=2)
        panel.plot(cost, values, "o", color=light.first, markersize=12)
        for number, (x, y) in enumerate(zip(cost, values, strict=True), start=1):
            panel.annotate(
                str(number),
                (x, y),
                ha="center",
                va="center_baseline",
                fontsize=7,
                color=light.paper,
            )
        if not math.isnan(measure.chance):
            panel.axhline(measure.chance, color=light.faint, linewidth=1, linestyle=":")
        best = "up" if measure.sign > 0 else "down"
        panel.set_title(
            f"{measure.words}\n{measure.unit}, better {best}"
            f"{'' if math.isnan(measure.chance) else ', chance dotted'}",
            fontsize=9,
            color=light.ink,
        )
        panel.set_xlabel(
            "microseconds for 20 ms of one conversation, one thread", fontsize=9, color=light.ink
        )
        panel.set_xscale("log")
        for axis in (panel.xaxis.set_major_formatter, panel.xaxis.set_minor_formatter):
            axis(ScalarFormatter())
        panel.tick_params(axis="x", which="minor", colors=light.ink, labelsize=8)
    names = "\n".join(f"{number}  {one.row.name}" for number, one in enumerate(summaries, start=1))
    figure.text(0.785, 0.95, names, fontsize=8.5, color=light.ink, va="top", linespacing=1.5)
    figure.savefig(path, dpi=DPI, facecolor=light.paper)


def page(grid: Grid, summaries: Sequence[Summary]) -> str:
    """Return the web page: the conclusions, the plot and the table."""
    compared = len(MEASURES) * sum(one.against is not None for one in summaries)
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>",
        f"<title>Encoders compared</title><style>{STYLE}</style><h1>Encoders compared</h1>",
        f"<p class='note'>{html.escape(grid.about)} All are means over the seeds. Chance has an "
        f"AUC of 0.5, and a coin's loss of the next holder is {math.log(2):.3f} nats. Differences "
        "are less those of what is compared with: above 0 is better for AUC, below 0 for losses. "
        "Intervals are 95 % over the dialogues and, if there are several, the seeds; one "
        f"difference in twenty, of {compared} here, may seem to be one by chance.</p>",
        "<h2>In short</h2><ul>",
        *(f"<li>{html.escape(sentence)}</li>" for sentence in in_short(summaries)),
        "</ul><h2>Row by row</h2>",
    ]
    for question in dict.fromkeys(one.row.question for one in summaries):
        parts.append(
            f"<h3>{html.escape(question or 'The network that others are compared with')}</h3><ul>"
        )
        parts += [
            f"<li><b>{html.escape(one.row.name)}</b>: {html.escape(conclusion(one))}</li>"
            for one in summaries
            if one.row.question == question
        ]
        parts.append("</ul>")
    parts.append(
        f"<h2>Quality and cost</h2><figure><img src='{PLOT}' alt='quality against cost'></figure>"
        "<h2>All figures</h2><div class='wide'><table>"
    )
    scores = [f"{measure.words}, {measure.unit} (95 %)" for measure in MEASURES]
    head = [
        "",
        "row",
        "seeds",
        *scores,
        "us / 20 ms",
        "parameters",
        "reach",
        "heard",
        "of",
        "without labels",
    ]
    parts.append("<tr>" + "".join(f"<th>{word}</th>" for word in head) + "</tr>")
    for number, one in enumerate(summaries, start=1):
        run = one.runs[0]
        cells = [
            str(number),
            one.row.name,
            str(len(one.runs)),
            *(_range(score, ".3f") for score in one.scores.values()),
            f"{one.microseconds:.0f}",
        ]
        cells += [
            f"{run.parameters:,}",
            f"{run.reach_s:.2f} s",
            f"{run.heard_h:.1f} h",
            f"{run.distinct_h:.1f} h",
            f"{run.unlabelled_h:.1f} h",
        ]
        parts.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    parts.append(
        "</table></div><p class='note'>Heard: hours of labelled dialogue that each training heard, "
        "of so many different ones; without labels: hours that its pre-training heard before. "
        "Costs were measured in turn, in one sitting, on one thread.</p></html>\n"
    )
    return "\n".join(parts)
