"""The upper part of a film's pictures: planes in which the speakers' points move, under a title.

What stands still is drawn once and kept as an image; only trails, points and a few words are drawn
anew for every picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.saved_embedding import SavedEmbedding
from .film_stretch import (
    DARK,
    PAGE_S,
    PANEL,
    SOFT,
    SPEAKER_COLOURS,
    SPEAKER_SHAPES,
    Image,
    Stretch,
    blank,
    clock,
)

TRAIL_WIDTH, SILENT_WIDTH = 1.3, 3.4  # of lines; thick while nobody speaks
FIELDS = (0.815, 0.925, 0.988)  # right ends of what is written at the top
TITLES = {"latent_speaker": "first layer: hears one speaker", "latent": "last layer: hears both"}


@dataclass(frozen=True)
class Plane:
    """What a panel is drawn on.

    Attributes:
        projection: to two dimensions.
        cloud: faint points in the background, (N, 2).
        unstable: which of them have a neighbourhood that does not survive a refit, (N,).
        subtitle: what the projection is.
        marks: what is drawn in the background.
    """

    projection: SavedEmbedding
    cloud: NDArray[np.float32]
    unstable: NDArray[np.bool_]
    subtitle: str
    marks: str


@dataclass(frozen=True)
class _Moving:
    """What is drawn anew of a speaker in a panel."""

    path: NDArray[np.float32]  # (T, 2)
    speaker: int
    steps: dict[int, Any]  # pieces of the path that are seen, by the frame that they start at
    trail: Any
    halo: Any
    point: Any
    digit: Any


class Planes:
    """Draws planes at one time after another; size is (width, height)."""

    def __init__(
        self,
        stretch: Stretch,
        planes: Mapping[str, Plane],
        size: tuple[int, int],
        trail_s: float,
        title: str,
        words: str,
    ) -> None:
        from matplotlib.collections import PathCollection
        from matplotlib.colors import to_rgb

        self._stretch = stretch
        self._figure, self._canvas = blank(size)
        figure = self._figure
        figure.text(0.012, 0.985, title, color=DARK.ink, fontsize=13, weight="bold", va="top")
        figure.text(0.012, 0.93, words, color=SOFT, fontsize=7.6, va="top", linespacing=1.35)
        self._fields = [
            figure.text(
                right, 0.985, "", color=DARK.ink, fontsize=12, va="top", ha="right", animated=True
            )
            for right in FIELDS
        ]
        self._written: list[dict[str, Any]] = [{} for _ in FIELDS]
        rate_hz = 1 / np.diff(stretch.times_s).mean() if len(stretch.times_s) > 1 else 1.0
        self._trail = (
            len(stretch.times_s) if np.isinf(trail_s) else max(1, round(trail_s * rate_hz))
        )
        silent = ~stretch.speaking.any(axis=1)
        self._widths = np.where(silent, SILENT_WIDTH, TRAIL_WIDTH)[1:]
        self._moving: list[_Moving] = []
        for column, (layer, plane) in enumerate(planes.items()):
            wide = (1 - 0.024 - 0.02 * (len(planes) - 1)) / len(planes)
            panel = figure.add_axes(
                (0.012 + column * (wide + 0.02), 0.015, wide, 0.815), facecolor=PANEL
            )
            _draw_plane(
                panel, plane, stretch.places[layer].reshape(-1, 2), TITLES[layer], self._canvas
            )
            for speaker in (0, 1):
                colour, shape = SPEAKER_COLOURS[speaker], SPEAKER_SHAPES[speaker]
                path = stretch.places[layer][:, speaker]
                trail = panel.add_collection(
                    PathCollection(
                        [],
                        facecolors="none",
                        capstyle="round",
                        animated=True,
                        transform=panel.transData,
                    ),
                    autolim=False,
                )
                (halo,) = panel.plot(
                    [],
                    [],
                    shape,
                    color=colour,
                    alpha=0.3,
                    markersize=23,
                    markeredgewidth=0,
                    animated=True,
                )
                (point,) = panel.plot(
                    [], [], shape, color=colour, markersize=13, markeredgewidth=1.8, animated=True
                )
                (digit,) = panel.plot(
                    [],
                    [],
                    linestyle="",
                    marker=f"${speaker}$",
                    markersize=6.5,
                    markeredgewidth=0.2,
                    animated=True,
                )
                self._moving.append(_Moving(path, speaker, {}, trail, halo, point, digit))
        self._rgb = [to_rgb(colour) for colour in SPEAKER_COLOURS]
        self._legend()
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)

    def _legend(self) -> None:
        from matplotlib.lines import Line2D

        marks = [
            Line2D(
                [], [], linestyle="", marker=shape, color=colour, markersize=8, markeredgewidth=1.6
            )
            for shape, colour in zip(SPEAKER_SHAPES, SPEAKER_COLOURS, strict=True)
        ]
        self._figure.legend(
            [*marks, Line2D([], [], linestyle="")],
            ["speaker 0", "speaker 1", "hollow while silent"],
            loc="upper right",
            bbox_to_anchor=(0.992, 0.925),
            ncols=3,
            frameon=False,
            fontsize=8.5,
            labelcolor=DARK.ink,
            borderpad=0.2,
            handlelength=1.2,
            handletextpad=0.4,
            columnspacing=1.2,
        )

    def draw(self, time_s: float) -> Image:
        """(height, width, 4), at a time in the dialogue."""
        stretch, canvas = self._stretch, self._canvas
        canvas.restore_region(self._still)
        heard = stretch.heard(time_s)
        if heard:
            first = max(0, heard - 1 - self._trail)
            age = np.arange(heard - 1 - first)[::-1] / max(1, min(self._trail, heard))
            colours = np.empty((len(age), 4))
            colours[:, 3] = 0.1 + 0.8 * (1 - age) ** 1.5
            for moving in self._moving:
                colours[:, :3] = self._rgb[moving.speaker]
                moving.trail.set_paths(_pieces(moving, first, heard - 1))
                moving.trail.set_edgecolor(colours)
                moving.trail.set_linewidth(self._widths[first : heard - 1])
                moving.trail.axes.draw_artist(moving.trail)
            for moving in self._moving:
                self._draw_point(moving, heard - 1)
        for number, words in enumerate(self._said(time_s, heard)):
            self._write(number, words)
        return np.asarray(canvas.buffer_rgba())

    def _draw_point(self, moving: _Moving, frame: int) -> None:
        speaks, colour = (
            bool(self._stretch.speaking[frame, moving.speaker]),
            SPEAKER_COLOURS[moving.speaker],
        )
        moving.point.set_markerfacecolor(colour if speaks else DARK.paper)
        moving.digit.set_color(DARK.paper if speaks else colour)
        for artist in (moving.halo, moving.point, moving.digit)[0 if speaks else 1 :]:
            artist.set_data(moving.path[frame : frame + 1].T)
            artist.axes.draw_artist(artist)

    def _write(self, number: int, words: str) -> None:
        """Words at the top; those drawn before are copied, since letters are slow to draw."""
        written = self._written[number]
        if words not in written:
            field = self._fields[number]
            field.set_text(words)
            self._figure.draw_artist(field)
            written[words] = self._canvas.copy_from_bbox(field.get_window_extent().padded(2))
        else:
            self._canvas.restore_region(written[words])

    def _said(self, time_s: float, heard: int) -> tuple[str, str, str]:
        holder = int(self._stretch.holder[heard - 1]) if heard else -1
        p_shift = self._stretch.p_shift[heard - 1] if heard else np.nan
        floor = f"speaker {holder} has the floor" if holder >= 0 else "nobody has the floor yet"
        close = self._stretch.end_s - self._stretch.start_s <= PAGE_S
        return (
            floor,
            f"p(shift) {p_shift:.2f}" if np.isfinite(p_shift) else "",
            clock(int(10 * time_s) / 10, 1) if close else clock(int(time_s)),
        )


def _pieces(moving: _Moving, first: int, end: int) -> list[Any]:
    """Of a path, from a frame to another one; those that are no longer seen are forgotten."""
    from matplotlib.path import Path

    for frame in [frame for frame in moving.steps if not first <= frame < end]:
        del moving.steps[frame]
    for frame in range(first, end):
        if frame not in moving.steps:
            moving.steps[frame] = Path(moving.path[frame : frame + 2], closed=False)
    return [moving.steps[frame] for frame in range(first, end)]


def _draw_plane(
    panel: Any, plane: Plane, path: NDArray[np.float32], title: str, canvas: Any
) -> None:
    import matplotlib.patheffects as effects

    projection = plane.projection
    corners = (
        np.concatenate([path, [projection.low, projection.high]])
        if len(path)
        else np.array([projection.low, projection.high])
    )
    low, high = corners.min(axis=0), corners.max(axis=0)
    box = panel.get_window_extent()
    per_pixel = (
        max((high - low) / (0.9 * box.width, 0.8 * box.height)) + 1e-9
    )  # alike in both directions, with a margin
    reach = per_pixel * np.array([box.width, box.height]) / 2
    middle = (low + high) / 2 + (0, 0.04 * 2 * reach[1])  # the titles stand above
    panel.set(
        xlim=(middle[0] - reach[0], middle[0] + reach[0]),
        ylim=(middle[1] - reach[1], middle[1] + reach[1]),
        xticks=[],
        yticks=[],
    )
    for spine in panel.spines.values():
        spine.set_color("#3a3f48")
    size = 5 if len(plane.cloud) > 1000 else 10
    panel.scatter(*plane.cloud[~plane.unstable].T, s=size, color="#8b93a1", alpha=0.3, linewidths=0)
    panel.scatter(
        *plane.cloud[plane.unstable].T,
        s=2 * size,
        marker="x",
        color="#8b93a1",
        alpha=0.3,
        linewidths=0.7,
    )
    edge = [effects.withStroke(linewidth=2.2, foreground=PANEL)]
    panel.text(
        0.012,
        0.975,
        title,
        transform=panel.transAxes,
        color=DARK.ink,
        fontsize=10,
        va="top",
        zorder=8,
        path_effects=edge,
    )
    panel.text(
        0.012,
        0.92,
        plane.subtitle,
        transform=panel.transAxes,
        color=SOFT,
        fontsize=7.2,
        va="top",
        zorder=8,
        path_effects=edge,
    )
    panel.text(
        0.012,
        0.02,
        plane.marks,
        transform=panel.transAxes,
        color=SOFT,
        fontsize=7.2,
        va="bottom",
        zorder=8,
        path_effects=edge,
    )
    taken: list[Any] = [words.get_window_extent(canvas.get_renderer()) for words in panel.texts]
    for name, place in projection.landmarks.items():
        panel.plot(*place[:2], "+", color=DARK.ink, alpha=0.75, markersize=7, markeredgewidth=1.2)
        _label(panel, name, place, taken, canvas)


def _label(panel: Any, name: str, place: Sequence[float], taken: list[Any], canvas: Any) -> None:
    """A name beside its place, where no other one is in the way, if there is such room."""
    import matplotlib.patheffects as effects

    words = panel.annotate(
        name,
        place[:2],
        xytext=(0, 0),
        textcoords="offset points",
        fontsize=8.2,
        color=DARK.ink,
        zorder=4,
        ha="center",
        va="center",
    )
    words.set_path_effects([effects.withStroke(linewidth=2.2, foreground=PANEL)])
    half = words.get_window_extent(canvas.get_renderer()).width / canvas.figure.dpi * 72 / 2
    for x, y in (
        (0, 8),
        (0, -8),
        (half + 7, 0),
        (-half - 7, 0),
        (half + 4, 11),
        (-half - 4, 11),
        (half + 4, -11),
        (-half - 4, -11),
        (0, 20),
        (0, -20),
    ):
        words.set_position((x, y))
        box = words.get_window_extent(canvas.get_renderer())
        frame = panel.get_window_extent()
        inside = frame.x0 < box.x0 and box.x1 < frame.x1 and frame.y0 < box.y0 and box.y1 < frame.y1
        if inside and not any(box.overlaps(other) for other in taken):
            break
    else:
        words.set_position((0, 8))
    taken.append(words.get_window_extent(canvas.get_renderer()))
