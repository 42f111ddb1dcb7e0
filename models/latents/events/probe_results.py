"""What probes found: AUC over time for each question and layer, as a table, as files and as a
picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..drawing import heading, line_with_band, listed
from ..tables import write_json as write_json_file
from ..tables import write_rows
from ..views import LIGHT, View, picture
from .contrasts import Contrast, stretch, stretch_in_words
from .label_contrasts import contrast_named
from .probe_fits import FOLDS, GAP_S, LEAST

Floats = NDArray[np.float64]

SAID, COUNTED = "said", "counted"
LINES: dict[str, tuple[str, str, Any]] = {  # what is read: (in words, colour, dashes)
    "latent_speaker own": ("first RNN, own state", "#56b4e9", (0, (4, 1.5))),
    "latent_speaker both": ("first RNN, own and other's state", "#0072b2", "-"),
    "latent own": ("last RNN, own state", "#e69f00", (0, (4, 1.5))),
    "latent both": ("last RNN, own and other's state", "#d55e00", "-"),
    "sound both": ("newest frame of sound, both channels", "#777777", (0, (1, 1.2))),
    SAID: ("what the network itself says", "#009e73", (0, (6, 1.5, 1, 1.5))),
    COUNTED: ("counting this speaker's earlier ones", "#b3568c", (0, (3, 2))),
}
# What captions speak of: the first of these that was read.
SPOKEN_OF = {"latent both": "last", "latent_speaker both": "first"}
SHOWN_AT_S = (-0.5, -0.2, 0.0, 0.25)
FEW_DIALOGUES = 10
WIDTH, ROW, LEGEND = 11.0, 3.1, 1.1  # of the picture, of a row, and of one that has only the legend


@dataclass(frozen=True)
class Curve:
    """How well one line of LINES tells a question; arrays (K,), NaN where there are too few
    moments.

    Attributes:
        auc, low, high: with 95 % interval.
        permuted: AUC with labels in random order; NaN where that was not tried.
        chance: AUC that labels in random order seldom reach (`chance_of`).
    """

    line: str
    auc: Floats
    low: Floats
    high: Floats
    permuted: Floats
    chance: float

    def readable(self, times_s: Floats) -> tuple[float, float] | None:
        """From when and until when the interval lies above 0.5, and the value above chance."""
        known = ~np.isnan(self.low)
        return stretch(times_s[known], (self.low[known] > 0.5) & (self.auc[known] > self.chance))


@dataclass(frozen=True)
class Probed:
    """One question: the moments of both classes, the dialogues that they are from, and how many
    there are at each time, (K, 2); no curves where there are too few.
    """

    question: str
    moments: tuple[int, int]
    dialogues: int
    counts: NDArray[np.int64]
    curves: tuple[Curve, ...]

    @property
    def contrast(self) -> Contrast:
        return contrast_named(self.question)

    @property
    def counted(self) -> str:
        """The question, and how many moments of each class there are."""
        return f"{self.contrast.words()} ({self.moments[0]} and {self.moments[1]})"


@dataclass(frozen=True)
class ProbeResults:
    """All questions put to one network's states, at times from the moments, (K,); `quality` is how
    good the network is, in words.
    """

    model: str
    weights_sha256: str
    dialogues: int
    times_s: Floats
    probed: tuple[Probed, ...]
    quality: str = ""

    def permuted(self) -> Floats:
        """AUCs of all controls."""
        controls = [curve.permuted for one in self.probed for curve in one.curves]
        values = np.concatenate([*controls, np.empty(0)])
        return values[~np.isnan(values)]


def chance_of(permuted: Floats) -> float:
    """Return the AUC that labels in random order reach one time in forty, from those tried.

    An interval over dialogues takes a probe as given; that another probe would come of other
    dialogues makes the AUC of probes of nothing vary about twice as much as the interval says.
    """
    known = permuted[~np.isnan(permuted)]
    return 0.5 + 1.96 * float(np.sqrt(np.mean((known - 0.5) ** 2))) if len(known) else 0.5


def table(results: ProbeResults) -> str:
    """Return AUC at SHOWN_AT_S, and when it is more than chance, one row per question and line."""
    rows = [f"{'':47}" + "".join(f"{time:+8.2f} s" for time in SHOWN_AT_S) + "   more than chance"]
    for one in results.probed:
        few = "" if one.curves else ", too few"
        rows.append(f"{one.counted} of {one.dialogues} dialogues{few}")
        for curve in one.curves:
            values = (at(curve.auc, results.times_s, time) for time in SHOWN_AT_S)
            figures = "".join(f"{f'{auc:.2f}'.replace('nan', '-'):>10}" for auc in values)
            when = stretch_in_words(curve.readable(results.times_s), results.times_s)
            rows.append(f"  {LINES[curve.line][0]:45}{figures}   {when}")
    return "\n".join(rows)


def at(values: Floats, times_s: Floats, time_s: float) -> float:
    """Return a curve's value at one of its times; NaN at any other."""
    found = np.flatnonzero(np.abs(times_s - time_s) < 1e-6)
    return float(values[found[0]]) if len(found) else float("nan")


