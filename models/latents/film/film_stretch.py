"""A part of a dialogue, as a film shows it, and what its pictures have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...evaluation.plots import THEMES
from ..collection import Event

DARK = THEMES[1]  # on which points light up
PANEL, SOFT = "#1d2026", "#b4b4b4"
SPEAKER_COLOURS = (DARK.first, DARK.second)
SPEAKER_SHAPES = ("o", "s")
SIDES = ("left", "right")
PAGE_S = 16.0  # the most that the strip shows at once
INCHES_HIGH = 7.2  # sizes of letters and lines are relative to this

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
        loudness: 0-1, (2, N), of N equal parts of the stretch; silent where there is no sound.
        events: shifts and holds in it.
    """

    start_s: float
    end_s: float
    times_s: NDArray[np.float64]
    places: Mapping[str, NDArray[np.float32]]
    speaking: NDArray[np.bool_]
    holder: NDArray[np.integer[Any]]
    p_shift: NDArray[np.float64]
    loudness: NDArray[np.float32]
    events: Sequence[Event]

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
    figure = Figure(
        figsize=((size[0] + 1e-3) / dpi, (size[1] + 1e-3) / dpi), dpi=dpi, facecolor=DARK.paper
    )
    return figure, FigureCanvasAgg(figure)
