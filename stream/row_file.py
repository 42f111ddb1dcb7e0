"""Writes rows of named values: CSV, JSON Lines, or one JSON list. Checks the path of an output."""

from __future__ import annotations

import csv
import errno
import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TextIO

from .errors import AudioFormatError

ROW_SUFFIXES = (".csv", ".jsonl", ".json")
# The path is right, but its device is full or failed: not the user's mistake.
_SURROUNDINGS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENFILE)

Row = dict[str, object]


class RowFile:
    """A table that is written row by row. Use it as a context manager.

    Args:
        path: a file; its suffix is one of ROW_SUFFIXES and gives the format. A device or pipe gets
            CSV. None is standard output, as CSV.
        columns: names of the values of each row.
    Raises:
        AudioFormatError: the file cannot be written; also when a row is written, or at the end.
        OSError: its device is full or failed; the error names the file.
    """

    def __init__(self, path: Path | None, columns: Sequence[str]) -> None:
        self._path = path
        self._out: TextIO = sys.stdout
        if path is not None:
            with writing(path):
                self._out = path.open("w", newline="", encoding="utf-8")
        self._suffix = ".csv" if path is None or path.suffix not in ROW_SUFFIXES else path.suffix
        self._table = csv.DictWriter(self._out, columns, lineterminator="\n")
        self._empty = True

    def __enter__(self) -> RowFile:
        if self._suffix == ".csv":
            with writing(self._path):
                self._table.writeheader()
        return self

    def write(self, row: Row) -> None:
        """Write one row, whose keys are the columns."""
        with writing(self._path):
            if self._suffix == ".csv":
                self._table.writerow(row)
            elif self._suffix == ".jsonl":
                self._out.write(json.dumps(row) + "\n")
            else:
                self._out.write(("[\n" if self._empty else ",\n") + json.dumps(row))
            self._empty = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._path is None:
            return
        with writing(self._path), self._out:
            if self._suffix == ".json":
                self._out.write("[]\n" if self._empty else "\n]\n")


def check_output(path: Path | None, *suffixes: str, devices: bool = False) -> None:
    """Check, before any work is done, that an output can be written.

    Args:
        path: the output; None needs no check.
        suffixes: the path must end in one of them; none if any name will do.
        devices: whether a device or a pipe needs no suffix.
    Raises:
        AudioFormatError: the path has another suffix, or its folder does not exist.
    """
    if path is None:
        return
    if suffixes and path.suffix not in suffixes and not (devices and _is_device(path)):
        raise AudioFormatError(
            f"expected an output file ending in {' or '.join(suffixes)}, got {str(path)!r}"
        )
    if not path.parent.is_dir():
        raise AudioFormatError(
            f"expected a file that can be written, got {str(path)!r}: "
            f"no folder {str(path.parent)!r}"
        )


def check_distinct(option: str, path: Path | None, other: str, other_path: Path | None) -> None:
    """Check that two options do not name one file. A device takes both outputs.

    Raises:
        AudioFormatError: they do.
    """
    if path and other_path and path.resolve() == other_path.resolve() and not _is_device(path):
        raise AudioFormatError(
            f"expected two files for {option} and {other}, got {str(path)!r} for both"
        )


@contextmanager
def writing(path: Path | None, what: str = "file") -> Generator[None, None, None]:
    """Let errors in the block name the file. Without a path, or if the reader of a pipe
    has gone, they stay as they are.

    Args:
        path: what is written.
        what: "file" or "folder".
    Raises:
        AudioFormatError: the file cannot be written.
        OSError: its device is full or failed, or there are too few file descriptors.
    """
    try:
        yield
    except OSError as error:
        if path is None or isinstance(error, BrokenPipeError):
            raise
        if error.errno in _SURROUNDINGS:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise AudioFormatError(
            f"expected a {what} that can be written, got {str(path)!r}: {error.strerror or error}"
        ) from None


def _is_device(path: Path) -> bool:
    return path.is_char_device() or path.is_fifo()
