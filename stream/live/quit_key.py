"""Ends a live view by the key q.

The keys that are pressed while the view is shown are read here. So they are neither echoed into the
picture nor left to the shell.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Generator

_STDIN = 0


@contextlib.contextmanager
def quit_key(end: Callable[[], None], descriptor: int = _STDIN) -> Generator[bool, None, None]:
    """Call `end` for each q, until the context ends; then restore the terminal.

    Must be entered in a running event loop.

    Args:
        end: called in the event loop.
        descriptor: where the keys come from; standard input if not given.
    Yields:
        Whether keys are read. They are not if `descriptor` is no terminal, if this process is in
        the terminal's background, or on Windows.
    """
    try:
        import termios
        import tty
    except ImportError:  # Windows
        yield False
        return
    try:
        ours = os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
        before = termios.tcgetattr(descriptor) if ours else None
    except (OSError, termios.error):
        before = None
    if before is None:
        yield False
        return
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            keys = os.read(descriptor, 1024)
        except OSError:
            keys = b""
        if not keys:  # the terminal is gone
            loop.remove_reader(descriptor)
        elif b"q" in keys.lower():
            end()

    tty.setcbreak(descriptor, termios.TCSANOW)
    loop.add_reader(descriptor, read)
    try:
        yield True
    finally:
        loop.remove_reader(descriptor)
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)  # forgets unread keys, too
