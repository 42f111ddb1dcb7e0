"""Pictures of numbers in block characters: columns, bars, a clock. Plain text of known width; colours are the view's business."""

from __future__ import annotations

import math
from collections.abc import Sequence

_EIGHTHS_UP = " ▁▂▃▄▅▆▇█"
_EIGHTHS_RIGHT = " ▏▎▍▌▋▊▉█"
TRACK = "░"
THRESHOLD = "┃"


def column_rows(values: Sequence[float], rows: int) -> list[str]:
    """A chart of columns, one character wide each.

    Args:
        values: heights in [0, 1]; NaN leaves the column empty, 0 is still a thin line so that one sees that something was measured.
        rows: height of the chart in lines.
    Returns:
        Lines from the top down, each as long as `values`.
    """
    heights = [
        0 if math.isnan(value) else max(1, round(_clip(value) * rows * 8)) for value in values
    ]
    return [
        "".join(_EIGHTHS_UP[min(8, max(0, height - 8 * below))] for height in heights)
        for below in reversed(range(rows))
    ]


def bar(value: float, width: int, threshold: float | None = None) -> str:
    """A horizontal bar for a value in [0, 1], with the threshold marked; `width` characters.

    The whole of the bar is visible without colour: filled, and a dotted track for the rest.
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
    """Where in a bar of `width` characters a threshold in [0, 1] lies."""
    return min(width - 1, int(_clip(threshold) * width))


def level_share(level_dbfs: float, floor_dbfs: float = -60.0) -> float:
    """A level as a share of a meter that begins at `floor_dbfs` and ends at full scale."""
    return _clip(1 - level_dbfs / floor_dbfs)


def clock(time_s: float) -> str:
    """Minutes, seconds and tenths: 0:07.4."""
    tenths = int(
        time_s * 10 + 1e-6
    )  # down, so that 59.96 s is not 0:60.0; times of frames are inexact in binary
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def percent(probability: float) -> str:
    """A probability as people write it: 82 %."""
    return f"{round(100 * probability)} %"


def fit(text: str, width: int) -> str:
    """Text in exactly `width` characters, cut with an ellipsis or filled with spaces."""
    return text.ljust(width) if len(text) <= width else text[: max(0, width - 1)] + "…"[:width]


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
