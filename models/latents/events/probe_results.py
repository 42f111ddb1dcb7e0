"""What probes found:

AUC over time for each question and layer, as a table, as files and as a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tables import write_json as write_json_file
from ..tables import write_rows
from ..views import LIGHT, View, picture
from .contrasts import Contrast, stretch
from .label_contrasts import contrast_named
from .probe_fits import FOLDS, GAP_S, LEAST, MOST_LEFT_OUT

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
SPOKEN_OF = {
    "latent both": "last",
    "latent_speaker both": "first",
}  # what captions speak of: the first of these that was read
SHOWN_AT_S = (-0.5, -0.2, 0.0, 0.25)
FEW_DIALOGUES = 10
SIZE = (11.0, 12.5)  # of four rows
LEGEND = 0.35  # height of a row that has only the legend in it


@dataclass(frozen=True)
class Curve:
    """How well one line of LINES tells a question; arrays (K,), NaN where there are too few
    moments.

    Attributes:
        line: key of LINES.
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
        """From when and until when the interval lies above one half, and the value above chance
        (`stretch`).
        """
        known = ~np.isnan(self.low)
        return stretch(times_s[known], (self.low[known] > 0.5) & (self.auc[known] > self.chance))


@dataclass(frozen=True)
class Probed:
    """One question.

    Attributes:
        question: key of CONTRASTS, or a contrast of a label of one's own.
        moments: of the first and of the second class.
        dialogues: that they are from.
        counts: of both classes at each time, (K, 2).
        curves: none where there are too few moments.
    """

    question: str
    moments: tuple[int, int]
    dialogues: int
    counts: NDArray[np.int64]
    curves: tuple[Curve, ...]

    @property
    def contrast(self) -> Contrast:
        return contrast_named(self.question)


@dataclass(frozen=True)
class ProbeResults:
    """All questions put to one network's states.

    Attributes:
        model, weights_sha256: of the collection.
        dialogues: in it.
        times_s: from the moments, (K,).
        probed: by question.
        quality: how good the network is, in words.
    """

    model: str
    weights_sha256: str
    dialogues: int
    times_s: Floats
    probed: tuple[Probed, ...]
    quality: str = ""

    def permuted(self) -> Floats:
        """AUCs of all controls."""
        values = np.concatenate(
            [curve.permuted for one in self.probed for curve in one.curves] or [np.empty(0)]
        )
        return values[~np.isnan(values)]


def chance_of(permuted: Floats) -> float:
    """AUC above which labels in random order are found one time in forty, from those that were
    tried.

    An interval over dialogues takes a probe as given; that another probe would come of other
    dialogues makes the AUC of probes of nothing vary about twice as much as the interval says.
    """
    known = permuted[~np.isnan(permuted)]
    return 0.5 + 1.96 * float(np.sqrt(np.mean((known - 0.5) ** 2))) if len(known) else 0.5


def table(results: ProbeResults) -> str:
    """AUC at SHOWN_AT_S, and when it is more than chance, one row per question and line."""
    rows = [f"{'':47}" + "".join(f"{time:+8.2f} s" for time in SHOWN_AT_S) + "   more than chance"]
    for one in results.probed:
        few = "" if one.curves else ", too few"
        rows.append(
            f"{one.contrast.words()} ({one.moments[0]} and {one.moments[1]} of {one.dialogues} "
            f"dialogues{few})"
        )
        for curve in one.curves:
            values = [at(curve.auc, results.times_s, time) for time in SHOWN_AT_S]
            figures = "".join(
                f"{'-':>10}" if np.isnan(value) else f"{value:10.2f}" for value in values
            )
            rows.append(
                f"  {LINES[curve.line][0]:45}{figures}   {_when(curve.readable(results.times_s))}"
            )
    return "\n".join(rows)


def at(values: Floats, times_s: Floats, time_s: float) -> float:
    """A curve's value at one of its times; NaN at any other."""
    found = np.flatnonzero(np.abs(times_s - time_s) < 1e-6)
    return float(values[found[0]]) if len(found) else float("nan")


def write_csv(results: ProbeResults, path: Path) -> None:
    """Write a row per question, line and time; empty where there is no figure."""
    figures = ("auc", "low", "high", "permuted_auc", "chance")
    write_rows(
        path,
        ("question", "line", "time_s", "first", "second", "dialogues", *figures),
        (
            (
                one.question,
                curve.line,
                time_s,
                *one.counts[k],
                one.dialogues,
                *(values[k] for values in (curve.auc, curve.low, curve.high, curve.permuted)),
                curve.chance,
            )
            for one in results.probed
            for curve in one.curves
            for k, time_s in enumerate(results.times_s)
        ),
    )


