"""What a server needs from the system before it starts: standard streams, and file descriptors."""

from __future__ import annotations

import contextlib
import os
import sys

from ..errors import ServerError

_NEEDED_DESCRIPTORS = 64  # a server without clients has about 20, and each client needs one more


def fill_closed_streams() -> None:
    """Open the null device in place of standard streams that were closed at the start.

    Otherwise the next socket would get the number of a closed stream, and receive what a library
    or a worker process writes to it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))


def discard_output() -> None:
    """Send standard output to the null device, because it cannot be written any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def require_descriptors() -> None:
    """Check that some file descriptors are free.

    Raises:
        ServerError: too few are free.
    """
    with contextlib.ExitStack() as opened:
        for count in range(_NEEDED_DESCRIPTORS):
            try:
                opened.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            except OSError as error:
                raise ServerError(
                    "no_descriptors",
                    f"expected at least {_NEEDED_DESCRIPTORS} free file descriptors, got {count} "
                    f"({error.strerror}); `ulimit -n` tells and raises their number",
                ) from None
