"""A part of a dialogue as a film shows it, and the lower part of its pictures.

That is sound, floor, p_shift and turns, with a cursor. A page of it is drawn twice, as it is before
it has been heard and after; a picture is one up to the cursor and the other beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....stream.saved_embedding import SavedEmbedding
from ...dialogues.activity import Samples
from ...evaluation.plots import THEMES
from ...evaluation.shift_hold import SCORE_S
from ..collection import Event
from ..views import envelope

DARK = THEMES[1]  # on which points light up
PANEL, SOFT = "#1d2026", "#b4b4b4"
SPEAKER_COLOURS = (DARK.first, DARK.second)
SPEAKER_SHAPES = ("o", "s")
SIDES = ("left", "right")
PAGE_S = 16.0  # the most that the strip shows at once
INCHES_HIGH = 7.2  # sizes of letters and lines are relative to this
BOXES = [(0.075, bottom, 0.908, tall) for bottom, tall in ((0.69, 0.2), (0.46, 0.2), (0.13, 0.29))]
LOUDNESS_HZ = 400.0  # of the waveforms
LABEL_SHARE = 0.055  # of the width, that the name of a silence takes up
WRONG = "#ff8f8f"

Float32 = NDArray[np.float32]
Image = NDArray[np.uint8]  # (height, width, 4), RGBA


@dataclass(frozen=True)
class Stretch:
    """A part of a dialogue, as a film shows it.

    Attributes:
        start_s, end_s: in the dialogue.
        times_s: ends of the network's frames that are heard in it, (T,).
        places: of both speakers' states in each layer's plane, (T, 2, 2).
        speaking: (T, 2).
        holder: of the floor, -1 for nobody, (T,).
        p_shift: that the other one holds the floor next; NaN while nobody holds it or where it is
            unknown, (T,).
        events: shifts and holds in it.
        planes: of the layers to show, from left to right.
        sound: (2, N) at SOUND_RATE_HZ; None where it was imported without.
    """

    start_s: float
    end_s: float
    times_s: NDArray[np.float64]
    places: Mapping[str, Float32]
    speaking: NDArray[np.bool_]
    holder: NDArray[np.integer[Any]]
    p_shift: Float32
    events: Sequence[Event]
    planes: Mapping[str, SavedEmbedding]
    sound: Samples | None

    def heard(self, time_s: float) -> int:
        """How many frames have ended by a time."""
        return int(np.searchsorted(self.times_s, time_s + 1e-6, side="right"))


def clock(seconds: float, digits: int = 0) -> str:
    """Minutes and seconds."""
    rounded = round(seconds, digits)
    return f"{int(rounded // 60)}:{rounded % 60:0{3 + digits if digits else 2}.{digits}f}"


def blank(size: tuple[int, int]) -> tuple[Any, Any]:
    """A figure of so many pixels, with letters as large as on one of 12.8 x 7.2 inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    dpi = size[0] / (INCHES_HIGH * 16 / 9)
    inches = (size[0] + 1e-3) / dpi, (size[1] + 1e-3) / dpi
    figure = Figure(figsize=inches, dpi=dpi, facecolor=DARK.paper)
    return figure, FigureCanvasAgg(figure)


