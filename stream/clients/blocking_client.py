"""The client for code without asyncio: an `AsyncClient` in a thread of its own, with the same verbs.

with Client("ws://127.0.0.1:8765", StreamSettings(channels=1)) as client:
    client.push_audio(samples)
    client.close()
    for message in client:
        ...
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar, overload

from numpy.typing import ArrayLike

from ..devices.agent_voice import AgentVoice
from ..errors import ConfigError, ServerError
from ..protocol import BeginMessage, ServerMessage
from ..settings import LatentChoice, StreamSettings
from ..sources import AudioSource
from .client import DEFAULT_RECONNECT_S, DEFAULT_TIMEOUT_S, AsyncClient, F, blocks_of

T = TypeVar("T")


class Client:
    """The same for code without asyncio: a context manager, and an iterator of the server's messages.

    It runs an `AsyncClient` in a thread of its own, so all its limits and promises hold here too. Methods may be called from any thread.

    Args:
        url, settings, token, timeout_s, reconnect_s: as for `AsyncClient`.
    Raises:
        ServerError: as for `AsyncClient`.
    """

    def __init__(
        self,
        url: str,
        settings: StreamSettings | None = None,
        *,
        token: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        reconnect_s: float = DEFAULT_RECONNECT_S,
    ) -> None:
        self._client = AsyncClient(
            url, settings, token=token, timeout_s=timeout_s, reconnect_s=reconnect_s
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = threading.Lock()  # for handing work to the loop, which may be about to end

    def __enter__(self) -> Client:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="turnstream-client", daemon=True
        )
        self._thread.start()
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._stop_loop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        try:
            self._run(self._client.__aexit__(kind))
        finally:
            self._stop_loop()

    @property
    def begin(self) -> BeginMessage:
        """The server's first message."""
        return self._client.begin

    @property
    def agent(self) -> AgentVoice:
        """The agent's voice, for `push_user`."""
        return self._client.agent

    def push_audio(self, samples: ArrayLike) -> None:
        """See `AsyncClient.push_audio`."""
        self._run(self._client.push_audio(samples))

    def push_user(self, samples: ArrayLike) -> None:
        """See `AsyncClient.push_user`."""
        self._run(self._client.push_user(samples))

    def stream(self, source: AudioSource, *, speed: float | None = None) -> None:
        """See `AsyncClient.stream`; returns when all is sent. What comes back meanwhile goes to callbacks, or waits for iteration."""
        push = (
            self.push_user if source.channels < self._client.settings.channels else self.push_audio
        )
        for block in blocks_of(source, self._client.settings, speed):
            push(block)
        self.close()

    def configure(
        self,
        *,
        frames: int | None = None,
        latents: LatentChoice | None = None,
        policy: str | None = None,
    ) -> None:
        """See `AsyncClient.configure`."""
        self._run(self._client.configure(frames=frames, latents=latents, policy=policy))

    def flush(self) -> None:
        """See `AsyncClient.flush`."""
        self._run(self._client.flush())

    def reset(self) -> None:
        """See `AsyncClient.reset`."""
        self._run(self._client.reset())

    def keep_alive(self) -> None:
        """See `AsyncClient.keep_alive`."""
        self._run(self._client.keep_alive())

    def close(self) -> None:
        """Say that no more audio comes. What is still due arrives: by iteration, or by callbacks until the context ends."""
        self._run(self._client.close())

    def __iter__(self) -> Iterator[ServerMessage]:
        """Give messages as they come, `TerminationMessage` last; see `AsyncClient`."""
        messages = aiter(self._client)

        async def following() -> ServerMessage | None:
            return await anext(messages, None)

        while (message := self._run(following())) is not None:
            yield message

    @overload
    def on(self, kind: str, *, speaker: int | None = None) -> Callable[[F], F]: ...
    @overload
    def on(self, kind: str, callback: F, *, speaker: int | None = None) -> F: ...
    def on(
        self, kind: str, callback: F | None = None, *, speaker: int | None = None
    ) -> F | Callable[[F], F]:
        """Have a function called with every message of a kind; see `AsyncClient.on`.

        Callbacks are called one after the other in another thread than the caller's, and may use the client. They must return.

        Raises:
            ConfigError: no such kind or speaker, or no plain function.
        """
        if callback is None:
            return lambda decorated: self.on(kind, decorated, speaker=speaker)
        if not callable(callback) or inspect.iscoroutinefunction(callback):
            raise ConfigError(f"expected a plain function to call on {kind}, got {callback!r}")

        async def call_in_thread(message: Any) -> None:
            await asyncio.to_thread(callback, message)

        async def register() -> None:
            self._client.on(kind, call_in_thread, speaker=speaker)

        if self._loop is None:
            self._client.on(kind, call_in_thread, speaker=speaker)
        else:
            self._run(register())
        return callback

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in the client's thread and wait for the result; before and after the context, when there is nothing to wait for, run here."""
        with self._turn:
            if self._loop is None:
                return _run_without_waiting(work)
            result = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return result.result()
        except concurrent.futures.CancelledError:
            raise ServerError(
                "session_ended", "expected a session that goes on, got one whose client was left"
            ) from None

    def _stop_loop(self) -> None:
        """Let go of everyone who waits, then of the thread."""
        with self._turn:
            if self._loop is not None:
                asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop.close()
                self._loop = None


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others)


def _run_without_waiting(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits: a client that is not connected gives what it has, or raises."""
    try:
        work.send(None)
    except StopIteration as finished:
        return finished.value
    raise AssertionError("a client that is not connected waits for nothing")
