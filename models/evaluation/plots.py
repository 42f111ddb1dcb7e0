"""Draw the plots of an evaluation: ROC, end-of-turn frontier, reliability, robustness.

Each plot is drawn twice, for light and for dark pages. The colours are those of Okabe & Ito,
which colour-blind people can tell apart. Every curve also has its own line style.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import MissingExtraError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Theme:
    """The colours of light or of dark pages."""

    name: str
    paper: str
    ink: str
    faint: str
    first: str  # speaker 0, and the model in stereo
    second: str  # speaker 1, and the model in mono
    third: str
    fourth: str


THEMES = (
    Theme("light", "#ffffff", "#222222", "#999999", "#0072b2", "#d55e00", "#009e73", "#b3568c"),
    Theme("dark", "#16181c", "#e6e6e6", "#777777", "#56b4e9", "#e69f00", "#2fc79a", "#d98bb8"),
)
DASHES: dict[str, Any] = {
    "stereo": "-",
    "mono": (0, (5, 1.5)),
    "smart-turn": "-",
    "Silero VAD": (0, (3, 1, 1, 1)),
    "silence timer": (0, (1, 1.5)),
    "judge": (0, (4, 1.5, 1, 1.5)),
}
DPI = 130


@dataclass(frozen=True)
class Curve:
    """A line to draw: x and y, (K,) each, and its legend text."""

    x: Floats
    y: Floats
    label: str


@dataclass(frozen=True)
class Range:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def check_matplotlib() -> None:
    """Check that matplotlib is there, before any other work is done.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError("matplotlib", "plot") from None


@contextmanager
def picture(
    folder: Path, name: str, theme: Theme, size: tuple[float, float], **grid: Any
) -> Iterator[Any]:
    """Yield the panels of a new figure; save it as `name`.`theme`.png on exit.

    The panels are what `subplots` returns for the arguments in `grid`.
    """
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    figure: Any = Figure(figsize=size, layout="constrained", facecolor=theme.paper)
    panels = styled_panels(figure, theme, **grid)
    yield panels
    for panel in np.ravel(panels):
        for words in (panel.title, panel.xaxis.label, panel.yaxis.label):
            words.set_color(theme.ink)
    figure.savefig(folder / f"{name}.{theme.name}.png", dpi=DPI, facecolor=theme.paper)


def styled_panels(figure: Any, theme: Theme, **grid: Any) -> Any:
    """Return a figure's panels in the colours of a theme, as `subplots(**grid)` returns them."""
    panels = figure.subplots(**grid)
    for panel in np.ravel(panels):
        panel.set_facecolor(theme.paper)
        panel.tick_params(colors=theme.ink, labelsize=9)
        panel.grid(color=theme.faint, alpha=0.25, linewidth=0.6)
        panel.set_axisbelow(True)
        for side, spine in panel.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(theme.faint)
    return panels


def colour_of(system: str, theme: Theme) -> str:
    """Return the colour of a system, the same in all plots."""
    colours = {
        "stereo": theme.first,
        "mono": theme.second,
        "smart-turn": theme.third,
        "Silero VAD": theme.fourth,
        "judge": theme.ink,
    }
    return colours.get(system, theme.faint)


def draw_roc(folder: Path, curves: Mapping[str, Curve]) -> None:
    """Draw one ROC curve per system: shifts found against holds taken for shifts."""
    for theme in THEMES:
        with picture(folder, "roc", theme, (5.6, 5.2)) as panel:
            panel.plot([0, 1], [0, 1], color=theme.faint, linewidth=1, linestyle=":")
            for system, curve in curves.items():
                panel.plot(
                    curve.x,
                    curve.y,
                    color=colour_of(system, theme),
                    linestyle=DASHES.get(system, "-"),
                    linewidth=2,
                    label=curve.label,
                )
            panel.set(
                xlabel="share of holds taken for shifts",
                ylabel="share of shifts found",
                xlim=(0, 1),
                ylim=(0, 1.005),
                aspect="equal",
            )
            _legend(panel, theme, "lower right")


