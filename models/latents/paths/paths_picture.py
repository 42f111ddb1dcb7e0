"""Paths as pictures for papers: around events, or of one conversation.

Around events: single paths, means, last points or mistakes; every split has its own row.

Means and spreads are of true places; the scale sign(x) log(1 + |x|) only draws them, and its axes
are labelled with true values.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.saved_embedding import SavedEmbedding
from ...evaluation.shift_hold import SCORE_S
from ..collection import Collection
from ..quality import quality_of
from ..space.fitting import place_known, placer
from ..space.trust import UNSTABLE, stability_at, trust_in_words
from ..views import COLOURS, LIGHT, View, legend_below, number_of, picture
from .path_states import (
    PLACED_EVERY,
    ROLES,
    Paths,
    PlacedPaths,
    check_whose,
    gather_paths,
    mean_path,
    predicted_class,
    signed_exp,
    signed_log,
    stretch_of,
    true_class,
)
from .path_words import caption_of

STYLES: tuple[tuple[str, str, Any], ...] = (
    ("#0072b2", "D", "-"),
    ("#d55e00", "o", (0, (5, 2))),
    ("#009e73", "s", (0, (1, 1.5))),
    ("#cc79a7", "^", "-."),
)
PANEL_INCHES, LEGEND_INCHES = 4.1, 0.6
LEAST_SPREAD = 3  # paths, for an ellipse of one standard deviation
NICE = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
Floats = NDArray[Any]


def paths_picture(
    collection: Collection,
    projection: SavedEmbedding,
    out: Path,
    *,
    kinds: Sequence[str] = ("shift", "hold"),
    before_s: float = 1.0,
    after_s: float = 0.5,
    whose: str = "speaker",
    most: int = 200,
    seed: int = 0,
) -> View:
    """Draw paths around events.

    Args:
        collection: of dialogues.
        projection: of its network, in 2 or 3 dimensions.
        out: .png.
        kinds, before_s, after_s, most, seed: see gather_paths.
        whose: of ROLES.
    Raises:
        ConfigError: what cannot be drawn.
    """
    check_whose(whose)
    role = ROLES.index(whose)
    paths = gather_paths(
        collection, [projection], kinds, before_s=before_s, after_s=after_s, most=most, seed=seed
    )
    placed = paths.placed[0]
    splits = list(dict.fromkeys(event.split for event in paths.events))
    judged = any(event.correct is not None for event in paths.events)
    columns = 4 if judged else 3
    caption = f"{caption_of(collection, paths, role)} {_key(judged)}"
    title = "Paths through the latent space"
    three = {"subplot_kw": {"projection": "3d"}} if projection.dims == 3 else {}
    with picture(
        out,
        title,
        caption,
        (PANEL_INCHES * columns, (PANEL_INCHES + LEGEND_INCHES) * len(splits)),
        nrows=len(splits),
        ncols=columns,
        squeeze=False,
        **three,
    ) as panels:
        for row, split in zip(panels, splits, strict=True):
            chosen = np.array([event.split == split for event in paths.events])
            named = f"{split or 'no split'}: " if len(splits) > 1 else ""
            groups = _groups(paths, chosen)
            lines = [
                _draw_paths(row[0], placed, role, chosen, groups, log=False),
                _draw_paths(row[1], placed, role, chosen, groups, log=True),
            ]
            _draw_last(row[2], placed, role, groups)
            titles = [
                "single paths and means",
                "the same, sign(x) log(1 + |x|)",
                f"last points, {SCORE_S:g} s in",
            ]
            if judged:
                _draw_mistakes(row[3], paths, placed, role, chosen)
                titles.append("mistakes")
            for panel, words in zip(row, titles, strict=True):
                _finish(panel, named + words)
            _colourbar(row[1], lines[1], "s from the event's start")
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
    frames = collection.frames(number, [projection.layer, "speaking"])
    step = PLACED_EVERY[projection.has_formula]
    states = frames[projection.layer][first:last:step]
    track = place_known(placer(projection), states, projection.dims)
    speaking = frames["speaking"][first:last:step]
    times = (np.arange(first, last, step) + 1) / collection.frame_rate_hz
    shares = " and ".join(
        f"{speaking[:, speaker].mean():.0%} of the time on channel {speaker}" for speaker in (0, 1)
    )
    caption = (
        f"{conversation}, {times[0]:.2f} to {times[-1]:.2f} s, as a path of each speaker's state "
        f"through layer {projection.layer} of "
        f"{collection.about.model} ({projection.method} in {projection.dims}-D), coloured by time. "
        f"Large dots: this speaker is speaking ({shares}). "
        f"A state has {frames[projection.layer].shape[2]} values, the picture {projection.dims}: "
        "where a path crosses itself or the other one, the states need "
        f"not have been alike. {trust_in_words(projection)}"
    )
    caption += f" {quality_of(collection).in_words()}"
    kept = stability_at(projection, track)
    if not np.isnan(kept).all():
        caption += (
            f" {np.mean(kept < UNSTABLE):.0%} of the places drawn here lie where fewer than half "
            "of the neighbours stay when it is fitted again."
        )
    title = f"The path of a conversation: {conversation}"
    three = {"subplot_kw": {"projection": "3d"}} if projection.dims == 3 else {}
    with picture(
        out, title, caption, (9.6, 9.2), nrows=2, ncols=2, squeeze=False, **three
    ) as panels:
        for speaker, row in enumerate(panels):
            dots: Any = None
            for panel, log in zip(row, (False, True), strict=True):
                drawn = signed_log(track) if log else track
                panel.plot(*drawn[:, speaker].T, color=LIGHT.faint, linewidth=0.4, alpha=0.6)
                size = np.where(speaking[:, speaker], 14, 3)
                dots = panel.scatter(
                    *drawn[:, speaker].T, c=times, s=size, cmap=_time_map(), alpha=0.7, linewidths=0
                )
                _limits(panel, drawn.reshape(-1, track.shape[2]))
                if log:
                    _label_log(panel)
                _finish(panel, f"channel {speaker}{', sign(x) log(1 + |x|)' if log else ''}")
            _colourbar(row[1], dots, "s of the dialogue")
    return View(out, title, caption)


# ---- panels ----


def _groups(
    paths: Paths, chosen: NDArray[np.bool_]
) -> list[tuple[str, NDArray[np.int64], str, str, Any]]:
    """By true class, or kind: (name, chosen rows, colour, marker, dash); alike in every split."""
    classes = np.array([true_class(event) or event.kind for event in paths.events])
    found: list[tuple[str, NDArray[np.int64], str, str, Any]] = []
    for index, name in enumerate(sorted(set(classes.tolist()), reverse=True)):  # shift first
        colour, marker, dash = STYLES[index % len(STYLES)]
        found.append(
            (
                name,
                np.flatnonzero(chosen & (classes == name)),
                COLOURS.get(name, colour),
                marker,
                dash,
            )
        )
    return [group for group in found if len(group[1])]


def _draw_paths(
    panel: Any,
    placed: PlacedPaths,
    role: int,
    chosen: NDArray[np.bool_],
    groups: Sequence[Any],
    *,
    log: bool,
) -> Any:
    """Single paths coloured by time, and each group's mean and spread; returns what has colours."""
    scale = signed_log if log else lambda x: x
    places, times = placed.places[:, :, role], placed.times_s
    alpha = float(np.clip(25 / chosen.sum(), 0.12, 0.8))
    drawn = scale(places[chosen])
    lines = _time_lines(panel, drawn, times, alpha)
    zero, decision = int(np.abs(times).argmin()), int(np.flatnonzero(times <= SCORE_S + 1e-6)[-1])
    for name, rows, colour, marker, dash in groups:
        mean = mean_path(places[rows])
        panel.plot(*scale(mean).T, color=LIGHT.paper, linewidth=4.5, alpha=0.9, zorder=5)
        panel.plot(
            *scale(mean).T,
            color=colour,
            linewidth=2.2,
            linestyle=dash,
            zorder=6,
            label=f"mean of {len(rows)} {name}{'' if len(rows) == 1 else 's'}",
        )
        for step, filled in ((zero, False), (decision, True)):
            panel.scatter(
                *scale(mean[step : step + 1]).T,
                s=46,
                marker=marker,
                color=colour if filled else LIGHT.paper,
                edgecolors=colour,
                zorder=7,
            )
            there = places[rows, step]
            there = there[~np.isnan(there[:, 0])]
            if len(there) >= LEAST_SPREAD:
                for outline in _spread(there):
                    panel.plot(
                        *scale(outline).T, color=colour, linewidth=1, linestyle=dash, zorder=6
                    )
    _limits(panel, scale(places).reshape(-1, places.shape[2]))
    if log:
        _label_log(panel)
    legend_below(panel, columns=1)
    return lines


