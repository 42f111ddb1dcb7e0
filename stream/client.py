"""The client for asyncio; blocking_client.py has the same verbs for everything else.

    async with AsyncClient("ws://127.0.0.1:8765/v1/stream", StreamSettings(channels=1)) as client:
        await client.push_audio(samples)
        await client.close()
        async for message in client:
            ...

Messages are the dataclasses of `protocol.py`. Whatever goes wrong is a `ServerError`, and nothing waits for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from numpy.typing import ArrayLike
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from .errors import ProtocolError, ServerError
from .protocol import (
    CLOSE_NORMAL,
    DEFAULT_PORT,
    STREAM_PATH,
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
    parse_message,
)
from .resample import to_float32
from .settings import LatentChoice, StreamSettings
from .sources import Encoding

T = TypeVar("T")

_UNREAD_MESSAGES = 4096  # 80 s of frames that the caller has not read yet; then the server is made to wait
_MESSAGE_S = 0.5  # longer audio is sent in several messages
DEFAULT_TIMEOUT_S = 15.0


class AsyncClient:
    """One conversation with a server; an async context manager, and an async iterator of the server's messages.

    A caller that sends much audio before it reads anything is made to wait, so that nothing grows without bound; read in another task.

    Args:
        url: ws:// or wss:// address; the path /v1/stream is added if there is none, the settings are added to its query.
        settings: what to ask for.
        token: access token, sent as `Authorization: Bearer`.
        timeout_s: for connecting, for one `push_audio` or control, and for the end.
    Attributes:
        begin: the server's first message, once connected.
        finished: whether the session has ended, well or not.
    Raises:
        ServerError: "http_NNN" when the server refuses (on entering), "unreachable", "timeout", "connection_lost", or the code of its `error`.
    """

    begin: BeginMessage

    def __init__(self, url: str, settings: StreamSettings | None = None, *, token: str | None = None, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self.settings = settings or StreamSettings()
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        self._timeout_s = timeout_s
        self._connection: ClientConnection | None = None
        self._closing = False
        self.finished = False

    async def __aenter__(self) -> AsyncClient:
        try:
            self.begin = await self._begin()
        except BaseException:
            if self._connection is not None:
                self._connection.transport.abort()
                await self._connection.wait_closed()
            raise
        return self

    async def _begin(self) -> BeginMessage:
        try:
            address = _with_query(self._url, self.settings.to_query())
            if not address.startswith(("ws://", "wss://")):
                raise ValueError(f"got {self._url.partition('?')[0]!r}")  # what follows the question mark may be a token
        except ValueError as error:
            raise ServerError("unreachable", f"expected a turnstream server at a URL like ws://127.0.0.1:{DEFAULT_PORT}: {error}") from None
        try:
            self._connection = await connect_websocket(
                address,
                additional_headers=self._headers,
                compression=None,
                proxy=None,
                open_timeout=self._timeout_s,
                close_timeout=self._timeout_s,
                max_queue=_UNREAD_MESSAGES,
            )
            async with asyncio.timeout(self._timeout_s):
                first = parse_message(await self._connection.recv())
        except InvalidStatus as refusal:
            status, body = refusal.response.status_code, refusal.response.body or b""
            raise ServerError(f"http_{status}", f"the server refused with HTTP {status}: {bytes(body).decode(errors='replace').strip()}") from None
        except TimeoutError:
            raise ServerError("timeout", f"expected an answer from {self._shown_url} within {self._timeout_s:g} s, got none") from None
        except (OSError, ValueError, InvalidURI, InvalidHandshake, ProtocolError) as error:
            raise ServerError("unreachable", f"expected a turnstream server at {self._shown_url}: {error}") from None
        except ConnectionClosed as error:
            raise self._lost(error) from None
        if isinstance(first, ErrorMessage):
            raise ServerError(first.code, first.message)
        if not isinstance(first, BeginMessage):
            raise ServerError("bad_message", f"expected begin as the first message, got {type(first).__name__}")
        return first

    async def __aexit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        """End well: say `close` and read to the end, unless an error is on its way already."""
        try:
            if kind is None and not self.finished:
                await self.close()
                while not self.finished:
                    async with time_limit(self._timeout_s, "the next message or termination"):
                        await self.receive()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await self._open_connection().close()

    async def push_audio(self, samples: ArrayLike) -> None:
        """Send audio.

        Args:
            samples: float32 or float64 in [-1, 1] or int16, (N,) for the user alone or (N, C), any N.
        Raises:
            AudioFormatError: another shape or type, or not finite; nothing is sent.
            ServerError: the session has ended, or the server takes no more audio.
        """
        mono_or_stereo = to_float32(samples, self.settings.channels)
        encoded = encode_pcm(mono_or_stereo, self.settings.encoding)
        block = max(1, int(_MESSAGE_S * self.settings.sample_rate_hz)) * max(1, len(encoded) // max(1, len(mono_or_stereo)))
        for start in range(0, len(encoded), block):
            await self._send(encoded[start : start + block])

    async def configure(self, *, frames: int | None = None, latents: LatentChoice | None = None, policy: str | None = None) -> None:
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

    async def receive(self) -> ServerMessage:
        """Wait for the next message; the last one is `TerminationMessage`.

        Raises:
            ServerError: the server ended the session with an error, or the connection is lost.
        """
        try:
            message = parse_message(await self._open_connection().recv())
        except ConnectionClosed as error:
            raise self._lost(error) from None
        except ProtocolError as error:
            raise ServerError(error.code, f"the server sent something else than this version of the protocol: {error}") from None
        if isinstance(message, ErrorMessage):
            self.finished = True
            raise ServerError(message.code, message.message)
        self.finished = isinstance(message, TerminationMessage)
        return message

    async def __aiter__(self) -> AsyncIterator[ServerMessage]:
        """Give messages as `receive` does, to the end."""
        while not self.finished:
            yield await self.receive()

    async def _say(self, control: Control) -> None:
        await self._send(control_to_json(control))

    async def _send(self, wire: str | bytes) -> None:
        connection = self._open_connection()
        async with time_limit(self._timeout_s, "the server to take more; read its messages while you send"):
            try:
                await connection.send(wire)
            except ConnectionClosed as error:
                raise self._lost(error) from None

    def _open_connection(self) -> ClientConnection:
        if self._connection is None:
            raise ServerError("not_connected", "expected a connected client; use it as a context manager")
        return self._connection

    def _lost(self, closed: ConnectionClosed) -> ServerError:
        """The close frame's reason is "code: message" when the server ended the session with an error."""
        self.finished = True
        if closed.rcvd is None or closed.rcvd.code == CLOSE_NORMAL:
            return ServerError("connection_lost", f"the connection to {self._shown_url} was lost before the session ended")
        code, _, message = closed.rcvd.reason.partition(": ")
        return ServerError(code or "connection_lost", message or f"the server closed the connection with code {closed.rcvd.code}")

    @property
    def _shown_url(self) -> str:
        url = urlsplit(self._url)
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


def _with_query(url: str, query: str) -> str:
    """The URL with the usual path if it has none, and with more in its query."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/") or STREAM_PATH
    return urlunsplit(parts._replace(path=path, query="&".join(filter(None, (parts.query, query)))))


@contextlib.asynccontextmanager
async def time_limit(timeout_s: float, expected: str) -> AsyncGenerator[None, None]:
    """Turn a time-out into a ServerError that says what was expected."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise ServerError("timeout", f"expected {expected}; waited {timeout_s:g} s") from None


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
