"""Saves the sessions of one server process again and again in a store, off the critical path.

A session is saved when it begins, every `save_interval_s` while something changes, when its client
was lost, and sooner if much audio came at once: the client keeps its messages until they are saved.
Packing a session takes some 0.1 ms of the event loop. Then the loop is free, while the store works.

While the store fails, sessions go on unsaved. One probe each `save_interval_s` finds out when it is
back, and then all of them are saved.

Bounds: `_AT_ONCE` saves and deletions and as many claims run at a time. Every session waits for at
most one of them. Deletions beyond `_MOST_CALLS` waiting calls are left out, because the store
forgets old states by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from .conversation import Conversation
from .limits import Limits
from .store import SessionStore

logger = logging.getLogger(__name__)

_AT_ONCE = 16
_MOST_CALLS = 4096
_TIMEOUT_S = 2.0  # of one call
_MOST_UNSAVED_S = 5.0  # audio of one session after which it is saved before its time
_PROBE = "probe"  # a token that no client can have: it is too short

T = TypeVar("T")


@dataclass(slots=True)
class _Saved:
    """What is known of one session's saved state; at first, that there is none."""

    progress: tuple[int, int, bool] | None = None
    at_s: float = 0.0
    seconds: float = 0.0
    busy: bool = False
    ended: bool = False
    kept: bool = False  # after its end


class Saver:
    """Saves sessions in a store.

    Args:
        store: keeps the states.
        limits: bounds of the server.
        clock: monotonic clock, in seconds.
    Attributes:
        ready: whether the last call of the store succeeded.
    """

    def __init__(self, store: SessionStore, limits: Limits, clock: Callable[[], float]) -> None:
        self.ready = True
        self._store = store
        self._limits = limits
        self._clock = clock
        self._sessions: dict[Conversation, _Saved] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._claim_slots = asyncio.Semaphore(_AT_ONCE)  # a client waits for its claim
        self._probed_s = float("-inf")

    def add(self, conversation: Conversation) -> None:
        """Save a session from now on, for the first time at once."""
        saved = self._sessions[conversation] = _Saved()
        if self.ready:
            self._start_save(conversation, saved)

    def remove(self, conversation: Conversation, *, keep: bool) -> None:
        """Stop saving a session that has ended here.

        Args:
            keep: whether its state stays in the store, for the client to come back to another
                process. Otherwise it is deleted.
        """
        saved = self._sessions.pop(conversation)
        saved.ended, saved.kept = True, keep
        if saved.busy or not self.ready:
            return  # the deletion follows the call; without a store, the state expires
        if not keep:
            if len(self._calls) < _MOST_CALLS:
                self._start(self._delete(conversation))
        elif saved.progress != conversation.progress:
            self._start_save(conversation, saved)

    def tick(self, now_s: float) -> None:
        """Start what is due; called a few times per second."""
        if now_s - self._probed_s >= self._limits.save_interval_s:
            self._probed_s = now_s
            self._start(self._probe())
        if self.ready:
            for conversation, saved in self._sessions.items():
                if not saved.busy and self._is_due(conversation, saved, now_s):
                    self._start_save(conversation, saved)

    async def claim(self, token: str) -> tuple[int, bytes] | None:
        """Become the owner of a session; see `SessionStore.claim`.

        Raises:
            OSError: the store fails.
        """
        async with self._claim_slots:
            return await self._call(self._store.claim(token))

    async def close(self) -> None:
        """Wait for the calls that run, for a time."""
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=_TIMEOUT_S)
            for call in late:
                call.cancel()

    def _is_due(self, conversation: Conversation, saved: _Saved, now_s: float) -> bool:
        if saved.progress == conversation.progress:
            return now_s - saved.at_s > self._limits.resume_s / 2  # so that it does not expire
        return (
            conversation.parked_s is not None
            or now_s - saved.at_s >= self._limits.save_interval_s
            or conversation.seconds - saved.seconds >= _MOST_UNSAVED_S
        )

    # ---- calls ----

    def _start(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _start_save(self, conversation: Conversation, saved: _Saved) -> None:
        saved.busy = True
        self._start(self._save(conversation, saved))

    async def _save(self, conversation: Conversation, saved: _Saved) -> None:
        token, epoch = conversation.token, conversation.epoch
        assert token is not None
        try:
            async with self._slots:
                progress, seconds = conversation.progress, conversation.seconds
                saved.at_s = self._clock()
                owned = await self._call(self._store.save(token, epoch, conversation.pack()))
        except OSError:
            return
        finally:
            saved.busy = False
        if not owned:
            if epoch == conversation.epoch and not saved.ended:
                conversation.leave()
        elif saved.ended and not saved.kept:
            self._start(self._delete(conversation))
        else:
            saved.progress, saved.seconds = progress, seconds
            conversation.on_saved(progress[0])

    async def _delete(self, conversation: Conversation) -> None:
        assert conversation.token is not None
        with contextlib.suppress(OSError):  # then the state expires
            async with self._slots:
                await self._call(self._store.delete(conversation.token, conversation.epoch))

    async def _probe(self) -> None:
        with contextlib.suppress(OSError):  # `_call` has noted it
            await self._call(self._store.save(_PROBE, 0, b""))

    async def _call(self, call: Awaitable[T]) -> T:
        """Await a call of the store, for a limited time, and note whether the store is ready.

        Raises:
            OSError: the store fails.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                outcome = await call
        except OSError as error:
            if self.ready:
                self.ready = False
                reason = str(error) or f"no answer within {_TIMEOUT_S:g} s"
                logger.error("the session store fails, sessions are not saved: %s", reason)
            raise
        if not self.ready:
            self.ready = True
            logger.warning("the session store is back, sessions are saved again")
        return outcome
