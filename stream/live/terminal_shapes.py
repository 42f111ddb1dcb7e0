"""Draws numbers in characters: column charts, bars, a clock.

The results are plain text of known width. The view adds the colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_EIGHTHS_UP = " ▁▂▃▄▅▆▇█"
_EIGHTHS_RIGHT = " ▏▎▍▌▋▊▉█"
TRACK = "░"
THRESHOLD = "┃"


def column_rows(values: Sequence[float], rows: int) -> list[str]:
    """Return a column chart; each column is one character wide.

    Args:
        values: heights in [0, 1]. NaN is an empty column. 0 is a thin line, which shows that a
            value was measured.
        rows: height of the chart in lines.
    Returns:
        Lines from top to bottom, each as long as `values`.
    """
    heights = [
        0 if math.isnan(value) else max(1, round(_clip(value) * rows * 8)) for value in values
    ]
    return [
        "".join(_EIGHTHS_UP[min(8, max(0, height - 8 * below))] for height in heights)
        for below in reversed(range(rows))
    ]


def bar(value: float, width: int, threshold: float | None = None) -> str:
    """Return a horizontal bar of `width` characters for a value in [0, 1].

    A mark shows the threshold. The bar can be read without colour: the unfilled part is a dotted
    track.
    """
    eighths = round(_clip(value) * width * 8)
    cells = ["█"] * (eighths // 8)
    if len(cells) < width:
        cells += [_EIGHTHS_RIGHT[eighths % 8] if eighths % 8 else TRACK]
    cells += [TRACK] * (width - len(cells))
    if threshold is not None:
        cells[threshold_cell(threshold, width)] = THRESHOLD
    return "".join(cells)


def threshold_cell(threshold: float, width: int) -> int:
    """Return the index of a threshold in [0, 1] in a bar of `width` characters."""
    return min(width - 1, int(_clip(threshold) * width))


def level_share(level_dbfs: float, floor_dbfs: float = -60.0) -> float:
    """Map a level to [0, 1]: `floor_dbfs` and below to 0, full scale to 1."""
    return _clip(1 - level_dbfs / floor_dbfs)


def clock(time_s: float) -> str:
    """Format a time as minutes, seconds and tenths: 0:07.4."""
    # Rounded down, so that 59.96 s is not 0:60.0. The times of frames are inexact in binary.
    tenths = int(time_s * 10 + 1e-6)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def percent(probability: float) -> str:
    """Format a probability as a percentage: 82 %."""
    return f"{round(100 * probability)} %"


def fit(text: str, width: int) -> str:
    """Return text of exactly `width` characters, cut with an ellipsis or padded with spaces."""
    return text.ljust(width) if len(text) <= width else text[: max(0, width - 1)] + "…"[:width]


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
