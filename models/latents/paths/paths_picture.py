"""Paths as pictures for papers: around events, or of one conversation.

Around events: single paths, means, last points or mistakes; every split has its own row.

Means and spreads are of true places; the scale sign(x) log(1 + |x|) only draws them, and its axes
are labelled with true values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ....stream.saved_embedding import SavedEmbedding
from ...evaluation.shift_hold import SCORE_S
from ..collection import Collection, Event
from ..drawing import heading, listed, many
from ..quality import quality_of
from ..space.fitting import place_known, placer
from ..space.trust import trust_in_words
from ..views import COLOURS, LIGHT, View, legend_below, number_of, picture
from .path_states import (
    PLACED_EVERY,
    ROLES,
    gather_paths,
    mean_path,
    signed_log,
    stretch_of,
)
from .path_words import CROSSING, caption_of, unstable_in_words

STYLES: dict[str, tuple[str, Any]] = {  # marker and dash of each class
    "shift": ("D", "-"),
    "hold": ("o", (0, (5, 2))),
    "overlap": ("s", (0, (1, 1.5))),
    "backchannel": ("^", "-."),
}
PANEL_INCHES, LEGEND_INCHES = 4.1, 0.6
LEAST_SPREAD = 3  # paths, for an ellipse of one standard deviation
ROUND = (0, *(sign * value for value in (1, 3, 10, 30, 100, 300, 1000) for sign in (1, -1)))
LOG = "sign(x) log(1 + |x|)"
KEY = (
    "Thick lines: means; hollow symbols where the event starts, filled ones where the decision is "
    "read; ellipses, or bars in three dimensions, are one standard deviation. Mistakes: lines have "
    "the colour of what came true, markers that of what was predicted; grey paths were predicted "
    "right."
)
Floats = NDArray[Any]
Scale = Callable[[Any], Any]
Groups = Mapping[str, NDArray[np.int64]]  # rows by class


def paths_picture(
    collection: Collection,
    projection: SavedEmbedding,
    out: Path,
    *,
    whose: str = "speaker",
    **around: Any,
) -> View:
    """Draw paths around events.

    Args:
        collection: of dialogues.
        projection: of its network, in 2 or 3 dimensions.
        out: .png.
        whose: of ROLES.
        around: which events, and how long paths are, as for `gather_paths`.
    Raises:
        ConfigError: what cannot be drawn.
    """
    if whose not in ROLES:
        raise ConfigError(f"expected whose paths to show, among {', '.join(ROLES)}, got {whose!r}")
    role, paths = ROLES.index(whose), gather_paths(collection, [projection], **around)
    placed = paths.placed[0]
    places, last, times = placed.places[:, :, role], placed.last_points(role), placed.times_s
    splits = list(dict.fromkeys(event.split for event in paths.events))
    titles = ["single paths and means", f"the same, {LOG}", f"last points, {SCORE_S:g} s in"]
    titles += ["mistakes"] * any(event.correct is not None for event in paths.events)
    title = "Paths through the latent space"
    caption = f"{caption_of(collection, paths, role)} {KEY}"
    grid = {"nrows": len(splits), "ncols": len(titles)} | _grid(projection)
    size = PANEL_INCHES * len(titles), (PANEL_INCHES + LEGEND_INCHES) * len(splits)
    with picture(out, title, caption, size, **grid) as panels:
        for row, split in zip(panels, splits, strict=True):
            chosen = np.array([event.split == split for event in paths.events])
            every = {name: np.flatnonzero(chosen & (paths.classes == name)) for name in STYLES}
            groups = {name: rows for name, rows in every.items() if len(rows)}
            _draw_paths(row[0], places, times, groups)
            lines = _draw_paths(row[1], places, times, groups, signed_log)
            _draw_last(row[2], last, groups)
            for panel in row[3:]:
                _draw_mistakes(panel, paths.events, places, placed.last, groups)
            drawn = (places, places, last, places)
            for panel, words, shown in zip(row, titles, drawn, strict=False):
                named = f"{split or 'no split'}: " * (len(splits) > 1) + words
                _set_axes(panel, named, shown, log=panel is row[1])
            _colourbar(row[1], lines, "s from the event's start")
    return View(out, title, caption)


def conversation_picture(
    collection: Collection,
    projection: SavedEmbedding,
    out: Path,
    conversation: str,
    between: tuple[float, float] | None = None,
) -> View:
    """Draw the path of each speaker through one dialogue, or a part of it, on both scales.

    Args:
        collection: that holds it.
        projection: of its network.
        out: .png.
        conversation: id of the dialogue.
        between: the part, in seconds; None: all of it.
    Raises:
        ConfigError: no such dialogue or part.
    """
    number = number_of(collection, conversation)
    first, last = stretch_of(collection, number, between)
    shown = slice(first, last, PLACED_EVERY[projection.has_formula])
    frames = collection.frames(number, [projection.layer, "speaking"])
    track = place_known(placer(projection), frames[projection.layer][shown], projection.dims)
    speaking = frames["speaking"][shown]
    times = (np.arange(last)[shown] + 1) / collection.frame_rate_hz
    figures = {
        "dialogue": f"{conversation}, {times[0]:.2f} to {times[-1]:.2f} s",
        "through": f"layer {projection.layer} of {collection.about.model}, as {projection.method}",
        "values of a state and of the picture": f"{projection.width} and {projection.dims}",
        "speaking on channel 0 and 1": " and ".join(f"{share:.0%}" for share in speaking.mean(0)),
        "places where fewer than half of the neighbours stay when it is fitted again": (
            unstable_in_words(projection, track)
        ),
    }
    caption = (
        "The path of each speaker's state, coloured by time; large dots: this speaker is speaking. "
        f"{CROSSING} {listed(figures)} {trust_in_words(projection)} "
        f"{quality_of(collection).in_words()}"
    )
    title = f"The path of a conversation: {conversation}"
    grid = {"nrows": 2, "ncols": 2} | _grid(projection)
    with picture(out, title, caption, (9.6, 9.2), **grid) as panels:
        for speaker, row in enumerate(panels):
            dots: Any = None
            look = {"c": times, "s": np.where(speaking[:, speaker], 14, 3), "cmap": _time_map()}
            for panel, scale in zip(row, (np.asarray, signed_log), strict=True):
                path = scale(track[:, speaker]).T
                panel.plot(*path, color=LIGHT.faint, linewidth=0.4, alpha=0.6)
                dots = panel.scatter(*path, alpha=0.7, linewidths=0, **look)
            _set_axes(row[0], f"channel {speaker}", track)
            _set_axes(row[1], f"channel {speaker}, {LOG}", track, log=True)
            _colourbar(row[1], dots, "s of the dialogue")
    return View(out, title, caption)


# ---- panels ----


def _draw_paths(
    panel: Any, places: Floats, times: Floats, groups: Groups, scale: Scale = np.asarray
) -> Any:
    """Single paths coloured by time, and each group's mean and spread; returns what has colours."""
    drawn = scale(places[np.concatenate(list(groups.values()))])
    lines = _time_lines(panel, drawn, times, float(np.clip(25 / len(drawn), 0.12, 0.8)))
    start, decision = np.abs(times).argmin(), np.flatnonzero(times <= SCORE_S + 1e-6)[-1]
    for name, rows in groups.items():
        colour, (marker, dash) = COLOURS[name], STYLES[name]
        mean = scale(mean_path(places[rows])).T
        line = {"color": colour, "linestyle": dash, "zorder": 6}
        panel.plot(*mean, color=LIGHT.paper, linewidth=4.5, alpha=0.9, zorder=5)
        panel.plot(*mean, linewidth=2.2, label=f"mean of {many(len(rows), name)}", **line)
        for step, face in ((start, LIGHT.paper), (decision, colour)):
            look = {"s": 46, "marker": marker, "color": face, "edgecolors": colour, "zorder": 7}
            panel.scatter(*mean[:, step, None], **look)
            _draw_spread(panel, places[rows, step], scale, linewidth=1, **line)
    legend_below(panel, columns=1)
    return lines


