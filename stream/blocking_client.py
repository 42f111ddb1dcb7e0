"""The client for code without asyncio: an `AsyncClient` in a thread of its own, with the same verbs.

with Client("ws://127.0.0.1:8765", StreamSettings(channels=1)) as client:
    client.push_audio(samples)
    client.close()
    for message in client:
        ...
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from numpy.typing import ArrayLike

from .client import DEFAULT_TIMEOUT_S, AsyncClient, time_limit
from .errors import ServerError
from .protocol import BeginMessage, ServerMessage
from .settings import LatentChoice, StreamSettings

T = TypeVar("T")


class Client:
    """The same for code without asyncio: a context manager, and an iterator of the server's messages.

    It runs an `AsyncClient` in a thread of its own, so all its time limits hold here too. Methods may be called from any thread.

    Args:
        url, settings, token, timeout_s: as for `AsyncClient`.
        on_message: called with every message, in the client's thread, as it comes; then the client is not iterated. It must not block,
            and must not call the client.
    Raises:
        ServerError: as for `AsyncClient`; after one in the client's thread, the next call raises it.
    """

    def __init__(
        self,
        url: str,
        settings: StreamSettings | None = None,
        *,
        token: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        on_message: Callable[[ServerMessage], None] | None = None,
    ) -> None:
        self._client = AsyncClient(url, settings, token=token, timeout_s=timeout_s)
        self._timeout_s = timeout_s
        self._on_message = on_message
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: asyncio.Task[None] | None = None

    def __enter__(self) -> Client:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="turnstream-client", daemon=True)
        self._thread.start()
        try:
            self._call(self._client.__aenter__())
            if self._on_message is not None:
                self._call(self._start_listening())
        except BaseException:
            self._stop_loop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        try:
            self._run(self._leave(kind))
        finally:
            self._stop_loop()

    @property
    def begin(self) -> BeginMessage:
        """The server's first message."""
        return self._client.begin

    def push_audio(self, samples: ArrayLike) -> None:
        """See `AsyncClient.push_audio`."""
        self._call(self._client.push_audio(samples))

    def configure(self, *, frames: int | None = None, latents: LatentChoice | None = None, policy: str | None = None) -> None:
        """See `AsyncClient.configure`."""
        self._call(self._client.configure(frames=frames, latents=latents, policy=policy))

    def flush(self) -> None:
        """See `AsyncClient.flush`."""
        self._call(self._client.flush())

    def reset(self) -> None:
        """See `AsyncClient.reset`."""
        self._call(self._client.reset())

    def keep_alive(self) -> None:
        """See `AsyncClient.keep_alive`."""
        self._call(self._client.keep_alive())

    def close(self) -> None:
        """Say that no more audio comes. What is still due arrives: by iteration, or by the callback until the context ends."""
        self._call(self._client.close())

    def __iter__(self) -> Iterator[ServerMessage]:
        """Give messages as they come, `TerminationMessage` last; see `AsyncClient`."""
        if self._on_message is not None:
            raise ServerError("not_iterable", "expected either on_message or iteration, got both")
        while not self._client.finished:
            yield self._call(self._client.receive())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in the client's thread and wait for the result."""
        if self._listener is not None and self._listener.done() and self._listener.exception() is not None:
            work.close()
            self._listener.result()
        return self._run(work)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise ServerError("not_connected", "expected a connected client; use it as a context manager")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start_listening(self) -> None:
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self._on_message is not None
        async for message in self._client:
            self._on_message(message)

    async def _leave(self, kind: type[BaseException] | None) -> None:
        """End well; with a callback, its task reads to the end."""
        try:
            if self._listener is not None and kind is None:
                if not self._client.finished:
                    await self._client.close()
                async with time_limit(self._timeout_s, "termination"):
                    await self._listener
        except BaseException as error:
            kind = type(error)
            raise
        finally:
            if self._listener is not None:
                self._listener.cancel()
            await self._client.__aexit__(kind)

    def _stop_loop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = None