def draw_frontier(
    folder: Path,
    curves: Mapping[str, Curve],
    presets: Mapping[str, Mapping[str, tuple[float, float]]],
) -> None:
    """Draw the smallest cut-off at each mean latency, and the measured points of the presets.

    Args:
        folder: the folder to write to.
        curves: by system: x is latency in seconds, y is the share of holds that are cut off.
        presets: by setting and preset: latency in seconds, share of holds that are cut off.
    """
    for theme in THEMES:
        with picture(folder, "frontier", theme, (6.2, 5.2)) as panel:
            for system, curve in curves.items():
                panel.step(
                    curve.x,
                    100 * curve.y,
                    where="post",
                    color=colour_of(system, theme),
                    linestyle=DASHES.get(system, "-"),
                    linewidth=2,
                    label=curve.label,
                )
            for setting, points in presets.items():
                dots = np.array(list(points.values())) * (1, 100)
                panel.plot(
                    *dots.T,
                    "o",
                    color=colour_of(setting, theme),
                    markersize=8,
                    markeredgecolor=theme.paper,
                    label=f"presets, {setting}",
                )
                for preset, (latency_s, cut_off) in points.items():
                    if np.isfinite([latency_s, cut_off]).all():
                        panel.annotate(
                            preset,
                            (latency_s, 100 * cut_off),
                            xytext=(7, 5),
                            textcoords="offset points",
                            fontsize=8,
                            color=theme.ink,
                        )
            panel.set(
                xlabel="mean latency of an end of turn, seconds",
                ylabel="thinking pauses cut off, %",
                xlim=(0, 2.6),
                ylim=(0, 100),
            )
            _legend(panel, theme, "upper right")


def draw_reliability(
    folder: Path, bins: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[int]]]
) -> None:
    """Draw predicted against observed frequencies, and the number of predictions below.

    Args:
        folder: the folder to write to.
        bins: by setting: mean probability, share that came true, and count of each bin; NaN where
            a bin is empty.
    """
    for theme in THEMES:
        with picture(
            folder, "reliability", theme, (5.6, 5.2), nrows=2, height_ratios=[3, 1], sharex=True
        ) as (upper, lower):
            upper.plot([0, 1], [0, 1], color=theme.faint, linewidth=1, linestyle=":")
            for offset, (setting, (predicted, true, counts)) in enumerate(bins.items()):
                known = np.array(counts) > 0
                colour = colour_of(setting, theme)
                points = np.array([predicted, true])[:, known]
                upper.plot(
                    *points,
                    "o",
                    color=colour,
                    linestyle=DASHES.get(setting, "-"),
                    markersize=5,
                    linewidth=1.5,
                    label=setting,
                    clip_on=False,
                )
                width = 1 / len(counts)
                lower.bar(
                    (np.arange(len(counts)) + 0.28 + 0.44 * offset) * width,
                    counts,
                    0.4 * width,
                    color=colour,
                )
            upper.set(ylabel="share in which it came true", xlim=(0, 1), ylim=(0, 1))
            lower.set(xlabel="predicted probability of a shift", ylabel="predictions")
            _legend(upper, theme, "upper left")


def draw_robustness(folder: Path, rows: Mapping[str, Mapping[str, Range]]) -> None:
    """Draw the AUC of shift or hold in every condition; a dotted line marks the clean AUC.

    Args:
        folder: the folder to write to.
        rows: AUC by condition and setting; the first condition is the clean recording.
    """
    conditions = list(rows)
    settings = list(rows[conditions[0]])
    lowest = min(
        [
            0.4,
            *(
                low - 0.02
                for found in rows.values()
                for auc in found.values()
                for low in (auc.value, auc.low)
                if np.isfinite(low)
            ),
        ]
    )
    for theme in THEMES:
        with picture(folder, "robustness", theme, (6.6, 0.4 * len(rows) + 1.0)) as panel:
            for number, setting in enumerate(settings):
                ranges = [rows[condition][setting] for condition in conditions]
                at = np.arange(len(rows)) + 0.34 * (number - (len(settings) - 1) / 2)
                values = np.array([found.value for found in ranges])
                reach = np.array(
                    [[found.value - found.low, found.high - found.value] for found in ranges]
                ).T
                reach = np.clip(np.nan_to_num(reach), 0, None)
                panel.errorbar(
                    values,
                    at,
                    xerr=reach,
                    fmt="o",
                    color=colour_of(setting, theme),
                    elinewidth=1.6,
                    markersize=6,
                    label=setting,
                )
                panel.axvline(
                    values[0], color=colour_of(setting, theme), linewidth=1, linestyle=":"
                )
            panel.set_yticks(range(len(rows)), conditions)
            panel.invert_yaxis()
            panel.set(xlabel="AUC of shift or hold, 250 ms into the silence", xlim=(lowest, 1.0))
            panel.grid(visible=False, axis="y")
            _legend(panel, theme, "lower right")


def _legend(panel: Any, theme: Theme, location: str) -> None:
    legend = panel.legend(
        loc=location, fontsize=8.5, facecolor=theme.paper, edgecolor="none", framealpha=0.85
    )
    for words in legend.get_texts():
        words.set_color(theme.ink)
