"""Stores the last seconds of a conversation and returns them as columns for the terminal.

The store is a ring of frames. A column is the mean of a fixed number of frames. The columns begin
at fixed times, so the chart scrolls by whole columns and does not flicker.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..prediction import FrameMessage

_CAPACITY = 4096  # frames; older ones are overwritten
_VAD, _P_SHIFT, _HOLDER = slice(0, 2), 2, 3


@dataclass(frozen=True, slots=True)
class Columns:
    """W columns, the newest last; NaN where no value is known.

    Attributes:
        vad: mean p(speech) of each speaker, (2, W).
        p_shift: mean over the frames with the same holder as the column's last frame, (W,).
        holder: holder of the floor in the column's last frame, 0 or 1, (W,).
        first: number of the first column, counted from the start of the conversation.
        frames: frames per column.
    """

    vad: NDArray[np.float32]
    p_shift: NDArray[np.float32]
    holder: NDArray[np.float32]
    first: int
    frames: int


class History:
    """Stores predictions; `columns` returns the newest."""

    def __init__(self) -> None:
        self._values = np.full((4, _CAPACITY), np.nan, np.float32)
        self._frame_at = np.full(_CAPACITY, -1, np.int64)
        self._newest = -1

    def add(self, p: FrameMessage) -> None:
        """Store one prediction."""
        cell = p.frame % _CAPACITY
        self._values[:, cell] = (
            *p.vad,
            math.nan if p.p_shift is None else p.p_shift,
            math.nan if p.holder is None else p.holder,
        )
        self._frame_at[cell] = p.frame
        self._newest = p.frame

    def columns(self, width: int, span_frames: int) -> Columns:
        """Return the newest columns.

        Args:
            width: number of columns.
            span_frames: number of frames to cover. The columns cover a few more if `width` does not
                divide it, and at most 4096.
        """
        per_column = max(1, min(-(-span_frames // width), _CAPACITY // width))
        first = max(self._newest, 0) // per_column - width + 1
        frames = np.arange(first * per_column, (first + width) * per_column)
        cells = frames % _CAPACITY
        known = (self._frame_at[cells] == frames) & (frames >= 0) & (frames <= self._newest)
        values = np.where(known, self._values[:, cells], np.float32(np.nan)).reshape(
            4, width, per_column
        )
        last = np.where(known, np.arange(len(frames)), -1).reshape(width, per_column).max(axis=1)
        holder = np.where(last >= 0, values[_HOLDER].reshape(-1)[last], np.float32(np.nan))
        p_shift = np.where(values[_HOLDER] == holder[:, None], values[_P_SHIFT], np.float32(np.nan))
        return Columns(_mean(values[_VAD]), _mean(p_shift), holder, first, per_column)


def _mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over the last axis, ignoring NaN; NaN without a warning if all are NaN."""
    known = ~np.isnan(values)
    counts = known.sum(axis=-1)
    sums = np.where(known, values, 0).sum(axis=-1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)
