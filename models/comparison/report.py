"""What a grid came to: a table, a plot of quality against cost, and a page of conclusions, each difference with its interval."""

from __future__ import annotations

import csv
import html
import math
from collections.abc import Mapping, Sequence
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
LOSS = "next_holder"  # head whose loss is compared
CHANCE = 0.5  # AUC
FOLLOWED_LOSSES = ("next_holder", "projection", "vad")
OF_RUNS = ("parameters", "reach_s", "heard_h", "distinct_h", "unlabelled_h")


@dataclass(frozen=True)
class Summary:
    """One row over its seeds.

    Attributes:
        row: of the grid.
        runs: its networks, one for each seed.
        auc: shift or hold on the real dialogues, mean over the seeds; interval over dialogues and seeds.
        losses: by head, mean over the seeds.
        microseconds: for 20 ms of one conversation.
        against: the summary of the row that it is compared with; None for the first, and where that was not measured.
        auc_gain: its AUC less that of the other, on the same dialogues; interval over dialogues and seeds.
        loss_gain: the other's loss less its own, mean over the seeds.
        loss_noise: largest difference that two seeds of the same row, this or the other, have; NaN with one seed of either.
    """

    row: Row
    runs: Sequence[Measured]
    auc: Estimate
    losses: dict[str, float]
    microseconds: float
    against: Summary | None
    auc_gain: Estimate
    loss_gain: float
    loss_noise: float


def summarise(grid: Grid, measured: Sequence[Measured], microseconds: Mapping[str, float]) -> list[Summary]:
    """Every row of the grid that was measured, in its order.

    Args:
        grid: what was compared.
        measured: so far.
        microseconds: for 20 ms, by row; a row that could not be exported has none.
    """
    found: dict[str, Summary] = {}

    def summary(row: Row) -> Summary | None:
        own = [one for one in measured if one.row == row.name]
        if row.name in found or not own:
            return found.get(row.name)
        reference = grid.reference(row)
        other = None if reference is None else summary(reference)
        dialogues = 1 + max(own[0].dialogue, default=-1)
        losses = {name: float(np.mean([one.losses[name] for one in own])) for name in FOLLOWED_LOSSES}
        found[row.name] = Summary(
            row,
            own,
            estimate(_mean_auc(own, dialogues, 1), dialogues),
            losses,
            microseconds.get(row.name, math.nan),
            other,
            estimate(_gain(own, other.runs, dialogues), dialogues) if other else Estimate(math.nan, math.nan, math.nan),
            other.losses[LOSS] - losses[LOSS] if other else math.nan,
            _noise(own, other.runs) if other else math.nan,
        )
        return found[row.name]

    return [one for row in grid.rows if (one := summary(row)) is not None]


def _mean_auc(measured: Sequence[Measured], dialogues: int, draw: int) -> Statistic:
    """Mean over the seeds; where dialogues are drawn, so are seeds, with random numbers of their own for each `draw`.

    Few drawn from few vary too little, by the root of (n - 1) / n, so their departures from the mean are made that much larger.
    """
    statistics = [auc_statistic(np.array(one.score), np.array(one.shift), np.array(one.dialogue), dialogues) for one in measured]
    seeds = len(statistics)
    wider = math.sqrt(seeds / (seeds - 1)) if seeds > 1 else 0.0

    def mean(counts: Floats) -> Floats:
        drawn = np.ones((len(counts), seeds))
        if len(counts) > 1:
            drawn += wider * (np.random.default_rng([draw, seeds]).multinomial(seeds, np.full(seeds, 1 / seeds), len(counts)) - 1)
        return np.sum([statistic(counts) * drawn[:, seed] for seed, statistic in enumerate(statistics)], axis=0) / seeds

    return mean


def _gain(own: Sequence[Measured], others: Sequence[Measured], dialogues: int) -> Statistic:
    first, second = _mean_auc(own, dialogues, 1), _mean_auc(others, dialogues, 2)
    return lambda counts: first(counts) - second(counts)


def _noise(own: Sequence[Measured], others: Sequence[Measured]) -> float:
    if min(len(own), len(others)) < 2:
        return math.nan
    return max(float(np.ptp([one.losses[LOSS] for one in runs])) for runs in (own, others))


def conclusion(summary: Summary) -> str:
    """What a row's comparison says, in plain words."""
    other = summary.against
    if other is None:
        return (
            f"AUC {_range(summary.auc, '.3f')}. What it is to be compared with was not measured." if summary.row.against else "What others are compared with."
        )
    gain, name, seeds = summary.auc_gain, f"“{other.row.name}”", min(len(summary.runs), len(other.runs))
    size = f"{gain.value:+.3f} AUC{'' if math.isnan(gain.low) else f' ({gain.low:+.3f} to {gain.high:+.3f})'}"
    if math.isnan(gain.low):
        words = f"Against {name} on one real call, which has no interval: {size}."
    elif not (summary.auc.low > CHANCE or other.auc.low > CHANCE):
        words = f"Neither it nor {name} is measurably above chance on the real calls, so they say nothing of which is better: {size}."
    elif seeds < 2:
        words = f"Against {name} on the real calls: {size}; with one seed it cannot be told from luck."
    elif gain.low > 0:
        words = f"Better than {name} on the real calls: {size}."
    elif gain.high < 0:
        words = f"Worse than {name} on the real calls: {size}."
    else:
        words = f"No difference to {name} that these calls can show: {size}."
    lower, loss = "lower" if summary.loss_gain > 0 else "higher", f"{abs(summary.loss_gain):.3f} nats"
    if math.isnan(summary.loss_noise):
        return f"{words} Loss of the next holder on held-out dialogues {lower} by {loss}; how much seeds differ is not known."
    if abs(summary.loss_gain) > summary.loss_noise:
        return f"{words} On held-out dialogues its loss is {lower} by {loss}, more than seeds differ."
    return f"{words} On held-out dialogues its loss differs by {loss}, no more than seeds do."