def _draw_last(panel: Any, last: Floats, groups: Groups) -> None:
    for name, rows in groups.items():
        colour, (marker, dash) = COLOURS[name], STYLES[name]
        look = {"s": 24, "marker": marker, "color": colour, "alpha": 0.75, "linewidths": 0}
        panel.scatter(*last[rows].T, label=f"{name} ({len(rows)})", **look)
        _draw_spread(panel, last[rows], color=colour, linewidth=1.3, linestyle=dash)
    legend_below(panel, columns=1)


def _draw_mistakes(
    panel: Any, events: Sequence[Event], places: Floats, last: Floats, groups: Groups
) -> None:
    """Lines in the colour of the true class, last points in that of the predicted one."""
    gaps = np.pad(places, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)  # between paths

    def drawn(rows: list[int], **look: Any) -> None:
        panel.plot(*gaps[rows].reshape(-1, places.shape[2]).T, **look)

    right = [i for rows in groups.values() for i in rows if events[i].correct]
    drawn(right, color=LIGHT.faint, linewidth=0.4, alpha=0.3)
    for kind, taken_for in (("shift", "hold"), ("hold", "shift")):
        wrong = [i for i in groups.get(kind, ()) if events[i].correct is False]
        if wrong:
            drawn(
                wrong,
                label=f"true {kind}, taken for {taken_for} ({len(wrong)})",
                color=COLOURS[kind],
                linewidth=0.9,
                linestyle=STYLES[kind][1],
                zorder=5,
                marker=STYLES[taken_for][0],
                markevery=(np.arange(len(wrong)) * gaps.shape[1] + last[wrong]).tolist(),
                markersize=6.5,
                markerfacecolor=COLOURS[taken_for],
                markeredgecolor=LIGHT.paper,
            )
    if panel.get_legend_handles_labels()[1]:
        legend_below(panel, columns=1)
    else:
        panel.annotate("none", (0.5, 0.5), xycoords="axes fraction")


