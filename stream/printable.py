"""Makes text from outside safe to print, and keeps the standard streams usable."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def printable(text: str) -> str:
    """Return the text with every character that is not printable as an escape sequence.

    A file's name or a model's version may contain control codes, which would act on the terminal,
    or characters that cannot be encoded.
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def open_standard_streams() -> None:
    """Give the standard streams a file descriptor if they were closed (`>&-`).

    Otherwise the next file that is opened would take their place. A closed standard input is empty.
    Writing to a closed standard output fails as it should; messages to a closed standard error are
    lost. Text that the encoding lacks is escaped.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(_null(0, os.O_RDONLY), closefd=False)
    sys.stdout = _open(sys.stdout, 1, os.O_RDONLY)
    sys.stderr = _open(sys.stderr, 2, os.O_WRONLY)


def settle_stdout() -> bool:
    """Return whether standard output takes what is left to write. If not, it is thrown away.

    Otherwise the interpreter would complain when it exits.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _open(stream: TextIO | None, descriptor: int, mode: int) -> TextIO:
    if stream is None:
        stream = os.fdopen(_null(descriptor, mode), "w", closefd=False)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")  # pyright: ignore
    return stream


def _null(descriptor: int, mode: int) -> int:
    """Open the null device under a file descriptor, and return it."""
    opened = os.open(os.devnull, mode)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)
    return descriptor
