"""What a grid came to: a table, a plot of quality against cost, and a page of conclusions, each difference with its interval."""

from __future__ import annotations

import csv
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
FOLLOWED_LOSSES = ("next_holder", "projection", "vad")


@dataclass(frozen=True)
class Summary:
    """One row over its seeds.

    Attributes:
        row: of the grid.
        seeds: how many were measured.
        auc: shift or hold on the real dialogues, mean over the seeds; interval over dialogues and seeds.
        losses: by head, mean over the seeds.
        spread: of the loss compared, highest less lowest seed.
        microseconds: for 20 ms of one conversation.
        parameters, reach_s: see Measured.
        against: name of the row that it is compared with; "" for the first.
        auc_gain: its AUC less that of the other, on the same dialogues; interval over dialogues and seeds.
        loss_gain: the other's loss less its own, mean over the seeds.
        loss_noise: largest difference that two seeds of the same row, this or the other, have.
    """

    row: Row
    seeds: int
    auc: Estimate
    losses: dict[str, float]
    spread: float
    microseconds: float
    parameters: int
    reach_s: float
    against: str
    auc_gain: Estimate
    loss_gain: float
    loss_noise: float


def summarise(grid: Grid, measured: Sequence[Measured], microseconds: Mapping[str, float]) -> list[Summary]:
    """Every row of the grid that was measured, in its order.

    Args:
        grid: what was compared.
        measured: so far.
        microseconds: for 20 ms, by row.
    """
    by_row = {row.name: [one for one in measured if one.row == row.name] for row in grid.rows}
    found: list[Summary] = []
    for row in grid.rows:
        own = by_row[row.name]
        if not own:
            continue
        other = grid.reference(row)
        others = by_row[other.name] if other else []
        dialogues = 1 + max(own[0].dialogue, default=-1)
        nothing = Estimate(float("nan"), float("nan"), float("nan"))
        losses = {name: float(np.mean([one.losses[name] for one in own])) for name in FOLLOWED_LOSSES}
        found.append(
            Summary(
                row,
                len(own),
                estimate(_mean_auc(own, dialogues), dialogues),
                losses,
                _spread(own),
                microseconds[row.name],
                own[0].parameters,
                own[0].reach_s,
                other.name if other and others else "",
                estimate(_gain(own, others, dialogues), dialogues) if others else nothing,
                float(np.mean([one.losses[LOSS] for one in others])) - losses[LOSS] if others else float("nan"),
                max(_spread(own), _spread(others)) if others else float("nan"),
            )
        )
    return found


def _mean_auc(measured: Sequence[Measured], dialogues: int, draw: int = 0) -> Statistic:
    """Mean over the seeds; where dialogues are drawn, so are seeds, with random numbers of their own for each `draw`."""
    statistics = [auc_statistic(np.array(one.score), np.array(one.shift), np.array(one.dialogue), dialogues) for one in measured]
    seeds = len(statistics)

    def mean(counts: Floats) -> Floats:
        drawn = np.random.default_rng(draw).multinomial(seeds, np.full(seeds, 1 / seeds), len(counts)) if len(counts) > 1 else np.ones((1, seeds))
        return np.sum([statistic(counts) * drawn[:, seed] for seed, statistic in enumerate(statistics)], axis=0) / seeds

    return mean


def _gain(own: Sequence[Measured], others: Sequence[Measured], dialogues: int) -> Statistic:
    first, second = _mean_auc(own, dialogues, 1), _mean_auc(others, dialogues, 2)
    return lambda counts: first(counts) - second(counts)


def _spread(measured: Sequence[Measured]) -> float:
    values = [one.losses[LOSS] for one in measured]
    return max(values) - min(values) if len(values) > 1 else float("nan")


def conclusion(summary: Summary) -> str:
    """What a row's comparison says, in plain words."""
    if not summary.against:
        return "What the others are compared with." if np.isnan(summary.auc_gain.value) and not summary.row.against else "Not to be compared yet."
    gain, name = summary.auc_gain, f"“{summary.against}”"
    size = f"{gain.value:+.3f} AUC ({gain.low:+.3f} to {gain.high:+.3f})"
    if gain.low > 0:
        words = f"Better than {name} on the real calls: {size}."
    elif gain.high < 0:
        words = f"Worse than {name} on the real calls: {size}."
    else:
        words = f"No difference to {name} that these calls can show: {size}."
    loss = f"{abs(summary.loss_gain):.3f} nats"
    if np.isnan(summary.loss_noise):
        return f"{words} Loss of the next holder on held-out dialogues {'lower' if summary.loss_gain > 0 else 'higher'} by {loss}, from one seed each."
    if abs(summary.loss_gain) > summary.loss_noise:
        return f"{words} On held-out dialogues its loss is {'lower' if summary.loss_gain > 0 else 'higher'} by {loss}, more than seeds differ."
    return f"{words} On held-out dialogues its loss differs by {loss}, no more than seeds do."