class Strip:
    """Draws one page after another, all of a length; size is (width, height)."""

    def __init__(self, stretch: Stretch, size: tuple[int, int]) -> None:
        self._stretch, self._size = stretch, size
        seconds = stretch.end_s - stretch.start_s
        self._pages = max(1, int(np.ceil(seconds / PAGE_S - 1e-6)))
        self._page_s = seconds / self._pages
        self._loudness = np.zeros((2, 1), np.float32)  # in N equal parts
        if stretch.sound is not None:
            self._loudness = envelope(stretch.sound, LOUDNESS_HZ)
        self._page = -1
        self._past = self._future = np.zeros((0, 0, 4), np.uint8)

    def draw(self, time_s: float, into: Image) -> None:
        """Draw into (height, width, 4), at a time in the dialogue."""
        wide, high = self._size
        page = min(int((time_s - self._stretch.start_s) / self._page_s), self._pages - 1)
        if page != self._page:
            self._turn_to(page)
        share = (time_s - self._stretch.start_s) / self._page_s - page
        left, top, across, tall = BOXES[0]
        x = round(wide * (left + across * min(share, 1.0)))
        into[:, :x], into[:, x:] = self._past[:, :x], self._future[:, x:]
        cursor = slice(round(high * (1 - top - tall)), round(high * (1 - BOXES[2][1])))
        into[cursor, x : x + max(1, wide // 640)] = 255

    def _turn_to(self, page: int) -> None:
        """Draw a page before it has been heard, and after."""
        stretch, self._page = self._stretch, page
        low = stretch.start_s + page * self._page_s
        high = low + self._page_s
        figure, canvas = blank(self._size)
        panels = [figure.add_axes(box, facecolor=PANEL) for box in BOXES]
        waves, chances = panels[:2], panels[2]
        shown = (stretch.times_s > low - 0.1) & (stretch.times_s < high + 0.1)
        times, p_shift = stretch.times_s[shown], stretch.p_shift[shown]
        parts = self._loudness.shape[1]
        at = stretch.start_s + (np.arange(parts) + 0.5) * (stretch.end_s - stretch.start_s) / parts
        sounding = (at > low - 0.1) & (at < high + 0.1)
        at, loudness = at[sounding], self._loudness[:, sounding]
        for panel, wave, speaking, colour in zip(
            waves, loudness, stretch.speaking[shown].T, SPEAKER_COLOURS, strict=True
        ):
            block: dict[str, Any] = {"step": "pre", "color": colour, "linewidth": 0}
            panel.fill_between(at, -wave, wave, color=colour, alpha=0.35, linewidth=0.3)
            panel.fill_between(times, -1.1, 1.1, where=speaking, alpha=0.2, **block)
        self._set_axes(panels, low, high)
        events = [event for event in stretch.events if event.end_s > low and event.start_s < high]
        self._name_turns(panels, events, low, high)
        canvas.draw()
        self._future = np.array(canvas.buffer_rgba())
        for speaker, (panel, colour) in enumerate(zip(waves, SPEAKER_COLOURS, strict=True)):
            wave, has_floor = loudness[speaker], stretch.holder[shown] == speaker
            block = {"step": "pre", "color": colour, "linewidth": 0}
            panel.fill_between(at, -wave, wave, color=colour, linewidth=0.3, zorder=0.9)
            panel.fill_between(times, -1.5, -1.22, where=has_floor, **block)
        chances.plot(times, p_shift, color=DARK.ink, linewidth=1.6)
        chances.fill_between(times, 0.5, p_shift, color=DARK.ink, alpha=0.16, linewidth=0)
        told = [
            (event.start_s + SCORE_S, event.p_shift)
            for event in events
            if event.p_shift is not None
        ]
        ring = {"markersize": 6, "markerfacecolor": "none", "markeredgewidth": 1.3}
        chances.plot(*np.reshape(told, (-1, 2)).T, "o", color=DARK.ink, **ring)
        canvas.draw()
        self._past = np.array(canvas.buffer_rgba())

    def _set_axes(self, panels: Sequence[Any], low: float, high: float) -> None:
        from matplotlib.ticker import MaxNLocator

        names = [f"speaker {speaker}\n({side})" for speaker, side in enumerate(SIDES)]
        for panel, name, colour in zip(
            panels, [*names, "p(shift)"], [*SPEAKER_COLOURS, DARK.ink], strict=True
        ):
            look = {"rotation": 0, "ha": "right", "va": "center", "fontsize": 8.5, "labelpad": 6}
            panel.set_ylabel(name, color=colour, **look)
            panel.set(xlim=(low, high), ylim=(-1.5, 1.15), xticks=[], yticks=[])
            panel.tick_params(colors=SOFT, labelsize=7.5, length=2, pad=2)
            panel.spines[:].set_visible(False)
        chances, digits = panels[-1], int(high - low <= 5)  # some ticks are parts of seconds
        chances.axhline(0.5, color=DARK.faint, linewidth=0.8, linestyle=(0, (3, 3)))
        chances.set(ylim=(0, 1), yticks=[0, 0.5, 1])
        chances.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
        chances.xaxis.set_major_formatter(lambda second, _: clock(second, digits))

    def _name_turns(
        self, panels: Sequence[Any], events: Sequence[Event], low: float, high: float
    ) -> None:
        """Shifts and holds: a band through all rows, named above, ticked where predicted right."""
        wide = LABEL_SHARE * (high - low)
        end_of_last = [-np.inf, -np.inf]  # of the labels in the lower and the upper line
        for event in events:
            for panel in panels:
                panel.axvspan(event.start_s, event.end_s, color=DARK.ink, alpha=0.09, linewidth=0)
            start = min(max(event.start_s, low), high - wide)
            line = int(start < end_of_last[0])
            end_of_last[line] = start + wide
            verdict = {None: "", True: " ✓", False: " ✗"}[event.correct]
            colour = WRONG if event.correct is False else DARK.ink
            look = {"textcoords": "offset points", "fontsize": 8, "annotation_clip": False}
            above = (0, 2 + 9 * line)
            panels[0].annotate(event.kind + verdict, (start, 1.15), above, color=colour, **look)
