"""Keeps what C libraries print on standard error away from the terminal.

PortAudio and ALSA describe every device that they cannot use there, also from threads of their own, into the middle of a picture.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def native_noise_hidden() -> Generator[None, None, None]:
    """Discard all that this process writes to standard error, by file number, as long as the context lasts."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
