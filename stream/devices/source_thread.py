"""Reads a source in a separate thread, so that the event loop does not wait.

The thread is a daemon. A read of standard input cannot be interrupted, and it must not keep the
loop or the program from ending. The thread hands over one block at a time, so a slow reader makes
the source wait. The source decides what happens to live audio meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterable

from ..pcm import Block

# How long to wait for the thread's end. A thread that reads standard input may never notice it.
_END_S = 0.5


class SourceThread:
    """An async context manager that reads a source, and an async iterator of its blocks.

    Blocks are (N, C) float32.

    Args:
        blocks: a source, or `paced(source)`. The iteration raises its errors.
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
        """Yield blocks until the source ends or `end` is called."""
        while (item := await self._handed.get()) is not None:
            if isinstance(item, Exception):
                raise item
            self._wanted.release()
            yield item

    def end(self) -> None:
        """Stop reading, and end the iteration. Call it in the event loop's thread."""
        self._ended = True
        self._handed.put_nowait(None)
        self._wanted.release()

    def _read(self) -> None:
        try:
            for block in self._blocks:
                self._hand(block)
                if self._ended:
                    return
        except Exception as error:  # the iteration raises it again
            self._hand(error)
        else:
            self._hand(None)

    def _hand(self, item: Block | Exception | None) -> None:
        self._wanted.acquire()
        if not self._ended:
            with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody waits
                self._loop.call_soon_threadsafe(self._handed.put_nowait, item)