def write_csv(results: ProbeResults, path: Path) -> None:
    """Write a row per question, line and time; empty where there is no figure."""
    figures = ("auc", "low", "high", "permuted_auc", "chance")
    header = ("question", "line", "time_s", "first", "second", "dialogues", *figures)
    rows: list[tuple[Any, ...]] = []
    for one in results.probed:
        for curve in one.curves:
            about = zip(results.times_s, one.counts, curve.auc, curve.low, curve.high, strict=True)
            for (time_s, counts, *values), control in zip(about, curve.permuted, strict=True):
                row = (one.question, curve.line, time_s, *counts, one.dialogues, *values)
                rows.append((*row, control, curve.chance))
    write_rows(path, header, rows)


def write_json(results: ProbeResults, path: Path) -> None:
    """Write the same with what it was measured on; NaN becomes null."""
    figures = ("auc", "low", "high", "permuted", "chance")
    questions: list[dict[str, Any]] = []
    for one in results.probed:
        lines = {
            curve.line: {name: np.round(getattr(curve, name), 4) for name in figures}
            | {"more_than_chance_s": curve.readable(results.times_s)}
            for curve in one.curves
        }
        found = {"counts": one.counts, "lines": lines, "classes": one.contrast.classes}
        found |= {"question": one.question, "moments": one.moments, "dialogues": one.dialogues}
        questions.append(found)
    names = ("model", "weights_sha256", "dialogues", "times_s")
    write_json_file(path, {n: getattr(results, n) for n in names} | {"questions": questions})


def caption_of(results: ProbeResults) -> str:
    """Return what the picture shows: a sentence, and the figures."""
    told = [one for one in results.probed if one.curves]
    figures = dict(_figures(one, results.times_s) for one in told)
    most = max((one.dialogues for one in told), default=0)
    single = [one.contrast.words() for one in told if one.dialogues == 1]
    figures["in one dialogue, over blocks of time"] = ", ".join(single)
    figures["rough intervals"] = f"{most} dialogues" if 1 < most < FEW_DIALOGUES else ""
    lacking = [one.counted for one in results.probed if not one.curves]
    figures[f"too few moments, fewer than {LEAST} of a class"] = ", ".join(lacking)
    if len(permuted := results.permuted()):
        low, high = permuted.min(), permuted.max()
        words = f"{permuted.mean():.2f} on average ({low:.2f} to {high:.2f})"
        figures["control, labels in random order (crosses)"] = words
    return (
        f"How well linear probes read {results.model}: AUC within dialogue and speaker, with 95 % "
        "intervals, of dialogues that a probe has not seen. Where one dialogue alone has enough "
        f"moments, {FOLDS} blocks of time stand for dialogues, each read by a probe that has not "
        f"seen it nor {GAP_S:g} s on either side; such intervals say nothing of other dialogues. "
        "Dots: from there on, without a break, it is more than chance: the interval, which takes "
        "the probe as given, lies above one half, and the value above what labels in random order "
        "give one time in forty (grey band, of the probes). No moment after the end of a silence "
        f"is read. {listed(figures)} {results.quality}"
    ).strip()


