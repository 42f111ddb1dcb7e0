"""Waits for a source's blocks in a thread of its own, for an event loop that must not wait.

The thread is a daemon: a read of standard input cannot be woken, and must keep neither the loop nor the program from ending. One block is
handed over at a time, so a slow reader makes the source wait; what then becomes of live audio is the source's rule.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterable

from ..sources import Block

_END_S = (
    0.5  # how long the thread is waited for; one that reads standard input may never notice the end
)


class SourceThread:
    """An async context manager that reads while it lasts, and an async iterator of blocks, (N, C) float32.

    Args:
        blocks: a source, or `paced(source)`. Its errors are raised to whoever iterates.
    """

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = blocks
        self._handed: asyncio.Queue[Block | Exception | None] = asyncio.Queue()
        self._wanted = threading.Semaphore(1)
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True, name="turnstream source")

    async def __aenter__(self) -> SourceThread:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.end()
        await asyncio.to_thread(self._thread.join, _END_S)

    async def __aiter__(self) -> AsyncIterator[Block]:
        """Give blocks to the end of the source, or to `end`."""
        while (item := await self._handed.get()) is not None:
            if isinstance(item, Exception):
                raise item
            self._wanted.release()
            yield item

    def end(self) -> None:
        """Read no further block, and let whoever iterates come to an end; to be called in the event loop's thread."""
        self._ended = True
        self._handed.put_nowait(None)
        self._wanted.release()

    def _read(self) -> None:
        try:
            for block in self._blocks:
                self._hand(block)
                if self._ended:
                    return
        except Exception as error:  # raised again by whoever iterates
            self._hand(error)
        else:
            self._hand(None)

    def _hand(self, item: Block | Exception | None) -> None:
        self._wanted.acquire()
        if not self._ended:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._handed.put_nowait, item)