def _draw_last(panel: Any, placed: PlacedPaths, role: int, groups: Sequence[Any]) -> None:
    points = placed.last_points(role)
    for name, rows, colour, marker, dash in groups:
        panel.scatter(
            *points[rows].T,
            s=24,
            marker=marker,
            color=colour,
            alpha=0.75,
            linewidths=0,
            label=f"{name} ({len(rows)})",
        )
        if len(rows) >= LEAST_SPREAD:
            for outline in _spread(points[rows]):
                panel.plot(*outline.T, color=colour, linewidth=1.3, linestyle=dash)
    _limits(panel, points)
    legend_below(panel, columns=1)


def _draw_mistakes(
    panel: Any, paths: Paths, placed: PlacedPaths, role: int, chosen: NDArray[np.bool_]
) -> None:
    """Lines in the colour of the true class, last points in that of the predicted one."""
    places, points = placed.places[:, :, role], placed.last_points(role)
    markers = {"shift": "D", "hold": "o"}
    wrong = {
        kind: [
            i
            for i, e in enumerate(paths.events)
            if chosen[i] and e.correct is False and true_class(e) == kind
        ]
        for kind in ("shift", "hold")
    }
    for index, event in enumerate(paths.events):
        if chosen[index] and event.correct:
            panel.plot(*places[index].T, color=LIGHT.faint, linewidth=0.4, alpha=0.3)
    for kind, rows in wrong.items():
        for place, index in enumerate(rows):
            predicted = predicted_class(paths.events[index])
            dash = "-" if kind == "shift" else (0, (4, 1.5))
            named = (
                {"label": f"true {kind}, taken for {predicted} ({len(rows)})"} if not place else {}
            )
            look = {
                "marker": markers[predicted],
                "markerfacecolor": COLOURS[predicted],
                "markeredgecolor": LIGHT.paper,
                "markersize": 6.5,
            }
            panel.plot(
                *places[index].T, color=COLOURS[kind], linewidth=0.9, alpha=0.75, linestyle=dash
            )
            panel.plot(
                *points[index : index + 1].T,
                color=COLOURS[kind],
                linestyle=dash,
                zorder=5,
                **look,
                **named,
            )
    _limits(panel, places.reshape(-1, places.shape[2]))
    if any(wrong.values()):
        legend_below(panel, columns=1)
    else:
        panel.text2D(0.5, 0.5, "none", transform=panel.transAxes) if hasattr(
            panel, "text2D"
        ) else panel.text(0.5, 0.5, "none", transform=panel.transAxes)


