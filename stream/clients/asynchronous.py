"""The client for asyncio. `blocking.py` has the same methods for code without asyncio.

    async with AsyncClient("ws://127.0.0.1:8765/v1/stream", StreamSettings(channels=1)) as client:
        await client.push_audio(samples)
        await client.close()
        async for message in client:
            ...

Messages are the classes of `protocol.py`. When the connection breaks, the client connects again
and resumes the session (`link.py`). Every other failure is a `ServerError`. No call waits
for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..devices.agent_voice import AgentVoice
from ..devices.source_thread import SourceThread
from ..errors import AudioFormatError, ProtocolError, ServerError
from ..pcm import SAMPLE_BYTES, Block, encode_pcm, to_float32
from ..protocol import (
    BeginMessage,
    Close,
    Configure,
    Control,
    EndTurn,
    ErrorMessage,
    Flush,
    KeepAlive,
    Reset,
    ServerMessage,
    TerminationMessage,
    control_to_json,
)
from ..settings import LatentChoice, StreamSettings
from ..sources import AudioSource
from .blocks import blocks_of
from .callbacks import Callback, Callbacks
from .connection import Endpoint
from .link import Link

F = TypeVar("F", bound=Callback)

_MESSAGE_S = 0.5  # longer audio is sent in several messages
_KEEP_MARGIN_S = 5.0  # audio that may wait for the server, in addition to that of an outage
DEFAULT_TIMEOUT_S = 15.0
DEFAULT_RECONNECT_S = 30.0


class AsyncClient:
    """One conversation with a server.

    A client is an async context manager and an async iterator of the server's messages. There are
    two ways to read messages. You iterate (or call `receive`), or you register callbacks with `on`:
    the client then reads by itself.

    When the connection breaks, the client connects again and resumes the session, if the server
    can. `push_audio` and iteration continue without a change, and no message is lost or doubled.
    A warning `connection_lost` and a `ResumedMessage` tell that it happened.

    Back-pressure on sending: at most `reconnect_s` + 5 seconds of audio wait for the server's
    acknowledgement. Beyond this limit `push_audio` waits. So live audio continues during an outage,
    and a file is sent as fast as the server takes it.

    Back-pressure on reading: at most 4096 messages wait to be read. Beyond this limit the client
    stops reading, and the server makes it wait or drops some of its frames. So read in another
    task, or use `on`, while you send.

    Leaving the context waits for the end of the session. Messages that nobody has read can be read
    afterwards. If an error leaves the context, the session ends at once, and every task that still
    sends or reads gets a `ServerError`.

    After 20 s without a sent message, the client sends `keep_alive` by itself.

    Args:
        url: ws:// or wss:// address. The path /v1/stream is added if the address has no path, and
            the settings are added to its query.
        settings: what to ask the server for.
        token: access token, sent as `Authorization: Bearer`.
        timeout_s: limit in seconds for connecting, for one `push_audio` or control, and for the
            end. The time of an outage does not count.
        reconnect_s: how long to try to resume after the connection broke, in seconds. The server
            may keep the session for a shorter time. 0 never resumes.
    Attributes:
        begin: the server's first message, once connected.
        agent: the agent's voice, which `push_user` sends as the second channel.
        finished: whether the session has ended, with or without an error.
    Raises:
        ServerError: the code is one of these, or the code of the server's `error`.
            "http_NNN": the server refused the connection (on entering the context).
            "unreachable", "timeout", "connection_lost": as the names say.
            "session_lost": the session could not be resumed.
            "session_ended": a message was sent after the end, or an error left the context.
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
        self.settings = settings or StreamSettings()
        self.agent = AgentVoice(self.settings.sample_rate_hz)
        self.finished = False
        self._timeout_s = timeout_s
        self._sample_bytes = SAMPLE_BYTES[self.settings.encoding] * self.settings.channels
        keep_bytes = int(
            self.settings.sample_rate_hz * self._sample_bytes * (reconnect_s + _KEEP_MARGIN_S)
        )
        self._link = Link(
            Endpoint(url, token, timeout_s),
            self.settings,
            timeout_s=timeout_s,
            reconnect_s=reconnect_s,
            keep_bytes=keep_bytes,
        )
        self._callbacks = Callbacks()
        self._delivery: asyncio.Task[None] | None = None
        self._delivered = 0
        self._entered = self._closing = False

    @property
    def begin(self) -> BeginMessage:
        """The server's first message; raises AttributeError before it has arrived."""
        return self._link.begin

    async def __aenter__(self) -> AsyncClient:
        await self._link.open()
        self._entered = True
        self._deliver()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        """Send `close` and wait for the end of the session, unless an error leaves the context."""
        try:
            if kind is None:
                if not self.finished:
                    await self.close()
                if self._delivery is not None:
                    await self._delivered_all(self._delivery)
                if not self.finished:
                    await self._link.ended(self._timeout_s)
        finally:
            self.finished = True
            if self._delivery is not None:
                self._delivery.cancel()
                await asyncio.wait([self._delivery])
            await self._link.close()

    # ---- sending ----

    async def push_audio(self, samples: ArrayLike) -> None:
        """Send audio.

        Args:
            samples: float32 or float64 in [-1, 1], or int16; (N,) for the user alone, or (N, C);
                any N.
        Raises:
            AudioFormatError: wrong shape or type, or a value is not finite. Nothing is sent.
            ServerError: the session has ended, or the server takes no more audio.
        """
        await self._send_audio(to_float32(samples, self.settings.channels))

    async def _send_audio(self, samples: Block) -> None:
        block = max(1, int(_MESSAGE_S * self.settings.sample_rate_hz)) * self._sample_bytes
        encoded = encode_pcm(samples, self.settings.encoding)
        for start in range(0, len(encoded), block):
            await self._send(encoded[start : start + block])

    async def push_user(self, samples: ArrayLike) -> None:
        """Send the user's audio, and the agent's voice of the same time as the second channel.

        The second channel comes from `agent`; see `AgentVoice`.

        Args:
            samples: as for `push_audio`, but (N,) or (N, 1).
        Raises:
            AudioFormatError: as for `push_audio`, or the stream has one channel.
            ServerError: as for `push_audio`.
        """
        await self._send_audio(self._with_agent(to_float32(samples, 1)))

    async def stream(self, source: AudioSource, *, speed: float | None = None) -> None:
        """Send a source to its end, then send `close`.

        A source with one channel is sent by `push_user` if the stream has two channels.

        Args:
            source: a `MicrophoneSource`, a `FileSource` or another `AudioSource`. It is not closed.
            speed: 1.0 sends a recording in real time. None sends blocks as fast as they come.
        Raises:
            AudioFormatError: the source does not fit the settings, or fails.
            DeviceError: the microphone fails.
            ServerError: as for `push_audio`.
        """
        blocks = blocks_of(source, self.settings, speed)
        push = self.push_user if source.channels < self.settings.channels else self.push_audio
        async with SourceThread(blocks) as thread:
            async for block in thread:
                await push(block)
        await self.close()

    async def configure(
        self,
        *,
        frames: int | None = None,
        latents: LatentChoice | None = None,
        policy: str | None = None,
        **policy_values: float,
    ) -> None:
        """Change settings from here on; see `StreamSettings`.

        A `ConfiguredMessage` answers with the settings that hold.

        Args:
            frames, latents: as in `StreamSettings`.
            policy: name of a preset, one of `begin.policies`; its values replace all others.
            policy_values: values of the policy, such as `end_threshold=0.8`.
        Raises:
            ProtocolError: a value out of range, or an unknown preset; nothing is sent.
            ServerError: as for `push_audio`.
        """
        known = self.begin.policies if self._entered else ()
        if policy is not None and known and policy not in known:
            raise ProtocolError(
                "bad_setting", f"policy: expected one of {', '.join(known)}; got {policy!r}"
            )
        change = Configure(frames, latents, policy, policy_values)
        self.settings = self.settings.configured(change)
        await self._send_control(change)

    async def end_turn(self, speaker: int = 0) -> None:
        """Tell the server that a turn is over; the `end_of_turn` has the trigger "forced".

        Args:
            speaker: whose turn ends (0 user, 1 other). Nothing happens if it is not in a turn.
        Raises:
            ProtocolError: there is no such speaker; nothing is sent.
            ServerError: as for `push_audio`.
        """
        await self._send_control(EndTurn(speaker))

    async def flush(self) -> None:
        """Ask for predictions on every sample sent so far; silence completes the last frame."""
        await self._send_control(Flush())

    async def reset(self) -> None:
        """Ask the server to forget the conversation; the frame count restarts at 0."""
        await self._send_control(Reset())

    async def keep_alive(self) -> None:
        """Tell the server that the client is alive although it sends no audio."""
        await self._send_control(KeepAlive())

    async def close(self) -> None:
        """Tell the server that no more audio follows.

        The remaining messages still arrive; the last one is `TerminationMessage`.
        """
        if not self._closing:
            self._closing = True
            await self._send_control(Close())

    # ---- receiving ----

    async def receive(self) -> ServerMessage:
        """Return the next message; the last one is `TerminationMessage`.

        Raises:
            ServerError: the server ended the session with an error, or the session is lost.
                "not_iterable": a callback is registered with `on`.
        """
        if self._callbacks:
            raise ServerError(
                "not_iterable",
                "expected either iteration or callbacks, got both; "
                "register for 'message' to have every message",
            )
        return await self._next(None)

    async def __aiter__(self) -> AsyncIterator[ServerMessage]:
        """Yield messages until the end of the session, even if another reader gets the last one."""
        while True:
            try:
                message = await self.receive()
            except ServerError as error:
                if error.code == "session_ended" and self._link.terminated:
                    return
                raise
            yield message

    @overload
    def on(self, kind: str, *, speaker: int | None = None) -> Callable[[F], F]: ...
    @overload
    def on(self, kind: str, callback: F, *, speaker: int | None = None) -> F: ...
    def on(
        self, kind: str, callback: F | None = None, *, speaker: int | None = None
    ) -> F | Callable[[F], F]:
        """Call a function with every message of a kind. Without a function, return a decorator.

            client.on("end_of_turn", speak, speaker=0)

            @client.on("start_of_turn", speaker=0)
            async def fall_silent(event): ...

        After the first registration the client reads by itself and cannot be iterated. Register
        before you enter the context, and no message is missed. Callbacks run one after the other,
        in the order of the messages. The next message waits until they have returned. An exception
        in a callback ends the delivery. The next call of the client raises it, or the end of the
        context does.

        Args:
            kind: an event type ("end_of_turn" ...), "frame", "latent", "warning", "configured",
                "resumed", "termination", or "message" for every message.
            callback: a function or coroutine function that takes the message.
            speaker: with an event type, only events of the user (0) or of the other speaker (1);
                None for both.
        Raises:
            ConfigError: there is no such kind or speaker, or `callback` cannot be called.
        """
        if callback is None:
            return lambda decorated: self.on(kind, decorated, speaker=speaker)
        self._callbacks.add(kind, callback, speaker)
        self._deliver()
        return callback

    def _deliver(self) -> None:
        """Start to read for the callbacks, once there are a callback and a connection."""
        if self._entered and self._callbacks and self._delivery is None:
            self._delivery = asyncio.create_task(self._call_back())
            self._delivery.add_done_callback(self._delivery_ended)

    async def _call_back(self) -> None:
        while not self.finished:
            await self._callbacks.call(await self._next(None))
            self._delivered += 1

    def _delivery_ended(self, delivery: asyncio.Task[None]) -> None:
        """Pass the exception of a callback to every task that waits."""
        if not delivery.cancelled() and (error := delivery.exception()) is not None:
            self._link.fail(error)

    async def _delivered_all(self, delivery: asyncio.Task[None]) -> None:
        """Wait until the callbacks have had every message, as long as there is progress.

        Raises:
            ServerError: "timeout", no progress within the time-out.
            Exception: what a callback raised.
        """
        while not delivery.done():
            before = (self._delivered, self._link.connections)
            await asyncio.wait([delivery], timeout=self._timeout_s)
            if (
                not delivery.done()
                and not self._link.resuming
                and before == (self._delivered, self._link.connections)
            ):
                raise ServerError(
                    "timeout",
                    "expected termination and every callback to return; "
                    f"waited {self._timeout_s:g} s",
                )
        delivery.result()

    async def _next(self, timeout_s: float | None) -> ServerMessage:
        try:
            message = await self._link.receive(timeout_s)
        except ServerError as error:
            self.finished = self.finished or error.code not in {"timeout", "not_connected"}
            raise
        self.finished = self.finished or isinstance(message, ErrorMessage | TerminationMessage)
        if isinstance(message, ErrorMessage):
            raise ServerError(message.code, message.message)
        return message

    async def _send_control(self, control: Control) -> None:
        await self._send(control_to_json(control))

    async def _send(self, wire: str | bytes) -> None:
        if self._delivery is not None and self._delivery.done() and not self._delivery.cancelled():
            self._delivery.result()  # what a callback raised
        await self._link.send(wire)

    def _with_agent(self, user: Block) -> NDArray[np.float32]:
        if self.settings.channels != 2:
            raise AudioFormatError(
                f"expected a stream of 2 channels, user and agent, got {self.settings.channels}"
            )
        return np.stack([user[:, 0], self.agent.take(len(user))], axis=1)
