"""What pictures and captions of several views of this folder are made of.

Every such view takes a collection of dialogues with sound, any network, the .png `out` to write,
and the network's name, which is the collection's unless given. Silences without shifts or without
holds are a ConfigError.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...evaluation.measures import Estimate
from ..drawing import heading
from ..views import LIGHT

TICKS_S = (0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32)


def mel_image(
    panel: Any, edges: NDArray[Any], values: NDArray[Any], title: str, **look: Any
) -> Any:
    """Draw values of mel bins, (T, M), in frames with these edges, (T + 1,); return the image."""
    panel.grid(visible=False)
    heading(panel, title, 9, loc="left")
    return panel.pcolormesh(edges, np.arange(values.shape[1] + 1), values.T, **look)


def seconds_axis(panel: Any, title: str, longest: float, named: dict[float, str]) -> None:
    """Make a panel's axis one of seconds, logarithmic, with ticks up to the longest and `named`."""
    ticks = {tick: f"{tick:g}" for tick in TICKS_S if tick <= longest} | named
    panel.set_xscale("log")
    panel.set_xticks(list(ticks), list(ticks.values()))
    panel.minorticks_off()
    panel.set_xlabel(title, fontsize=9)


def readable() -> list[Any]:
    """Path effects of text that is readable upon what is drawn."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground=LIGHT.paper)]


def in_words(found: Estimate, form: str, unit: str = "") -> str:
    """Return a value with its interval, if it has one; "unknown" for NaN."""
    if math.isnan(found.value):
        return "unknown"
    interval = "" if math.isnan(found.low) else f" ({found.low:{form}} to {found.high:{form}})"
    return f"{found.value:{form}}{unit}{interval}"
