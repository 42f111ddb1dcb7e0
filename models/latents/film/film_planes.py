"""The upper part of a film's pictures: planes in which the speakers' points move, under a title.

What stands still is drawn once and kept as an image; only trails, points and a few words are drawn
anew for every picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ....stream.saved_embedding import SavedEmbedding
from ..space.trust import TITLES, UNSTABLE, figures_in_words
from .film_strip import (
    DARK,
    PAGE_S,
    PANEL,
    SOFT,
    SPEAKER_COLOURS,
    SPEAKER_SHAPES,
    Float32,
    Image,
    Stretch,
    blank,
    clock,
)

TRAIL_WIDTH, SILENT_WIDTH = 1.3, 3.4  # of lines; thick while nobody speaks
FIELDS = (0.815, 0.925, 0.988)  # right ends of what is written at the top
HEARS = {"latent_speaker": "first layer: hears one speaker", "latent": "last layer: hears both"}


@dataclass(frozen=True)
class _Moving:
    """What is drawn anew of a speaker, whose path is (T, 2), in a panel."""

    path: Float32
    speaker: int
    trail: Any
    marks: tuple[Any, ...]  # halo, point and digit


class Planes:
    """Draws a stretch's planes at one time after another; see `pictures`. Size: (width, height)."""

    def __init__(
        self,
        stretch: Stretch,
        size: tuple[int, int],
        trail_s: float,
        title: str,
        words: str,
    ) -> None:
        self._stretch, planes = stretch, stretch.planes
        self._figure, self._canvas = blank(size)
        figure, top = self._figure, {"color": DARK.ink, "va": "top"}
        figure.text(0.012, 0.985, title, fontsize=13, weight="bold", **top)
        figure.text(0.012, 0.93, words, color=SOFT, fontsize=7.6, va="top", linespacing=1.35)
        moves: dict[str, Any] = {"fontsize": 12, "ha": "right", "animated": True}
        self._fields = [figure.text(right, 0.985, "", **top, **moves) for right in FIELDS]
        self._written: dict[str, Any] = {}
        count = len(stretch.times_s)
        rate_hz = 1 / np.diff(stretch.times_s).mean() if count > 1 else 1.0
        self._trail = max(1, round(min(trail_s * rate_hz, count)))
        silent = ~stretch.speaking.any(axis=1)
        self._widths = np.where(silent, SILENT_WIDTH, TRAIL_WIDTH)[1:]
        self._moving: list[_Moving] = []
        wide = (1 - 0.024 - 0.02 * (len(planes) - 1)) / len(planes)
        for column, (layer, plane) in enumerate(planes.items()):
            box = (0.012 + column * (wide + 0.02), 0.015, wide, 0.815)
            panel = figure.add_axes(box, facecolor=PANEL)
            _draw_plane(panel, plane, stretch.places[layer].reshape(-1, 2))
            self._moving += [_moving(panel, stretch.places[layer][:, who], who) for who in (0, 1)]
        self._explain()
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)

    def _explain(self) -> None:
        from matplotlib.lines import Line2D

        speakers = enumerate(zip(SPEAKER_SHAPES, SPEAKER_COLOURS, strict=True))
        handles = [
            Line2D([], [], linestyle="", marker=shape, color=colour, label=f"speaker {speaker}")
            for speaker, (shape, colour) in speakers
        ]
        place = {"loc": "upper right", "bbox_to_anchor": (0.992, 0.925), "ncols": 2}
        look = {"frameon": False, "fontsize": 8.5, "labelcolor": DARK.ink, "handlelength": 1.2}
        self._figure.legend(handles=handles, **place, **look)

    def draw(self, time_s: float) -> Image:
        """(height, width, 4), at a time in the dialogue."""
        from matplotlib.colors import to_rgba

        canvas = self._canvas
        canvas.restore_region(self._still)
        if heard := self._stretch.heard(time_s):
            first = max(0, heard - 1 - self._trail)
            age = np.arange(heard - 1 - first)[::-1] / max(1, min(self._trail, heard))
            colours = np.empty((len(age), 4))
            colours[:, 3] = 0.1 + 0.8 * (1 - age) ** 1.5
            for moving in self._moving:
                path = moving.path[first:heard]
                colours[:, :3] = to_rgba(SPEAKER_COLOURS[moving.speaker])[:3]
                moving.trail.set(
                    segments=np.stack([path[:-1], path[1:]], axis=1),
                    color=colours,
                    linewidth=self._widths[first : heard - 1],
                )
                moving.trail.axes.draw_artist(moving.trail)
            for moving in self._moving:
                self._draw_point(moving, heard - 1)
        for field, words in zip(self._fields, self._said(time_s, heard), strict=True):
            if words in self._written:  # letters are slow to draw, and so are kept
                canvas.restore_region(self._written[words])
                continue
            field.set_text(words)
            self._figure.draw_artist(field)
            box = field.get_window_extent().padded(2)
            self._written[words] = canvas.copy_from_bbox(box)
        return np.asarray(canvas.buffer_rgba())

    def _draw_point(self, moving: _Moving, frame: int) -> None:
        speaks = bool(self._stretch.speaking[frame, moving.speaker])
        colour = SPEAKER_COLOURS[moving.speaker]
        _, point, digit = moving.marks
        point.set_markerfacecolor(colour if speaks else DARK.paper)
        digit.set_color(DARK.paper if speaks else colour)
        for artist in moving.marks[0 if speaks else 1 :]:
            artist.set_data(moving.path[frame : frame + 1].T)
            artist.axes.draw_artist(artist)

    def _said(self, time_s: float, heard: int) -> tuple[str, str, str]:
        holder = int(self._stretch.holder[heard - 1]) if heard else -1
        p_shift = self._stretch.p_shift[heard - 1] if heard else np.nan
        close = self._stretch.end_s - self._stretch.start_s <= PAGE_S
        return (
            f"speaker {holder} has the floor" if holder >= 0 else "nobody has the floor yet",
            f"p(shift) {p_shift:.2f}" if np.isfinite(p_shift) else "",
            clock(int(10 * time_s) / 10, 1) if close else clock(int(time_s)),
        )


