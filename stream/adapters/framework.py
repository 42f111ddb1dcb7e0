"""The import of a framework. If it is missing, one line names the extra that installs it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ..errors import MissingExtraError


@contextmanager
def framework(extra: str, package: str) -> Generator[None]:
    """Import a package inside of this. The extra has the name of its module.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != extra:
            raise
        raise MissingExtraError(package, extra) from None
