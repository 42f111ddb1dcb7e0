"""Write the report of a grid: a table, a plot of quality against cost, and a web page."""

from __future__ import annotations

import csv
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.page import STYLE
from ..evaluation.plots import DPI, THEMES, styled_panels
from .grid import Grid
from .runs import Measured
from .summary import (
    MEASURES,
    Summary,
    conclusion,
    counting_in_words,
    in_short,
    summarise,
    written,
)

TABLE, PLOT, PAGE = "comparison.csv", "quality_and_cost.png", "index.html"
BESIDE = 1.012  # factor by which a point of the same cost is moved to the right
OF_RUNS = ("parameters", "reach_s", "training_h", "distinct_h", "unlabelled_h")
NAMES = [measure.name for measure in MEASURES]


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
            for names in (NAMES, [f"{name}_gain" for name in NAMES])
        )
        rows.writerow(["row", "seeds", *scores, "us_per_20_ms", *OF_RUNS, "against", *gains])
        for one in summaries:
            figures = [value for name in NAMES for value in astuple(one.scores[name])]
            differences = [
                value
                for name in NAMES
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
    figure: Any = Figure(figsize=(17.0, 10.0), facecolor=light.paper)
    grid = {
        "left": 0.05,
        "right": 0.98,
        "top": 0.95,
        "bottom": 0.06,
        "hspace": 0.25,
        "wspace": 0.15,
    }
    *panels, legend = np.ravel(styled_panels(figure, light, nrows=2, ncols=3, gridspec_kw=grid))
    exact = [one.microseconds for one in summaries]
    cost = np.array(
        [value * BESIDE ** exact[:index].count(value) for index, value in enumerate(exact)]
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
    legend.axis("off")
    names = "\n".join(f"{number}  {one.row.name}" for number, one in enumerate(summaries, start=1))
    legend.text(0.0, 1.0, names, fontsize=8.5, color=light.ink, va="top", linespacing=1.5)
    figure.savefig(path, dpi=DPI, facecolor=light.paper)


def page(grid: Grid, summaries: Sequence[Summary]) -> str:
    """Return the web page: the conclusions, the plot and the table."""
    compared = len(MEASURES) * sum(one.against is not None for one in summaries)
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>",
        f"<title>Networks compared</title><style>{STYLE}</style><h1>Networks compared</h1>",
        f"<p class='note'>{html.escape(grid.about)} All are means over the seeds. Chance has an "
        f"AUC of 0.5, and a coin's loss of the next holder is {math.log(2):.3f} nats. Differences "
        "are less those of what is compared with: above 0 is better for AUC, below 0 for losses. "
        "Intervals are 95 % over the dialogues and, if there are several, the seeds; one "
        f"difference in twenty, of {compared} here, may seem to be one by chance.</p>",
        "<h2>In short</h2><ul>",
        *(
            f"<li>{html.escape(sentence)}</li>"
            for sentence in (
                *in_short(summaries),
                *(counting_in_words(one.runs[0]) for one in summaries[:1]),
            )
        ),
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
        "trained on",
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
            *(written(score, ".3f") for score in one.scores.values()),
            f"{one.microseconds:.0f}",
        ]
        cells += [
            f"{run.parameters:,}",
            f"{run.reach_s:.2f} s",
            f"{run.training_h:.1f} h",
            f"{run.distinct_h:.1f} h",
            f"{run.unlabelled_h:.1f} h",
        ]
        parts.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    parts.append(
        "</table></div><p class='note'>Trained on: hours of labelled dialogue that the training "
        "processed, of so many different ones; without labels: hours that its pre-training "
        "processed before. "
        "Costs were measured in turn, in one sitting, on one thread.</p></html>\n"
    )
    return "\n".join(parts)