def write_json(results: ProbeResults, path: Path) -> None:
    """Write the same with what it was measured on; NaN becomes null."""

    def lines(one: Probed) -> dict[str, Any]:
        return {
            curve.line: {
                **{
                    name: np.round(getattr(curve, name), 4)
                    for name in ("auc", "low", "high", "permuted", "chance")
                },
                "more_than_chance_s": curve.readable(results.times_s),
            }
            for curve in one.curves
        }

    questions = [
        {
            "question": one.question,
            "classes": one.contrast.classes,
            "moments": one.moments,
            "dialogues": one.dialogues,
            "counts": one.counts,
            "lines": lines(one),
        }
        for one in results.probed
    ]
    about = {
        name: getattr(results, name) for name in ("model", "weights_sha256", "dialogues", "times_s")
    }
    write_json_file(path, about | {"questions": questions})


def caption_of(results: ProbeResults) -> str:
    """What the picture shows, in words."""
    told = [one for one in results.probed if one.curves]
    words = [
        f"How well linear probes read {results.model}, each scored on dialogues that it has not "
        "seen: AUC within dialogue and speaker, with 95 % intervals."
    ]
    blocks = (
        f"each of {FOLDS} blocks of time by a probe that has not seen it nor {GAP_S:g} s on "
        "either side"
    )
    single = [one.contrast.words() for one in told if one.dialogues == 1]
    if single and len(single) == len(told):
        words[0] = (
            f"How well linear probes read {results.model} in a single dialogue, {blocks}: "
            "AUC within block and speaker, with 95 % intervals over the blocks, which say nothing "
            "of other dialogues."
        )
    elif told and max(one.dialogues for one in told) <= MOST_LEFT_OUT:
        words[0] = words[0].replace(
            "dialogues that it has not seen", "a dialogue that it has not seen"
        )
    if told and 1 < max(one.dialogues for one in told) < FEW_DIALOGUES:
        words.append(
            f"With {max(one.dialogues for one in told)} dialogues the intervals are rough."
        )
    if single and len(single) < len(told):
        words.append(
            f"Scored within the one dialogue that has enough of it, {blocks}, with intervals over "
            f"the blocks: {'; '.join(single)}."
        )
    words += [_sentence(one, results.times_s) for one in told]
    lacking = [
        f"{one.contrast.words()} ({one.moments[0]} and {one.moments[1]})"
        for one in results.probed
        if not one.curves
    ]
    if lacking:
        words.append(
            f"Too few moments, a figure needing {LEAST} of each class: {'; '.join(lacking)}."
        )
    permuted = results.permuted()
    if len(permuted):
        words.append(
            f"Control: with labels in random order the probes give {permuted.mean():.2f} on "
            f"average ({permuted.min():.2f} to {permuted.max():.2f}; crosses)."
        )
    if told:
        words.append(
            "Dots: from there on, without a break, it is more than chance: the interval, which "
            "takes the probe as given, lies above one half, and the value "
            "above what labels in random order give one time in forty (grey band, of the probes). "
            "No moment after the end of a silence is read."
        )
    return " ".join([*words, results.quality]).strip()


def draw_probes(results: ProbeResults, out: Path) -> View:
    """AUC over time, a panel per question, a line per layer.

    Args:
        results: of `probe`.
        out: .png.
    """
    title, caption = f"When what can be read: linear probes of {results.model}", caption_of(results)
    rows, alone = (
        len(results.probed) // 2 + 1,
        len(results.probed) % 2 == 0,
    )  # the legend is beside the last panel, or in a row of its own
    heights = [1.0] * (rows - 1) + [LEGEND if alone else 1.0]
    with picture(
        out,
        title,
        caption,
        (SIZE[0], SIZE[1] * sum(heights) / 4),
        nrows=rows,
        ncols=2,
        squeeze=False,
        height_ratios=heights,
    ) as panels:
        flat = list(np.ravel(panels))
        for panel, one in zip(flat, results.probed, strict=False):
            _draw_question(panel, one, results.times_s)
        handles: dict[str, Any] = {}
        for panel in flat[: len(results.probed)]:
            found, labels = panel.get_legend_handles_labels()
            handles |= dict(zip(labels, found, strict=True))
        for panel in flat[len(results.probed) :]:
            panel.axis("off")
        if handles:
            place = flat[0].figure.add_subplot(flat[0].get_gridspec()[-1, :]) if alone else flat[-1]
            place.axis("off")
            place.legend(
                handles.values(),
                handles.keys(),
                loc="center",
                ncols=3 if alone else 1,
                frameon=False,
                fontsize=9.5,
                handlelength=3.5,
                title="read from",
            )
    return View(out, title, caption)


