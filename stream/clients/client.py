"""The client for asyncio; blocking_client.py has the same verbs for everything else.

    async with AsyncClient("ws://127.0.0.1:8765/v1/stream", StreamSettings(channels=1)) as client:
        await client.push_audio(samples)
        await client.close()
        async for message in client:
            ...

Messages are the dataclasses of `protocol.py`. A connection that breaks is made again and the session goes on where it was
(`client_link.py`). Whatever else goes wrong is a `ServerError`, and nothing waits for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..devices.agent_voice import AgentVoice
from ..devices.source_thread import SourceThread
from ..errors import AudioFormatError, ServerError
from ..protocol import (
    BeginMessage,
    Close,
    Configure,
    Control,
    ErrorMessage,
    Flush,
    KeepAlive,
    Reset,
    ServerMessage,
    TerminationMessage,
    control_to_json,
)
from ..resample import to_float32
from ..settings import LatentChoice, StreamSettings
from ..sources import AudioSource, Block, Encoding, paced
from .client_callbacks import Callback, Callbacks
from .client_connection import Endpoint
from .client_link import ClientLink

F = TypeVar("F", bound=Callback)

_MESSAGE_S = 0.5  # longer audio is sent in several messages
_KEEP_MARGIN_S = 5.0  # audio that may wait for the server besides that of an outage
DEFAULT_TIMEOUT_S = 15.0
DEFAULT_RECONNECT_S = 30.0


class AsyncClient:
    """One conversation with a server; an async context manager, and an async iterator of the server's messages.

    Messages are read in one of two ways: by iteration (or `receive`), or, once something is registered with `on`, by the client itself.

    When the connection breaks, the client connects again and resumes, if the server can: `push_audio` and iteration go on as if
    nothing had been, no message is lost or doubled, and a warning `connection_lost` and a `ResumedMessage` say that it happened.

    Back-pressure: at most `reconnect_s` + 5 seconds of audio wait for the server's acknowledgement; beyond it `push_audio` waits, so that
    live audio goes on through an outage, and a file is sent as fast as the server takes it. At most 4096 messages wait to be read; beyond
    it the client stops reading, and the server makes it wait or thins its frames. So read in another task, or use `on`, while you send.

    Leaving the context waits for the end of the session; messages that nobody has read yet can be read afterwards. Left by an error, it
    ends the session at once, and whoever still sends or reads gets a `ServerError`.

    When nothing was sent for 20 s, the client says `keep_alive` by itself.

    Args:
        url: ws:// or wss:// address; the path /v1/stream is added if there is none, the settings are added to its query.
        settings: what to ask for.
        token: access token, sent as `Authorization: Bearer`.
        timeout_s: for connecting, for one `push_audio` or control, and for the end; the time of an outage does not count.
        reconnect_s: how long to try to resume after the connection broke, if the server keeps the session so long; 0 for not at all.
    Attributes:
        begin: the server's first message, once connected.
        agent: the agent's voice, for `push_user`.
        finished: whether the session has ended, well or not.
    Raises:
        ServerError: "http_NNN" when the server refuses (on entering), "unreachable", "timeout", "connection_lost", "session_lost" when it could
            not be resumed, "session_ended" when more is said after the end, or the context was left by an error; or the code of the server's `error`.
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
        self._sample_bytes = len(
            encode_pcm(np.zeros((1, self.settings.channels), np.float32), self.settings.encoding)
        )
        keep_bytes = int(
            self.settings.sample_rate_hz * self._sample_bytes * (reconnect_s + _KEEP_MARGIN_S)
        )
        self._link = ClientLink(
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
        """The server's first message; before it, an AttributeError."""
        return self._link.begin

    async def __aenter__(self) -> AsyncClient:
        await self._link.open()
        self._entered = True
        self._deliver()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        """End well: say `close` and wait for the end, unless an error is on its way already."""
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

    # ---- sending ----------------------------------------------------------------------------------------------

    async def push_audio(self, samples: ArrayLike) -> None:
        """Send audio.

        Args:
            samples: float32 or float64 in [-1, 1] or int16, (N,) for the user alone or (N, C), any N.
        Raises:
            AudioFormatError: another shape or type, or not finite; nothing is sent.
            ServerError: the session has ended, or the server takes no more audio.
        """
        block = max(1, int(_MESSAGE_S * self.settings.sample_rate_hz)) * self._sample_bytes
        encoded = encode_pcm(to_float32(samples, self.settings.channels), self.settings.encoding)
        for start in range(0, len(encoded), block):
            await self._send(encoded[start : start + block])

    async def push_user(self, samples: ArrayLike) -> None:
        """Send the user's audio with what `agent` says in the same time as the second channel; see `AgentVoice`.

        Args:
            samples: as for `push_audio`, (N,) or (N, 1).
        Raises:
            AudioFormatError: as for `push_audio`, or the stream has one channel.
            ServerError: as for `push_audio`.
        """
        await self.push_audio(self._with_agent(to_float32(samples, 1)))

    async def stream(self, source: AudioSource, *, speed: float | None = None) -> None:
        """Send a source to its end, then say `close`. A source of one channel into a stream of two is sent as by `push_user`.

        Args:
            source: a `MicrophoneSource`, `FileSource`, or anything like them; it is not closed.
            speed: 1.0 sends a recording in real time; None as fast as it comes.
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
    ) -> None:
        """Change settings from here on; see `StreamSettings`.

        Raises:
            ProtocolError: a value out of range; nothing is sent.
            ServerError: as for `push_audio`.
        """
        change = Configure(frames, latents, policy)
        self.settings = self.settings.configured(change)
        await self._say(change)

    async def flush(self) -> None:
        """Have every sample sent so far predicted on, the last frame completed with silence."""
        await self._say(Flush())

    async def reset(self) -> None:
        """Have the server forget the conversation; frames count from 0 again."""
        await self._say(Reset())

    async def keep_alive(self) -> None:
        """Tell the server that the client lives although it sends no audio."""
        await self._say(KeepAlive())

    async def close(self) -> None:
        """Say that no more audio comes. What is still due arrives, and iteration ends with `TerminationMessage`."""
        if not self._closing:
            self._closing = True
            await self._say(Close())

    # ---- receiving --------------------------------------------------------------------------------------------

    async def receive(self) -> ServerMessage:
        """Wait for the next message; the last one is `TerminationMessage`.

        Raises:
            ServerError: the server ended the session with an error, or it is lost; "not_iterable" if something is registered with `on`.
        """
        if self._callbacks:
            raise ServerError(
                "not_iterable",
                "expected either iteration or callbacks, got both; register for 'message' to have every message",
            )
        return await self._next(None)

    async def __aiter__(self) -> AsyncIterator[ServerMessage]:
        """Give messages as `receive` does, to the end, whoever of several readers has the last one."""
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
        """Have a function called with every message of a kind; without one, a decorator.

            client.on("end_of_turn", speak, speaker=0)

            @client.on("start_of_turn", speaker=0)
            async def fall_silent(event): ...

        From the first registration on the client reads by itself and is not iterated; register before the context is entered to miss
        nothing. Callbacks are called one after the other, in the order of the messages; the next message waits for them. What one
        raises ends the delivery: the next call of the client raises it, or leaving the context.

        Args:
            kind: an event type ("end_of_turn" ...), "frame", "latent", "warning", "resumed", "termination", or "message" for every message.
            callback: a function, or a coroutine function, of the message.
            speaker: of an event type, only the events of the user (0) or of the other speaker (1); both if not given.
        Raises:
            ConfigError: no such kind or speaker, or nothing that can be called.
        """
        if callback is None:
            return lambda decorated: self.on(kind, decorated, speaker=speaker)
        self._callbacks.add(kind, callback, speaker)
        self._deliver()
        return callback

    def _deliver(self) -> None:
        """Begin to read for the callbacks, once there are some and a connection."""
        if self._entered and self._callbacks and self._delivery is None:
            self._delivery = asyncio.create_task(self._call_back())
            self._delivery.add_done_callback(self._delivery_ended)

    async def _call_back(self) -> None:
        while not self.finished:
            await self._callbacks.call(await self._next(None))
            self._delivered += 1

    def _delivery_ended(self, delivery: asyncio.Task[None]) -> None:
        """Let whoever waits know that a callback failed."""
        if not delivery.cancelled() and (error := delivery.exception()) is not None:
            self._link.fail(error)

    async def _delivered_all(self, delivery: asyncio.Task[None]) -> None:
        """Wait until the callbacks have had everything, as long as there is progress; raise what one of them raised."""
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
                    f"expected termination and every callback to return; waited {self._timeout_s:g} s",
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

    async def _say(self, control: Control) -> None:
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


def blocks_of(
    source: AudioSource, settings: StreamSettings, speed: float | None
) -> Iterable[Block]:
    """The blocks of a source that fits a stream, as they come or paced.

    Raises:
        AudioFormatError: another rate, or more channels.
    """
    if source.sample_rate_hz != settings.sample_rate_hz or source.channels > settings.channels:
        expected = f"a source of {settings.sample_rate_hz} Hz and at most {settings.channels} channels, as the settings say"
        raise AudioFormatError(
            f"expected {expected}; got {source.sample_rate_hz} Hz and {source.channels}"
        )
    return source if speed is None else paced(source, speed)


def encode_pcm(samples: ArrayLike, encoding: Encoding) -> bytes:
    """Write audio as it goes over the wire, the reverse of `decode_pcm`.

    Args:
        samples: (N, C) float32 in [-1, 1].
        encoding: one of the wire's.
    """
    floats = np.asarray(samples, np.float32)
    if encoding == "pcm_f32le":
        return floats.astype("<f4").tobytes()
    integers = np.clip(np.rint(floats * 32768), -32768, 32767).astype("<i2")
    if encoding == "pcm_s16le":
        return integers.tobytes()
    return _mulaw(integers).tobytes()


def _mulaw(integers: np.ndarray[Any, np.dtype[np.int16]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """G.711 mu-law of 16-bit samples: sign, segment (position of the highest bit) and four bits below it, all inverted."""
    bias, clip = 132, 32635
    magnitude = np.minimum(np.abs(integers.astype(np.int32)), clip) + bias
    segment = np.log2(magnitude).astype(np.int32) - 7
    step = (magnitude >> (segment + 3)) & 0x0F
    sign = np.where(integers < 0, 0x80, 0)
    return (~(sign | (segment << 4) | step) & 0xFF).astype(np.uint8)
