"""Bars for long work: drawn anew in a terminal; elsewhere, such as in a log, a line a minute."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

EVERY_S = 60.0  # between lines where nobody looks on
LINE = "{desc}: {n_fmt} of {total_fmt} {unit} after {elapsed}\n"


def bar(work: Iterable[Any] | None, what: str, unit: str, total: int | None = None) -> Any:
    """Return a bar to loop over, or to `update` if there is only a total; silent for short work."""
    looked_at = sys.stderr.isatty()
    look: dict[str, Any] = {} if looked_at else {"bar_format": LINE, "delay": EVERY_S}
    seconds = 0.1 if looked_at else EVERY_S
    return tqdm(work, what, total, unit=unit, mininterval=seconds, maxinterval=2 * seconds, **look)
