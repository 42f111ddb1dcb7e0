"""A progress bar on the terminal for work that goes through a recording."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    length_s: float, *, rows: bool = False
) -> Generator[Callable[[float], None], None, None]:
    """Show on standard error how much of a recording is done, and how fast.

    Nothing is shown if standard error is not a terminal, or if rows are printed to a terminal.

    Args:
        length_s: seconds of audio; infinite if unknown.
        rows: whether rows are printed to standard output in the meantime.
    Yields:
        A function that takes the seconds of audio that have been done since its last call.
    """
    if not sys.stderr.isatty() or (rows and sys.stdout.isatty()):
        yield lambda seconds: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
    from rich.text import Text

    class _Done(ProgressColumn):
        """Shows the seconds done, all seconds, and seconds of audio per second."""

        def render(self, task: Task) -> Text:
            whole = "" if task.total is None else f" of {task.total:.0f}"
            return Text(f"{task.completed:.0f}{whole} s, {task.speed or 0:.0f} times real time")

    known = math.isfinite(length_s)
    with Progress(
        BarColumn(), _Done(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task("", total=length_s if known else None)
        yield lambda seconds: progress.advance(task, seconds)
