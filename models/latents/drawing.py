"""What the pictures of several views are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .views import LIGHT, red_to_blue


def heading(panel: Any, words: str, size: float = 9.5, **look: Any) -> None:
    """Write the title of a panel; `look` is more for matplotlib's `set_title`."""
    panel.set_title(words, fontsize=size, color=LIGHT.ink, **look)


def line_with_band(
    panel: Any, x: NDArray[Any], values: NDArray[np.float64], colour: str, label: str, **look: Any
) -> None:
    """Draw a line of values with the ends of their intervals, (K, 3), at x, (K,).

    `look` is more for matplotlib's `plot`.
    """
    panel.plot(x, values[:, 0], color=colour, label=label, **{"linewidth": 1.7, **look})
    panel.fill_between(x, values[:, 1], values[:, 2], color=colour, alpha=0.12, linewidth=0)


def states_image(
    panel: Any, values: NDArray[Any], extent: tuple[float, float, float, float], limit: float = 1
) -> Any:
    """Draw values as an image from red (-limit) to blue (limit), grey where NaN; return it."""
    panel.set_facecolor("#dddddd")
    panel.grid(visible=False)
    look: dict[str, Any] = {"cmap": red_to_blue(), "vmin": -limit, "vmax": limit}
    look |= {"aspect": "auto", "extent": extent, "interpolation": "nearest"}
    return panel.imshow(np.ma.masked_invalid(values), **look)


def listed(figures: Mapping[str, str]) -> str:
    """Return figures, a line each, to stand under a sentence that says what they are."""
    return "\n" + "".join(f"{name}: {value}\n" for name, value in figures.items() if value)


def many(count: int, thing: str) -> str:
    """Return a count of things, in words."""
    return f"{count} {thing}" + "s" * (count != 1)
