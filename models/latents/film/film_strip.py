"""The lower part of a film's pictures: sound, floor, p_shift and turns, with a cursor.

A page of it is drawn twice, as it is before it has been heard and after; a picture is one up to the
cursor and the other beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...evaluation.shift_hold import SCORE_S
from .film_stretch import (
    DARK,
    PAGE_S,
    PANEL,
    SIDES,
    SOFT,
    SPEAKER_COLOURS,
    Image,
    Stretch,
    blank,
    clock,
)


class Strip:
    """Draws one page after another, all of a length; size is (width, height)."""

    def __init__(self, stretch: Stretch, size: tuple[int, int]) -> None:
        self._stretch, self._size = stretch, size
        seconds = stretch.end_s - stretch.start_s
        self._pages = max(1, int(np.ceil(seconds / PAGE_S - 1e-6)))
        self._page_s = seconds / self._pages
        self._page = -1
        self._past = self._future = np.zeros((0, 0, 4), np.uint8)
        self._left = self._right = self._top = self._bottom = 0

    def draw(self, time_s: float, into: Image) -> None:
        """Draw into (height, width, 4), at a time in the dialogue."""
        page = min(int((time_s - self._stretch.start_s) / self._page_s), self._pages - 1)
        if page != self._page:
            self._turn_to(page)
        share = (time_s - self._stretch.start_s) / self._page_s - page
        x = round(self._left + min(share, 1.0) * (self._right - self._left))
        into[:, :x], into[:, x:] = self._past[:, :x], self._future[:, x:]
        wide = max(1, self._size[0] // 640)
        into[self._top : self._bottom, x : x + wide] = 255

    def _turn_to(self, page: int) -> None:
        stretch = self._stretch
        low = stretch.start_s + page * self._page_s
        high = low + self._page_s
        figure, canvas = blank(self._size)
        boxes = [
            (0.075, bottom, 0.908, tall)
            for bottom, tall in ((0.69, 0.2), (0.46, 0.2), (0.13, 0.29))
        ]
        waves, chances = (
            [figure.add_axes(box, facecolor=PANEL) for box in boxes[:2]],
            figure.add_axes(boxes[2], facecolor=PANEL),
        )
        past: list[Any] = []
        future: list[Any] = []
        shown = (stretch.times_s > low - 0.1) & (stretch.times_s < high + 0.1)
        times = stretch.times_s[shown]
        at = stretch.start_s + (np.arange(stretch.loudness.shape[1]) + 0.5) * (
            stretch.end_s - stretch.start_s
        ) / max(1, stretch.loudness.shape[1])
        sounding = (at > low - 0.1) & (at < high + 0.1)
        for speaker, panel in enumerate(waves):
            colour = SPEAKER_COLOURS[speaker]
            for artists, alpha in ((past, 1.0), (future, 0.35)):
                wave = stretch.loudness[speaker, sounding]
                artists.append(
                    panel.fill_between(
                        at[sounding], -wave, wave, color=colour, alpha=alpha, linewidth=0.3
                    )
                )
            panel.fill_between(
                times,
                -1.1,
                1.1,
                where=stretch.speaking[shown, speaker],
                step="pre",
                color=colour,
                alpha=0.2,
                linewidth=0,
            )
            has_floor = stretch.holder[shown] == speaker
            past.append(
                panel.fill_between(
                    times, -1.5, -1.22, where=has_floor, step="pre", color=colour, linewidth=0
                )
            )
            panel.set(ylim=(-1.5, 1.15), yticks=[])
            panel.set_ylabel(
                f"speaker {speaker}\n({SIDES[speaker]})",
                color=colour,
                rotation=0,
                ha="right",
                va="center",
                fontsize=8.5,
                labelpad=8,
            )
        chances.axhline(0.5, color=DARK.faint, linewidth=0.8, linestyle=(0, (3, 3)))
        past += chances.plot(times, stretch.p_shift[shown], color=DARK.ink, linewidth=1.6)
        past.append(
            chances.fill_between(
                times, 0.5, stretch.p_shift[shown], color=DARK.ink, alpha=0.16, linewidth=0
            )
        )
        chances.set(ylim=(0, 1), yticks=[0, 0.5, 1])
        chances.set_ylabel(
            "p(shift)",
            color=DARK.ink,
            rotation=0,
            ha="right",
            va="center",
            fontsize=8.5,
            labelpad=4,
        )
        for panel in (*waves, chances):
            panel.set_xlim(low, high)
            panel.tick_params(colors=SOFT, labelsize=7.5, length=2, pad=2)
            for spine in panel.spines.values():
                spine.set_visible(False)
        for panel in waves:
            panel.set_xticks([])
        ticks = _ticks(low, high)
        chances.set_xticks(
            ticks,
            [
                clock(tick, 0 if (ticks[1] - ticks[0] if len(ticks) > 1 else 0) >= 1 else 1)
                for tick in ticks
            ],
        )
        past += self._mark_turns(waves, chances, low, high)
        both = []
        for shown_ones, hidden in ((past, future), (future, past)):
            for artist in shown_ones:
                artist.set_visible(True)
            for artist in hidden:
                artist.set_visible(False)
            canvas.draw()
            both.append(np.array(canvas.buffer_rgba()))
        self._past, self._future = both
        self._page = page
        self._left, self._right = (
            round(chances.transData.transform((second, 0))[0]) for second in (low, high)
        )
        self._top, self._bottom = (
            round(self._size[1] * (1 - edge)) for edge in (boxes[0][1] + boxes[0][3], boxes[2][1])
        )

    def _mark_turns(self, waves: Sequence[Any], chances: Any, low: float, high: float) -> list[Any]:
        """Shifts and holds: a band through all rows, named above, ticked where predicted right.

        Returns:
            Rings around the predictions that were judged, to be shown when they have been made.
        """
        rings: list[Any] = []
        end_of_last = [-np.inf, -np.inf]  # of the labels in the lower and the upper line
        for event in self._stretch.events:
            if event.end_s <= low or event.start_s >= high:
                continue
            for panel in (*waves, chances):
                panel.axvspan(event.start_s, event.end_s, color=DARK.ink, alpha=0.09, linewidth=0)
            verdict = "" if event.correct is None else " ✓" if event.correct else " ✗"
            if event.p_shift is not None:
                rings += chances.plot(
                    event.start_s + SCORE_S,
                    event.p_shift,
                    "o",
                    markersize=6,
                    color=DARK.ink,
                    markerfacecolor="none",
                    markeredgewidth=1.3,
                )
            start = min(max(event.start_s, low), high - 0.055 * (high - low))
            line = int(start < end_of_last[0])
            end_of_last[line] = start + 0.055 * (high - low)
            colour = DARK.ink if event.correct is None or event.correct else "#ff8f8f"
            waves[0].annotate(
                event.kind + verdict,
                (start, 1.15),
                xytext=(0, 2 + 9 * line),
                textcoords="offset points",
                fontsize=8,
                color=colour,
                annotation_clip=False,
            )
        return rings


def _ticks(low: float, high: float) -> NDArray[np.float64]:
    step = next((step for step in (0.1, 0.2, 0.5, 1.0, 2.0) if (high - low) / step <= 10), 5.0)
    return np.arange(np.ceil(low / step - 1e-6), np.floor(high / step + 1e-6) + 1) * step