def _moving(panel: Any, path: Float32, speaker: int) -> _Moving:
    from matplotlib.collections import LineCollection

    trail = LineCollection([], capstyle="round", animated=True)
    panel.add_collection(trail, autolim=False)
    shape = SPEAKER_SHAPES[speaker]
    looks: tuple[dict[str, Any], ...] = (
        {"marker": shape, "markersize": 23, "markeredgewidth": 0, "alpha": 0.3},
        {"marker": shape, "markersize": 13, "markeredgewidth": 1.8},
        {"marker": f"${speaker}$", "markersize": 6.5, "markeredgewidth": 0.2},
    )
    style: dict[str, Any] = {"color": SPEAKER_COLOURS[speaker], "animated": True}
    marks = tuple(panel.plot([], [], **style, **look)[0] for look in looks)
    return _Moving(path, speaker, trail, marks)


def _draw_plane(panel: Any, plane: SavedEmbedding, path: Float32) -> None:
    """Draw what stands still: the states of the fit, names of means, and what the plane is."""
    from matplotlib.patheffects import withStroke

    corners = np.concatenate([path, [plane.low, plane.high]])
    low, high = corners.min(axis=0), corners.max(axis=0)
    box = panel.get_window_extent()
    size = np.array([box.width, box.height])
    # Alike in both directions, with a margin, and with room for the titles above.
    reach = size / 2 * (max((high - low) / (0.9, 0.8) / size) + 1e-9)
    middle = (low + high) / 2 + (0, 0.08 * reach[1])
    (left, bottom), (right, top) = middle - reach, middle + reach
    panel.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    panel.spines[:].set_color("#3a3f48")
    unstable = plane.stability < UNSTABLE
    dots = 5 if len(plane.places) > 1000 else 10
    look: dict[str, Any] = {"color": "#8b93a1", "alpha": 0.3}
    panel.scatter(*plane.places[~unstable].T, s=dots, linewidths=0, **look)
    panel.scatter(*plane.places[unstable].T, s=2 * dots, marker="x", linewidths=0.7, **look)
    marks = "grey: states it was fitted on; +: means"
    marks += "; ×: neighbours change in a refit" * bool(unstable.any())
    edge: dict[str, Any] = {"path_effects": [withStroke(linewidth=2.2, foreground=PANEL)]}
    place = edge | {"transform": panel.transAxes, "zorder": 8}
    panel.text(0.012, 0.975, HEARS[plane.layer], color=DARK.ink, fontsize=10, va="top", **place)
    place |= {"color": SOFT, "fontsize": 7.2}
    panel.text(0.012, 0.92, _subtitle(plane), va="top", **place)
    panel.text(0.012, 0.02, marks, va="bottom", **place)
    taken: list[Any] = [words.get_window_extent() for words in panel.texts]
    look = edge | {"color": DARK.ink, "fontsize": 8.2, "ha": "center", "va": "center"}
    for name, spot in plane.landmarks.items():
        panel.plot(*spot, "+", color=DARK.ink, alpha=0.75, markersize=7, markeredgewidth=1.2)
        words = panel.annotate(name, spot, (0, 8), textcoords="offset points", **look)
        for up in (8, -8, 20, -20, 32, -32):  # clear of other words, if there is such room
            words.set_position((0, up))
            if not any(words.get_window_extent().overlaps(other) for other in taken):
                break
        taken.append(words.get_window_extent())


def _subtitle(plane: SavedEmbedding) -> str:
    words, explained = TITLES[plane.method], plane.settings.get("explained", ())
    numbers = plane.settings.get("principal", range(1, len(explained) + 1))
    shares = [
        f"{number} ({share:.0%} of the variance)"
        for number, share in zip(numbers, explained, strict=True)
    ]
    return f"{words} {' and '.join(shares)}\n{figures_in_words(plane)}"