def _draw_question(panel: Any, one: Probed, times_s: Floats) -> None:
    panel.set_title(
        f"{one.contrast.words()}  ({one.moments[0]} and {one.moments[1]} moments)",
        fontsize=10,
        color=LIGHT.ink,
        loc="left",
    )
    panel.set_xlim(times_s[0] - 0.03, times_s[-1] + 0.03)
    panel.set_ylim(0.2, 1.02)
    panel.set_xlabel(f"seconds from: {one.contrast.zero}", fontsize=9, color=LIGHT.ink)
    panel.set_ylabel("AUC within dialogue and speaker", fontsize=8, color=LIGHT.ink)
    panel.axhline(0.5, color=LIGHT.faint, linewidth=1, linestyle=":")
    panel.axvline(0, color=LIGHT.faint, linewidth=1)
    if not one.curves:
        words = (
            f"too few: {one.moments[0]} {one.contrast.classes[0]}, {one.moments[1]} "
            f"{one.contrast.classes[1]}\n({one.contrast.lacking})"
        )
        panel.text(
            0.5,
            0.6,
            words,
            transform=panel.transAxes,
            ha="center",
            va="center",
            fontsize=9.5,
            color=LIGHT.ink,
        )
        return
    chance = one.curves[0].chance
    panel.axhspan(1 - chance, chance, color=LIGHT.faint, alpha=0.18, linewidth=0)
    for curve in one.curves:
        label, colour, dashes = LINES[curve.line]
        panel.fill_between(times_s, curve.low, curve.high, color=colour, alpha=0.09, linewidth=0)
        panel.plot(times_s, curve.auc, color=colour, linestyle=dashes, linewidth=1.6, label=label)
        panel.plot(
            times_s, curve.permuted, "x", color=LIGHT.faint, markersize=3, markeredgewidth=0.7
        )
        if (found := curve.readable(times_s)) is not None:
            panel.plot(
                [found[0]], [at(curve.auc, times_s, found[0])], "o", color=colour, markersize=5
            )


def _sentence(one: Probed, times_s: Floats) -> str:
    curves = {curve.line: curve for curve in one.curves}
    line = next(line for line in SPOKEN_OF if line in curves)
    curve, said = curves[line], curves[SAID]
    question = one.contrast.words().capitalize()
    known = np.flatnonzero(~np.isnan(curve.auc) & (times_s <= 0))
    if not len(known):
        return f"{question}, no figure up to time 0."
    k = int(known[-1])
    place = "at time 0" if times_s[k] == 0 else f"at {times_s[k]:.1f} s"
    figures = (
        f"the {SPOKEN_OF[line]} RNN's states of both speakers give {curve.auc[k]:.2f} "
        f"({curve.low[k]:.2f} to {curve.high[k]:.2f})"
    )
    # What the network says is itself linear in the last RNN's states, so a probe of these with
    # enough moments could say it, too.
    missed = said.auc[k] > curve.high[k] and line.startswith("latent ")
    beside = f", what the network says {said.auc[k]:.2f}" + (
        ", which these probes have too few moments to find" if missed else ""
    )
    beside = "" if np.isnan(said.auc[k]) else beside  # imported states may come without
    if COUNTED in curves and not np.isnan(curves[COUNTED].auc[k]):
        beside += f", counting this speaker's earlier ones {curves[COUNTED].auc[k]:.2f}"
    return (
        f"{question}, {place}: {figures}{beside}; more than chance "
        f"{_when(curve.readable(times_s), times_s)}."
    )


def _when(found: tuple[float, float] | None, times_s: Floats | None = None) -> str:
    if found is None:
        return "never"
    if found[0] == found[1]:
        return f"only at {found[0]:+.2f} s"
    return (
        f"from {found[0]:+.2f} s"
        + (" (the first time read)" if times_s is not None and found[0] == times_s[0] else "")
        + f" to {found[1]:+.2f} s"
    )
