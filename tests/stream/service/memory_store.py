"""A store in memory that can fail or take its time."""

from __future__ import annotations

import asyncio


class MemoryStore:
    """Keeps states in a dict; several servers can share it.

    Attributes:
        entries: epoch and state by token, without the probes.
        saves: number of states that were saved.
        error: raised by every call, if set.
        save_error: raised by every `save`, if set.
        open: while it is cleared, calls wait.
        called: set with every call.
    """

    def __init__(self) -> None:
        self.entries: dict[str, tuple[int, bytes]] = {}
        self.saves = 0
        self.error: OSError | None = None
        self.save_error: OSError | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.called = asyncio.Event()

    async def save(self, token: str, epoch: int, state: bytes) -> bool:
        await self._answer()
        if self.save_error is not None:
            raise self.save_error
        if token == "probe":
            return True
        if self.entries.get(token, (0, b""))[0] > epoch:
            return False
        self.entries[token] = epoch, state
        self.saves += 1
        return True

    async def claim(self, token: str) -> tuple[int, bytes] | None:
        await self._answer()
        if token not in self.entries:
            return None
        epoch, state = self.entries[token]
        self.entries[token] = epoch + 1, state
        return epoch + 1, state

    async def delete(self, token: str, epoch: int) -> None:
        await self._answer()
        if self.entries.get(token, (0, b""))[0] <= epoch:
            self.entries.pop(token, None)

    async def close(self) -> None:
        self.entries.clear()

    async def _answer(self) -> None:
        self.called.set()
        await self.open.wait()
        if self.error is not None:
            raise self.error