def _time_lines(panel: Any, places: Floats, times: Floats, alpha: float) -> Any:
    """Paths (E, P, D) in pieces that are coloured by time."""
    from matplotlib.collections import LineCollection
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    pieces = np.stack([places[:, :-1], places[:, 1:]], axis=2)  # (E, P - 1, 2, D)
    at = np.broadcast_to(times[1:], pieces.shape[:2])
    known = ~np.isnan(pieces).any(axis=(2, 3))
    kind = Line3DCollection if places.shape[2] == 3 else LineCollection
    lines: Any = kind(
        list(pieces[known]), array=at[known], cmap=_time_map(), linewidths=0.7, alpha=alpha
    )
    panel.add_collection(lines)
    lines.set_clim(times[0], times[-1])
    return lines


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


def _time_map() -> Any:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(
        colormaps["viridis"](np.linspace(0.1, 0.88, 128))
    )  # its ends are hard to see on paper


def _limits(panel: Any, places: Floats) -> None:
    """Show all places, of every split, so that the axes of all rows are the same."""
    low, high = np.nanmin(places, axis=0), np.nanmax(places, axis=0)
    margin = 0.05 * np.maximum(high - low, 1e-3)
    for name, start, end in zip("xyz", low - margin, high + margin, strict=False):
        getattr(panel, f"set_{name}lim")(start, end)


def _label_log(panel: Any) -> None:
    """Ticks at true values, no closer to each other than can be read."""
    for name in "xyz" if hasattr(panel, "set_zlim") else "xy":
        low, high = getattr(panel, f"get_{name}lim")()
        kept: list[float] = []
        for value in [0.0, *(sign * value for value in NICE for sign in (1, -1))]:
            if low <= signed_log(value) <= high and all(
                abs(signed_log(value) - signed_log(other)) >= (high - low) / 9 for other in kept
            ):
                kept.append(value)
        if len(kept) < 2:  # all of it lies between two round values
            kept = [round(float(signed_exp(place)), 2) for place in np.linspace(low, high, 4)]
        getattr(panel, f"set_{name}ticks")(
            [signed_log(value) for value in kept],
            [f"{value:g}".replace("-", "−") for value in kept],
        )


def _finish(panel: Any, title: str) -> None:
    panel.set_title(title, fontsize=10, color=LIGHT.ink)
    panel.set_xlabel("x", fontsize=8)
    panel.set_ylabel("y", fontsize=8)
    panel.tick_params(labelsize=7.5)
    if hasattr(panel, "set_zlabel"):
        panel.set_zlabel("z", fontsize=8)


def _colourbar(panel: Any, coloured: Any, words: str) -> None:
    from matplotlib.cm import ScalarMappable

    bar = panel.figure.colorbar(
        ScalarMappable(coloured.norm, coloured.cmap),
        ax=panel,
        shrink=0.75,
        pad=0.12 if hasattr(panel, "set_zlim") else 0.02,
    )
    bar.set_label(words, fontsize=8)
    bar.ax.tick_params(labelsize=7.5)


def _key(judged: bool) -> str:
    said = (
        "Thick lines: means; hollow symbols where the event starts, filled ones where the decision "
        "is read; ellipses, or bars in three dimensions, are one "
        "standard deviation."
    )
    return said + (
        " Mistakes: lines have the colour of what came true, markers that of what was predicted; "
        "grey paths were predicted right."
        if judged
        else ""
    )
