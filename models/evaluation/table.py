"""A table of text, and how a value with its interval is written in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .measures import Estimate

NOTHING = "-"


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column names the row. The note explains the table."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


def shown(estimate: Estimate, scale: float = 1.0, digits: int = 2) -> str:
    """Format a value and its interval."""
    if math.isnan(estimate.value):
        return NOTHING
    value = f"{estimate.value * scale:.{digits}f}"
    return (
        value
        if math.isnan(estimate.low)
        else f"{value} [{estimate.low * scale:.{digits}f}, {estimate.high * scale:.{digits}f}]"
    )