def _time_lines(panel: Any, places: Floats, times: Floats, alpha: float) -> Any:
    """Paths (E, P, D) in pieces that are coloured by time."""
    from matplotlib.collections import LineCollection
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    pieces = np.stack([places[:, :-1], places[:, 1:]], axis=2)  # (E, P - 1, 2, D)
    known = ~np.isnan(pieces).any(axis=(2, 3))
    at = np.broadcast_to(times[1:], known.shape)[known]
    kind = Line3DCollection if places.shape[2] == 3 else LineCollection
    look: dict[str, Any] = {"cmap": _time_map(), "linewidths": 0.7, "alpha": alpha}
    lines: Any = kind(list(pieces[known]), array=at, **look)
    panel.add_collection(lines)
    lines.set_clim(times[0], times[-1])
    return lines


def _draw_spread(panel: Any, points: Floats, scale: Scale = np.asarray, **look: Any) -> None:
    points = points[~np.isnan(points[:, 0])]
    if len(points) >= LEAST_SPREAD:
        for outline in _spread(points):
            panel.plot(*scale(outline).T, **look)


def _spread(points: Floats) -> list[Floats]:
    """Outlines (K, D) of one standard deviation around the mean of points (N, D).

    It is an ellipse in the plane, three bars in space.
    """
    mean = points.mean(axis=0)
    if points.shape[1] == 3:
        deviations = np.diag(points.std(axis=0, ddof=1))
        return [np.stack([mean - deviation, mean + deviation]) for deviation in deviations]
    values, directions = np.linalg.eigh(np.cov(points.T))
    angle = np.linspace(0, 2 * np.pi, 73)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return [mean + circle * np.sqrt(np.maximum(values, 0)) @ directions.T]


# ---- axes ----


def _grid(projection: SavedEmbedding) -> dict[str, Any]:
    kind = "3d" if projection.dims == 3 else None
    return {"squeeze": False, "subplot_kw": {"projection": kind}}


def _time_map() -> Any:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["viridis"](np.linspace(0.1, 0.88, 128)))  # its ends are faint


def _set_axes(panel: Any, title: str, places: Floats, *, log: bool = False) -> None:
    """Show all places (..., D), of every split; on the logarithmic scale name true values."""
    heading(panel, title, 10)
    panel.tick_params(labelsize=7.5)
    for name, values in zip("xyz", places.reshape(-1, places.shape[-1]).T, strict=False):
        true = np.array([np.nanmin(values), np.nanmax(values)])
        low, high = signed_log(true) if log else true
        margin = 0.05 * max(high - low, 1e-3)
        getattr(panel, f"set_{name}label")(name, fontsize=8)
        getattr(panel, f"set_{name}lim")(low - margin, high + margin)
        if log:
            ticks = [tick for tick in ROUND if low - margin <= signed_log(tick) <= high + margin]
            if len(ticks) < 2:  # all of it lies between two round values
                ticks = np.linspace(true[0], true[1], 4).round(2).tolist()
            words = [f"{tick:g}".replace("-", "−") for tick in ticks]
            getattr(panel, f"set_{name}ticks")(signed_log(ticks), words)


def _colourbar(panel: Any, coloured: Any, words: str) -> None:
    from matplotlib.cm import ScalarMappable

    look = {"shrink": 0.75, "pad": 0.12 if hasattr(panel, "set_zlim") else 0.02}
    bar = panel.figure.colorbar(ScalarMappable(coloured.norm, coloured.cmap), ax=panel, **look)
    bar.set_label(words, fontsize=8)
    bar.ax.tick_params(labelsize=7.5)
