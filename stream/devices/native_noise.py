"""Hides what C libraries print on standard error.

PortAudio and ALSA print a message for every device that they cannot use, also from their own
threads. The messages would appear in the middle of the live view.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def native_noise_hidden() -> Generator[None, None, None]:
    """Discard everything that this process writes to file descriptor 2, as long as it lasts."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
