"""The client for code without asyncio. It runs an `AsyncClient` in a thread and has its methods.

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
from .asynchronous import DEFAULT_RECONNECT_S, DEFAULT_TIMEOUT_S, AsyncClient, F
from .blocks import blocks_of

T = TypeVar("T")


class Client:
    """One conversation with a server, for code without asyncio.

    A client is a context manager and an iterator of the server's messages. It runs an
    `AsyncClient` in a separate thread, so the limits and guarantees of `AsyncClient` hold here
    too. Methods may be called from any thread.

    Args:
        url, settings, token, timeout_s, reconnect_s: see `AsyncClient`.
    Raises:
        ServerError: see `AsyncClient`.
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
        self._turn = threading.Lock()  # guards the hand-over to the loop, which may be about to end

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
        """The agent's voice, which `push_user` sends as the second channel."""
        return self._client.agent

    def push_audio(self, samples: ArrayLike) -> None:
        """See `AsyncClient.push_audio`."""
        self._run(self._client.push_audio(samples))

    def push_user(self, samples: ArrayLike) -> None:
        """See `AsyncClient.push_user`."""
        self._run(self._client.push_user(samples))

    def stream(self, source: AudioSource, *, speed: float | None = None) -> None:
        """Send a source to its end; see `AsyncClient.stream`.

        Returns when all audio is sent. Messages that arrive meanwhile go to callbacks, or wait to
        be read by iteration.
        """
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
        **policy_values: float,
    ) -> None:
        """See `AsyncClient.configure`."""
        self._run(
            self._client.configure(frames=frames, latents=latents, policy=policy, **policy_values)
        )

    def end_turn(self, speaker: int = 0) -> None:
        """See `AsyncClient.end_turn`."""
        self._run(self._client.end_turn(speaker))

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
        """Tell the server that no more audio follows.

        The remaining messages still arrive: by iteration, or by callbacks until the context ends.
        """
        self._run(self._client.close())

    def __iter__(self) -> Iterator[ServerMessage]:
        """Yield messages as they arrive. `TerminationMessage` is the last one."""
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
        """Call a function with every message of a kind; see `AsyncClient.on`.

        Callbacks run one after the other, in a thread other than the caller's. They may use the
        client. They must return.

        Raises:
            ConfigError: there is no such kind or speaker, or `callback` is no plain function.
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
        """Run a coroutine in the client's thread and return its result.

        Outside the context there is no such thread. The coroutine then runs in this thread, because
        it never has to wait.
        """
        with self._turn:
            if self._loop is None:
                return _run_without_waiting(work)
            result = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return result.result()
        except concurrent.futures.CancelledError:
            raise ServerError(
                "session_ended", "expected an open session, got one whose client was left"
            ) from None

    def _stop_loop(self) -> None:
        """Cancel all waiting tasks, then end the thread."""
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
    """Return the result of a coroutine that never waits.

    The methods of a client that is not connected never wait: they return what they have, or raise.
    """
    try:
        work.send(None)
    except StopIteration as finished:
        return finished.value
    raise AssertionError("a client that is not connected waits for nothing")