def _range(one: Estimate, digits: str) -> str:
    return f"{one.value:{digits}}" if math.isnan(one.low) else f"{one.value:{digits}} ({one.low:{digits}} to {one.high:{digits}})"


def write_report(grid: Grid, measured: Sequence[Measured], microseconds: Mapping[str, float], out: Path) -> list[Path]:
    """Table, plot and page.

    Args:
        grid: what was compared.
        measured: so far.
        microseconds: for 20 ms, by row.
        out: folder.
    Returns:
        The files.
    """
    summaries = summarise(grid, measured, microseconds)
    write_table(summaries, out / TABLE)
    draw_quality_and_cost(summaries, out / PLOT)
    (out / PAGE).write_text(page(grid, summaries), encoding="utf-8")
    return [out / name for name in (PAGE, TABLE, PLOT)]


def write_table(summaries: Sequence[Summary], path: Path) -> None:
    """A line for each row."""
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out, lineterminator="\n")
        names = ["row", "seeds", "auc", "auc_low", "auc_high", *(f"loss_{name}" for name in FOLLOWED_LOSSES), "us_per_20_ms", *OF_RUNS]
        rows.writerow([*names, "against", "auc_gain", "auc_gain_low", "auc_gain_high", "loss_gain", "loss_noise"])
        for one in summaries:
            figures = [
                one.row.name,
                len(one.runs),
                *astuple(one.auc),
                *one.losses.values(),
                one.microseconds,
                *(getattr(one.runs[0], name) for name in OF_RUNS),
            ]
            rows.writerow([*figures, one.against.row.name if one.against else "", *astuple(one.auc_gain), one.loss_gain, one.loss_noise])


def draw_quality_and_cost(summaries: Sequence[Summary], path: Path) -> None:
    """AUC, and loss on held-out dialogues, against the cost of 20 ms; each row a dot with its name."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    light = THEMES[0]
    figure: Any = Figure(figsize=(13.0, 6.2), layout="constrained", facecolor=light.paper)
    panels: NDArray[Any] = np.ravel(styled_panels(figure, light, nrows=1, ncols=2))
    cost = [one.microseconds for one in summaries]
    for panel, words, values, chance in (
        (panels[0], f"shift or hold on real calls, AUC {JUDGED_MS} ms into the silence (dotted: chance)", [one.auc.value for one in summaries], CHANCE),
        (panels[1], "loss of the next holder on held-out dialogues, nats (dotted: a coin)", [one.losses[LOSS] for one in summaries], math.log(2)),
    ):
        panel.plot(cost, values, "o", color=light.first, markersize=6)
        panel.axhline(chance, color=light.faint, linewidth=1, linestyle=":")
        for one, x, y in zip(summaries, cost, values, strict=True):
            panel.annotate(one.row.name, (x, y), xytext=(5, 3), textcoords="offset points", fontsize=7.5, color=light.ink)
        panel.set(xlabel="microseconds for 20 ms of one conversation, one thread", title=words, xscale="log")
        panel.xaxis.set_major_formatter(ScalarFormatter())
        panel.xaxis.set_minor_formatter(ScalarFormatter())
    figure.savefig(path, dpi=DPI, facecolor=light.paper)


def page(grid: Grid, summaries: Sequence[Summary]) -> str:
    """The conclusions, with the plot and the table."""
    compared = sum(one.against is not None for one in summaries)
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>",
        f"<title>Encoders compared</title><style>{STYLE}</style><h1>Encoders compared</h1>",
        f"<p class='note'>{html.escape(grid.about)} AUC: shift or hold, {JUDGED_MS} ms into the silence, mean over the seeds; chance is {CHANCE}. Losses in "
        f"nats; of the next holder, a coin has {math.log(2):.3f}. Intervals are 95 % over the real calls and, if there are several, the seeds; one "
        f"comparison in twenty, of {compared} here, may seem to differ by chance.</p>",
        "<h2>What it says</h2>",
    ]
    for question in dict.fromkeys(one.row.question for one in summaries):
        parts.append(f"<h3>{html.escape(question or 'The network that others are compared with')}</h3><ul>")
        parts += [f"<li><b>{html.escape(one.row.name)}</b>: {html.escape(conclusion(one))}</li>" for one in summaries if one.row.question == question]
        parts.append("</ul>")
    parts.append(f"<h2>Quality and cost</h2><figure><img src='{PLOT}' alt='quality against cost'></figure><h2>All figures</h2><div class='wide'><table>")
    head = ["row", "seeds", "AUC (95 %)", *(f"loss: {name}" for name in FOLLOWED_LOSSES), "us / 20 ms", "parameters", "reach", "heard", "of", "without labels"]
    parts.append("<tr>" + "".join(f"<th>{word}</th>" for word in head) + "</tr>")
    for one in summaries:
        run = one.runs[0]
        cells = [one.row.name, str(len(one.runs)), _range(one.auc, ".3f"), *(f"{loss:.3f}" for loss in one.losses.values()), f"{one.microseconds:.0f}"]
        cells += [f"{run.parameters:,}", f"{run.reach_s:.2f} s", f"{run.heard_h:.1f} h", f"{run.distinct_h:.1f} h", f"{run.unlabelled_h:.1f} h"]
        parts.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    parts.append(
        "</table></div><p class='note'>Heard: hours of labelled dialogue that each training heard, of so many different ones; without labels: hours that its "
        "pre-training heard before. Costs were measured in turn, in one sitting, on one thread.</p></html>\n"
    )
    return "\n".join(parts)
