"""Computes the filter tables of odd sample rates in a thread, before their sessions begin.

The table of a common rate takes 2 ms at most and is computed at once. That of an odd rate takes
some 20 ms, in which no live frame could be predicted.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from ..resample import prepare_table, table_taps

_MOST_WAITING = 64  # sessions; the last of them waits for a second or two
_MOST_AT_ONCE = 1 << 15  # taps of a table that the event loop may compute: 44.1 kHz has 28,658


class Resampling:
    """Prepares filter tables, one after the other.

    Attributes:
        used_s: time that the thread has used so far.
    """

    def __init__(self) -> None:
        self.used_s = 0.0
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, "resampling")

    def is_ready(self, input_rate_hz: int, output_rate_hz: int) -> bool:
        """Return whether a resampler for these rates can be made at once."""
        return table_taps(input_rate_hz, output_rate_hz) <= _MOST_AT_ONCE

    async def prepare(self, input_rate_hz: int, output_rate_hz: int) -> bool:
        """Compute the table in the thread, unless `is_ready`.

        Returns:
            False if too many sessions wait already; then nothing is computed.
        """
        if self.is_ready(input_rate_hz, output_rate_hz):
            return True
        if self._waiting >= _MOST_WAITING:
            return False
        self._waiting += 1
        try:
            self.used_s += await asyncio.get_running_loop().run_in_executor(
                self._thread, _compute, input_rate_hz, output_rate_hz
            )
        finally:
            self._waiting -= 1
        return True

    def close(self) -> None:
        """Stop the thread; what waits for it is cancelled."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _compute(input_rate_hz: int, output_rate_hz: int) -> float:
    """Compute a table; return the processor time that it took, in seconds."""
    began_s = time.thread_time()
    prepare_table(input_rate_hz, output_rate_hz)
    return time.thread_time() - began_s
