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
) -> View:
    """Draw points, (N, 2) or (N, 3), once for each pair of dimensions, as a .png.

    The label of each is as `coded_label` codes it; `by` is the heading of the legend or the bar of
    colours. Points whose neighbourhood is not to be believed are `hollow`, (N,), and places named.
    """
    hollow = np.zeros(len(places), bool) if hollow is None else hollow
    marks = {name: np.array(place) for name, place in (landmarks or {}).items()}
    pairs = list(combinations(range(places.shape[1]), 2))
    corners = np.array([*places, *marks.values()], np.float64)
    low, high = np.nanmin(corners, axis=0), np.nanmax(corners, axis=0)
    limits = np.stack([low, high], axis=1) + 0.05 * np.outer(high - low, [-1, 1])
    size = (7.6, 6.2) if len(pairs) == 1 else (14.0, 5.0)
    draw = _draw_classes if "classes" in label else _draw_numbers
    dots: Any = None
    with picture(out, title, caption, size, ncols=len(pairs), squeeze=False) as (panels,):
        for panel, (x, y) in zip(panels, pairs, strict=True):
            dots = draw(panel, places[:, [x, y]], label, hollow)
            _draw_landmarks(panel, {name: place[[x, y]] for name, place in marks.items()})
            panel.set(xlabel="xyz"[x], ylabel="xyz"[y], xlim=limits[x], ylim=limits[y])
        if dots is None:
            look: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
            look |= {"fontsize": 8.5, "title_fontsize": 8.5, "frameon": False}
            panels[-1].legend(title=by, **look)
        else:
            panels[-1].figure.colorbar(dots, ax=panels[-1], label=by)
    return View(out, title, caption)


def _draw_classes(
    panel: Any, places: Places, label: Mapping[str, Any], hollow: NDArray[np.bool_]
) -> None:
    names = label["classes"]
    for k in sorted(range(len(names)), key=lambda k: names[k] not in FAINT):  # unknown ones below
        name, here, faint = names[k], label["values"] == k, names[k] in FAINT
        colour = FAINT.get(name) or COLOURS.get(name) or PALETTE[k % len(PALETTE)]
        style: dict[str, Any] = {"s": 7, "marker": "."} if faint else {"s": 16}
        style = {"marker": MARKERS[k % len(MARKERS)], "linewidths": 0.7, **style}
        said = f"{name} ({here.sum()})" if here.any() else None
        full = {"facecolors": colour, "alpha": 0.6, "label": said}
        panel.scatter(*places[here & ~hollow].T, edgecolors=colour, **full, **style)
        empty = {"facecolors": "none", "alpha": 0.55}
        panel.scatter(*places[here & hollow].T, edgecolors=colour, **empty, **style)


def _draw_numbers(panel: Any, places: Places, label: Mapping[str, Any], _: Any) -> Any:
    values = label["values"]
    known = np.isfinite(values)
    panel.scatter(*places[~known].T, s=6, color=FAINT[UNKNOWN], linewidths=0)
    low, high = np.percentile(values[known], [1, 99])
    look: dict[str, Any] = {"cmap": "viridis", "vmin": low, "vmax": high}
    return panel.scatter(*places[known].T, s=12, c=values[known], **look)


def _draw_landmarks(panel: Any, landmarks: Mapping[str, NDArray[np.float64]]) -> None:
    """Names at mean places, each moved up until it is clear of the others."""
    from matplotlib.patheffects import withStroke

    wide, high = np.ptp(panel.dataLim.get_points(), axis=0)
    taken: list[tuple[float, float]] = []
    look: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "va": "center", "zorder": 5}
    look |= {"xytext": (8, 0), "textcoords": "offset points", "color": LIGHT.ink}
    readable = [withStroke(linewidth=2.5, foreground=LIGHT.paper)]
    for name, (x, y) in sorted(landmarks.items(), key=lambda entry: entry[1][1]):
        panel.scatter(x, y, s=70, color=COLOURS[name], edgecolors=LIGHT.paper, zorder=4)
        at = y
        while any(abs(at - b) < 0.034 * high and abs(x - a) < 0.3 * wide for a, b in taken):
            at += 0.01 * high
        taken.append((x, at))
        panel.annotate(name, (x, at), path_effects=readable, **look)
