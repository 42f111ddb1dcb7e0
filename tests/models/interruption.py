"""A run that ends in the middle, as if its machine was switched off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from unittest.mock import patch

import pytest


class InterruptedRunError(Exception):
    """Stands for a machine that was switched off."""


@contextmanager
def interrupted_after_validation(loop: ModuleType) -> Iterator[None]:
    """End the run inside after its first validation and checkpoint.

    Args:
        loop: the module that calls `write_validation`.
    """
    written = loop.write_validation

    def die(*arguments: object) -> None:
        written(*arguments)
        raise InterruptedRunError

    with patch.object(loop, "write_validation", die), pytest.raises(InterruptedRunError):
        yield