def _figures(one: Probed, times_s: Floats) -> tuple[str, str]:
    """The newest moment up to time 0 of a question, and the figures at it."""
    curves = {curve.line: curve for curve in one.curves}
    line = next(line for line in SPOKEN_OF if line in curves)
    curve, name = curves[line], one.contrast.words().capitalize()
    known = np.flatnonzero(~np.isnan(curve.auc) & (times_s <= 0))
    if not len(known):
        return name, "no figure up to time 0"
    k = int(known[-1])
    spread = f"({curve.low[k]:.2f} to {curve.high[k]:.2f})"
    words = [f"the {SPOKEN_OF[line]} RNN's states of both speakers {curve.auc[k]:.2f} {spread}"]
    for other, what in ((SAID, "the network itself"), (COUNTED, "counting earlier ones")):
        if other in curves and not np.isnan(curves[other].auc[k]):  # imported states may lack it
            words.append(f"{what} {curves[other].auc[k]:.2f}")
    # What the network says is itself linear in the last RNN's states, so a probe of these with
    # enough moments could say it, too.
    if line == "latent both" and curves[SAID].auc[k] > curve.high[k]:
        words.append("too few moments for the probe to find what the network says")
    words.append(f"more than chance {stretch_in_words(curve.readable(times_s), times_s)}")
    return f"{name}, at {f'{times_s[k]:.1f} s' if times_s[k] else 'time 0'}", ", ".join(words)


def draw_probes(results: ProbeResults, out: Path) -> View:
    """Draw AUC over time (.png), a panel per question, a line per layer."""
    title, caption = f"When what can be read: linear probes of {results.model}", caption_of(results)
    count = len(results.probed)
    # The legend is beside the last panel, or in a row of its own.
    heights = [ROW] * (count // 2) + [ROW if count % 2 else LEGEND]
    grid = {"nrows": len(heights), "ncols": 2, "height_ratios": heights, "squeeze": False}
    with picture(out, title, caption, (WIDTH, sum(heights)), **grid) as panels:
        for panel, one in zip(panels.flat, results.probed, strict=False):
            _draw_question(panel, one, results.times_s)
        for panel in panels.flat[count:]:
            panel.axis("off")
        beside, look = panels.flat[count], {"frameon": False, "fontsize": 9.5, "title": "read from"}
        there = {curve.line for one in results.probed for curve in one.curves}
        for line, (label, colour, dashes) in LINES.items():
            if line in there:
                beside.plot([], [], color=colour, linestyle=dashes, linewidth=1.6, label=label)
        if there:
            columns = 2 - count % 2
            legend = beside.legend(loc="center left", ncols=columns, handlelength=3.5, **look)
            legend.set_in_layout(False)  # it may be wider than its panel: nothing is beside it
    return View(out, title, caption)


def _draw_question(panel: Any, one: Probed, times_s: Floats) -> None:
    heading(panel, one.counted, 10, loc="left")
    panel.set_xlim(times_s[0] - 0.03, times_s[-1] + 0.03)
    panel.set_ylim(0.2, 1.02)
    panel.set_xlabel(f"seconds from: {one.contrast.zero}", fontsize=9, color=LIGHT.ink)
    panel.set_ylabel("AUC within dialogue and speaker", fontsize=8, color=LIGHT.ink)
    panel.axhline(0.5, color=LIGHT.faint, linewidth=1, linestyle=":")
    panel.axvline(0, color=LIGHT.faint, linewidth=1)
    if not one.curves:
        middle = {"ha": "center", "va": "center", "fontsize": 9.5, "color": LIGHT.ink}
        words = f"too few moments\n({one.contrast.lacking})"
        panel.text(0.5, 0.6, words, transform=panel.transAxes, **middle)
        return
    chance = one.curves[0].chance
    panel.axhspan(1 - chance, chance, color=LIGHT.faint, alpha=0.18, linewidth=0)
    crosses = {"color": LIGHT.faint, "markersize": 3, "markeredgewidth": 0.7}
    for curve in one.curves:
        label, colour, dashes = LINES[curve.line]
        values = np.stack([curve.auc, curve.low, curve.high], axis=1)
        line_with_band(panel, times_s, values, colour, label, linestyle=dashes, linewidth=1.6)
        panel.plot(times_s, curve.permuted, "x", **crosses)
        if (found := curve.readable(times_s)) is not None:
            panel.plot(found[0], at(curve.auc, times_s, found[0]), "o", color=colour, markersize=5)
