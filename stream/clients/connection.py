"""Connects a client to its server: the address, the handshake, and the errors of both.

`link.py` sends and receives on the connection.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from ..errors import ProtocolError, ServerError
from ..protocol import CLOSE_NORMAL, DEFAULT_PORT, STREAM_PATH, ServerMessage, parse_message
from ..settings import Resume, StreamSettings


class TimedConnection(ClientConnection):
    """A websocket that notes when it last received data, pings and pongs included.

    Attributes:
        received_s: the time of the last data, by the event loop's clock.
    """

    received_s = 0.0

    def data_received(self, data: bytes) -> None:
        """Note the time, then pass the bytes on."""
        self.received_s = self.loop.time()
        super().data_received(data)

    async def abort(self) -> None:
        """Close the connection at once, if there is one."""
        if hasattr(self, "transport"):
            self.transport.abort()
            await self.wait_closed()


class Endpoint:
    """A server's address and the access to it.

    Args:
        url: ws:// or wss:// address. The path /v1/stream is added if the address has no path.
        token: access token, sent as `Authorization: Bearer`.
        timeout_s: limit in seconds for the handshake with the first message, and for the closing
            handshake.
    """

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        self._timeout_s = timeout_s

    async def connect(
        self, asked: StreamSettings | Resume, within_s: float | None = None
    ) -> tuple[TimedConnection, ServerMessage]:
        """Open a websocket and wait for the first message.

        Args:
            asked: the settings of a new stream, or the session to resume.
            within_s: time limit in seconds, if it is shorter than `timeout_s`.
        Returns:
            The connection and the first message.
        Raises:
            ServerError: "http_NNN", "unreachable", "timeout", or the code that the server gave when
                it closed the connection.
        """
        address = self._address(asked)
        timeout_s = self._timeout_s if within_s is None else min(within_s, self._timeout_s)
        made: list[TimedConnection] = []

        def make(*args: Any, **options: Any) -> TimedConnection:
            made.append(TimedConnection(*args, **options))
            return made[-1]

        try:
            async with asyncio.timeout(timeout_s):
                connection = await connect_websocket(
                    address,
                    additional_headers=self._headers,
                    compression=None,
                    proxy=None,
                    open_timeout=None,  # our own limit also covers the first message
                    close_timeout=self._timeout_s,
                    ping_interval=None,  # `Link` pings by itself, for acknowledgements
                    create_connection=make,  # pyright: ignore[reportArgumentType]
                )
                return made[-1], parse_message(await connection.recv())
        except BaseException as error:
            for connection in made:
                await connection.abort()
            match error:
                case InvalidStatus():
                    status, body = error.response.status_code, error.response.body or b""
                    words = (
                        f"the server refused with HTTP {status}: "
                        f"{bytes(body).decode(errors='replace').strip()}"
                    )
                    raise ServerError(f"http_{status}", words) from None
                case TimeoutError():
                    raise ServerError(
                        "timeout",
                        f"expected an answer from {self.shown_url} "
                        f"within {timeout_s:g} s, got none",
                    ) from None
                case OSError() | ValueError() | InvalidURI() | InvalidHandshake() | ProtocolError():
                    raise ServerError(
                        "unreachable",
                        f"expected a turnstream server at {self.shown_url}: "
                        f"{str(error) or type(error).__name__}",
                    ) from None
                case ConnectionClosed():
                    raise self.lost(error) from None
                case _:
                    raise

    def lost(self, closed: ConnectionClosed) -> ServerError:
        """Return the error that the end of a connection means.

        When the server ends a session with an error, the reason in the close frame is
        "code: message".
        """
        if closed.rcvd is None or closed.rcvd.code == CLOSE_NORMAL:
            return ServerError(
                "connection_lost",
                f"the connection to {self.shown_url} was lost before the session ended",
            )
        code, _, message = closed.rcvd.reason.partition(": ")
        return ServerError(
            code if message else "connection_lost",
            message or f"the server closed the connection with code {closed.rcvd.code}",
        )

    @property
    def shown_url(self) -> str:
        """The address for error messages, without user, password and token."""
        url = urlsplit(self._url)
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"

    def _address(self, asked: StreamSettings | Resume) -> str:
        """Return the URL to connect to.

        The path /v1/stream is added if the URL has no path. The query gets what is asked for. To
        resume, only the token of the URL's own query is kept.
        """
        try:
            parts = urlsplit(self._url)
            if parts.scheme not in {"ws", "wss"}:
                # The query is left out, because it may hold a token.
                raise ValueError(f"got {self._url.partition('?')[0]!r}")
        except ValueError as error:
            raise ServerError(
                "unreachable",
                "expected a turnstream server at a URL like "
                f"ws://127.0.0.1:{DEFAULT_PORT}: {error}",
            ) from None
        own = parts.query
        if isinstance(asked, Resume):
            own = urlencode([(name, word) for name, word in parse_qsl(own) if name == "token"])
        path = parts.path.rstrip("/") or STREAM_PATH
        return urlunsplit(
            parts._replace(path=path, query="&".join(filter(None, (own, asked.to_query()))))
        )
