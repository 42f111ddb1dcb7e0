"""Writes files, with one clear error."""

from __future__ import annotations

from pathlib import Path

from ..stream.errors import ExportError


def write_file(path: Path, content: bytes) -> None:
    """Write a file; create its folder if necessary.

    Raises:
        ExportError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ExportError(
            f"expected a file that can be written, got {str(path)!r}: {error.strerror}"
        ) from None
