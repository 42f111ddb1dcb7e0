"""Predictions for the live view, how tests draw it, and an output that claims to be a terminal."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from turnstream.stream.live.terminal import TerminalView
from turnstream.stream.prediction import Prediction

NAMES = ("You", "Other")
LATENT = np.zeros((2, 1), np.float32)


def prediction(
    frame: int,
    *,
    vad: tuple[float, float] = (0.9, 0.1),
    holder: int | None = 0,
    p_shift: float | None = 0.3,
) -> Prediction:
    p_hold = None if p_shift is None else 1 - p_shift
    pair = (0.8, 0.2)
    return Prediction(
        *(frame, (frame + 1) / 50, holder, p_shift, p_hold),
        *(vad, pair, pair, pair, (0.02, 0.13)),
        *(LATENT, LATENT, (vad[0] >= 0.5, vad[1] >= 0.5)),
    )


def draw(view: TerminalView, width: int, height: int, *, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        height=height,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
        legacy_windows=False,
    )
    console.print(view)
    return out.getvalue()


class FakeTerminal(io.StringIO):
    """An output that claims to be a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True
