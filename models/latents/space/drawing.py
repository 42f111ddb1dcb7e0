"""Points of a projection as a picture for papers, by class or by number; every view draws by it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..labels import OTHERS, UNKNOWN
from ..views import COLOURS, LIGHT, View, picture

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#b8a800")
MARKERS = "os^vDPX*"  # with the colours, which alone would not tell everyone
ELSE = "doing something else"  # of a situation
FAINT = {UNKNOWN: "#dddddd", OTHERS: "#999999", ELSE: COLOURS["other"]}

Places = NDArray[np.float32]


def points_picture(
    out: Path,
    title: str,
    caption: str,
    places: Places,
    label: Mapping[str, Any],
    by: str,
    *,
    hollow: NDArray[np.bool_] | None = None,
    landmarks: Mapping[str, tuple[float, ...]] | None = None,
    figures: str = "",
) -> View:
    """Draw points, once for each pair of dimensions.

    Args:
        out: .png.
        title, caption: see View.
        places: (N, 2) or (N, 3).
        label: of each point, as `coded_label` codes it.
        by: what the legend or the bar of colours is headed with.
        hollow: points whose neighbourhood is not to be believed, (N,).
        landmarks: places to name.
        figures: to stand beside the picture.
    """
    hollow = np.zeros(len(places), bool) if hollow is None else hollow
    marks = dict(landmarks or {})
    pairs = list(combinations(range(places.shape[1]), 2))
    corners = np.array([*places, *marks.values()], np.float64)
    low, high = np.nanmin(corners, axis=0), np.nanmax(corners, axis=0)
    margin = 0.05 * (high - low)
    size = (7.6, 6.2) if len(pairs) == 1 else (14.0, 5.0)
    with picture(out, title, caption, size, ncols=len(pairs), squeeze=False) as panels:
        for panel, axes in zip(panels[0], pairs, strict=True):
            at, last = list(axes), axes == pairs[-1]
            if "classes" in label:
                _draw_classes(panel, places[:, at], label, hollow)
            else:
                _draw_numbers(panel, places[:, at], label["values"], by, last=last)
            _draw_landmarks(panel, {name: np.array(place)[at] for name, place in marks.items()})
            limits = zip(low - margin, high + margin, strict=True)
            (left, right), (bottom, top) = np.array(list(limits))[at]
            panel.set(xlabel="xyz"[axes[0]], ylabel="xyz"[axes[1]])
            panel.set(xlim=(left, right), ylim=(bottom, top))
        side = panels[0, -1]
        if "classes" in label:
            look: dict[str, Any] = {"fontsize": 8.5, "title_fontsize": 8.5, "frameon": False}
            side.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title=by, **look)
        side.text(
            1.03,
            0.02,
            figures,
            transform=side.transAxes,
            va="bottom",
            fontsize=8.5,
            color=LIGHT.ink,
        )
    return View(out, title, caption)


def _draw_classes(
    panel: Any, places: Places, label: Mapping[str, Any], hollow: NDArray[np.bool_]
) -> None:
    names = label["classes"]
    for k in sorted(range(len(names)), key=lambda k: names[k] not in FAINT):  # unknown ones below
        name, here, faint = names[k], label["values"] == k, names[k] in FAINT
        colour = FAINT.get(name) or COLOURS.get(name) or PALETTE[k % len(PALETTE)]
        style: dict[str, Any] = {
            "marker": "." if faint else MARKERS[k % len(MARKERS)],
            "s": 7 if faint else 16,
            "linewidths": 0.7,
            "edgecolors": colour,
        }
        said = f"{name} ({here.sum()})" if here.any() else None
        full = {"facecolors": colour, "alpha": 0.6, "label": said}
        panel.scatter(*places[here & ~hollow].T, **full, **style)
        panel.scatter(*places[here & hollow].T, facecolors="none", alpha=0.55, **style)


def _draw_numbers(
    panel: Any, places: Places, values: NDArray[np.float32], by: str, *, last: bool
) -> None:
    known = np.isfinite(values)
    panel.scatter(*places[~known].T, s=6, color=FAINT[UNKNOWN], linewidths=0)
    low, high = np.percentile(values[known], [1, 99])
    look: dict[str, Any] = {"cmap": "viridis", "vmin": low, "vmax": high}
    dots = panel.scatter(*places[known].T, s=12, c=values[known], **look)
    if last:
        panel.figure.colorbar(dots, ax=panel, label=by)


def _draw_landmarks(panel: Any, landmarks: Mapping[str, NDArray[np.float64]]) -> None:
    """Names at mean places, each moved up until it is clear of the others."""
    from matplotlib.patheffects import withStroke

    wide, high = np.ptp(panel.dataLim.get_points(), axis=0)
    taken: list[tuple[float, float]] = []
    for name, (x, y) in sorted(landmarks.items(), key=lambda entry: entry[1][1]):
        panel.scatter(x, y, s=70, color=COLOURS[name], edgecolors=LIGHT.paper, zorder=4)
        at = y
        while any(abs(at - b) < 0.034 * high and abs(x - a) < 0.3 * wide for a, b in taken):
            at += 0.01 * high
        taken.append((x, at))
        look: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "va": "center", "zorder": 5}
        words = panel.annotate(
            name, (x, at), xytext=(8, 0), textcoords="offset points", color=LIGHT.ink, **look
        )
        words.set_path_effects([withStroke(linewidth=2.5, foreground=LIGHT.paper)])
