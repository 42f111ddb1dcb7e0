"""Draws the live view on a terminal, or writes plain lines if there is no terminal.

The view is drawn after every few predictions, in the thread that delivers them. There is no timer
and no other thread. So drawing uses the pause after a prediction and does not delay one.
"""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.control import Control
from rich.live import Live

from ..prediction import FrameMessage, Pair, TurnEvent
from .terminal import TerminalView
from .terminal_plane import Float32
from .terminal_shapes import clock

_PICTURES_PER_S = 17


class Screen:
    """Shows a view on an output; a context manager that restores the terminal.

    Args:
        view: what to show.
        plain: write lines of events, even if the terminal can show the view.
        out: where to write; standard output if not given.
    Attributes:
        plain: whether lines are written. Also True if `out` is no terminal, cannot move its cursor,
            or has no block characters.
    """

    def __init__(
        self, view: TerminalView, *, plain: bool = False, out: TextIO | None = None
    ) -> None:
        self.view = view
        self._console = Console(file=out)
        self.plain = plain or not can_draw(self._console)
        self._live = (
            None
            if self.plain
            else Live(
                view, console=self._console, screen=True, auto_refresh=False, redirect_stderr=False
            )
        )
        self._every = max(1, round(view.frame_rate_hz / _PICTURES_PER_S))

    def __enter__(self) -> Screen:
        if self._live is None:
            self._print(f"{self.view.source}, model {self.view.model_name}; Ctrl-C ends")
            if self.view.plane is not None:
                self._print("The plane of the latents is drawn on a terminal only.")
        else:
            self._live.start(refresh=True)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._live is not None:
            # Without this, tmux keeps rows of the view if it was resized meanwhile.
            self._console.control(Control.clear(), Control.home())
            self._live.stop()

    def on_prediction(
        self, p: FrameMessage, latency_s: float | None = None, levels_dbfs: Pair | None = None
    ) -> None:
        """See `TerminalView.on_prediction`."""
        self.view.on_prediction(p, latency_s, levels_dbfs)
        if self._live is not None and p.frame % self._every == 0:
            self._live.refresh()

    def on_latents(self, frame: int, states: Float32) -> None:
        """See `TerminalView.on_latents`. The next prediction draws them."""
        self.view.on_latents(frame, states)

    def on_event(self, event: TurnEvent) -> None:
        """See `TerminalView.on_event`."""
        self.view.on_event(event)
        if self._live is None:
            self._print(f"{clock(event.time_s):>7}  {self.view.words(event)}")

    def on_warning(self, text: str) -> None:
        """See `TerminalView.on_warning`."""
        self.view.on_warning(text)
        if self._live is None:
            self._print(f"{clock(self.view.tally.seconds):>7}  * {text}")

    def on_level(self, levels_dbfs: Pair) -> None:
        """See `TerminalView.on_level`."""
        self.view.on_level(levels_dbfs)

    def on_notice(self, text: str | None) -> None:
        """See `TerminalView.on_notice`. Drawn at once: there may be no predictions meanwhile."""
        self.view.on_notice(text)
        if self._live is not None:
            self._live.refresh()
        elif text is not None:
            self._print(f"{clock(self.view.tally.seconds):>7}  ! {text}")

    def _print(self, line: str) -> None:
        """Print a line and flush. Characters that the encoding lacks become question marks."""
        encoding = self._console.encoding
        print(
            line.encode(encoding, "replace").decode(encoding), file=self._console.file, flush=True
        )


def can_draw(console: Console) -> bool:
    """Return whether the output is a terminal that can show the view."""
    return (
        console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")
    )