def write_report(grid: Grid, measured: Sequence[Measured], microseconds: Mapping[str, float], out: Path, heard_h: float) -> list[Path]:
    """Table, plot and page.

    Args:
        grid: what was compared.
        measured: so far.
        microseconds: for 20 ms, by row.
        out: folder.
        heard_h: hours of dialogue that each network heard in its training.
    Returns:
        The files.
    """
    summaries = summarise(grid, measured, microseconds)
    write_table(summaries, out / TABLE)
    draw_quality_and_cost(summaries, out / PLOT)
    (out / PAGE).write_text(page(grid, summaries, heard_h), encoding="utf-8")
    return [out / name for name in (PAGE, TABLE, PLOT)]


def write_table(summaries: Sequence[Summary], path: Path) -> None:
    """A line for each row."""
    with path.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out, lineterminator="\n")
        names = ["auc", "auc_low", "auc_high", *(f"loss_{name}" for name in FOLLOWED_LOSSES), "us_per_20_ms", "parameters", "reach_s"]
        rows.writerow(["row", "seeds", *names, "against", "auc_gain", "auc_gain_low", "auc_gain_high", "loss_gain", "loss_noise"])
        for one in summaries:
            gains = [one.against, one.auc_gain.value, one.auc_gain.low, one.auc_gain.high, one.loss_gain, one.loss_noise]
            figures = [*(one.losses[name] for name in FOLLOWED_LOSSES), one.microseconds, one.parameters, one.reach_s]
            rows.writerow([one.row.name, one.seeds, one.auc.value, one.auc.low, one.auc.high, *figures, *gains])


def draw_quality_and_cost(summaries: Sequence[Summary], path: Path) -> None:
    """AUC, and loss on held-out dialogues, against the cost of 20 ms; each row a dot with its name."""
    from matplotlib.figure import Figure

    light = THEMES[0]
    figure: Any = Figure(figsize=(13.0, 6.2), layout="constrained", facecolor=light.paper)
    panels: NDArray[Any] = np.ravel(styled_panels(figure, light, nrows=1, ncols=2))
    cost = [one.microseconds for one in summaries]
    for panel, words, values in (
        (panels[0], f"shift or hold on real calls, AUC {JUDGED_MS} ms into the silence", [one.auc.value for one in summaries]),
        (panels[1], "loss of the next holder on held-out dialogues (nats)", [one.losses[LOSS] for one in summaries]),
    ):
        panel.plot(cost, values, "o", color=light.first, markersize=6)
        for one, x, y in zip(summaries, cost, values, strict=True):
            panel.annotate(one.row.name, (x, y), xytext=(5, 3), textcoords="offset points", fontsize=7.5, color=light.ink)
        panel.set(xlabel="microseconds for 20 ms of one conversation, one thread", title=words, xscale="log")
    figure.savefig(path, dpi=DPI, facecolor=light.paper)


def page(grid: Grid, summaries: Sequence[Summary], heard_h: float) -> str:
    """The conclusions, with the table and the plot."""
    seeds = sorted({one.seeds for one in summaries})
    counted = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>",
        f"<title>Encoders compared</title><style>{STYLE}</style><h1>Encoders compared</h1>",
        f"<p class='note'>{html.escape(grid.about)} {len(summaries)} rows, {counted} {'seed' if seeds == [1] else 'seeds'} of each; every network heard "
        f"{heard_h:.1f} hours of dialogue in its training. AUC: shift or hold, {JUDGED_MS} ms into the silence, mean over the seeds; intervals are 95 % "
        "over the real calls and, where there are several, the seeds.</p>",
        "<h2>What it says</h2>",
    ]
    questions = list(dict.fromkeys(one.row.question for one in summaries))
    for question in questions:
        parts.append(f"<h3>{html.escape(question or 'The network that the others are compared with')}</h3><ul>")
        parts += [f"<li><b>{html.escape(one.row.name)}</b>: {html.escape(conclusion(one))}</li>" for one in summaries if one.row.question == question]
        parts.append("</ul>")
    parts.append(f"<h2>Quality and cost</h2><figure><img src='{PLOT}' alt='quality against cost'></figure><h2>All figures</h2><div class='wide'><table>")
    head = ["row", "seeds", "AUC (95 %)", *(f"loss: {name}" for name in FOLLOWED_LOSSES), "us / 20 ms", "parameters", "reach"]
    parts.append("<tr>" + "".join(f"<th>{word}</th>" for word in head) + "</tr>")
    for one in summaries:
        cells = [one.row.name, str(one.seeds), f"{one.auc.value:.3f} ({one.auc.low:.3f} to {one.auc.high:.3f})"]
        cells += [f"{one.losses[name]:.3f}" for name in FOLLOWED_LOSSES] + [f"{one.microseconds:.0f}", f"{one.parameters:,}", f"{one.reach_s:.2f} s"]
        parts.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return "\n".join([*parts, "</table></div></html>\n"])
