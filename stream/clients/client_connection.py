"""How a client reaches its server: the address, the handshake, and every way in which they fail in words. `client_link.py` does the rest."""

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


class HeardConnection(ClientConnection):
    """A websocket that notes when it last heard anything at all, pings and pongs included.

    Attributes:
        heard_s: that moment, by the event loop's clock.
    """

    heard_s = 0.0

    def data_received(self, data: bytes) -> None:
        """The transport has bytes for the protocol."""
        self.heard_s = self.loop.time()
        super().data_received(data)

    async def abort(self) -> None:
        """Let go of the connection at once, if there ever was one."""
        if hasattr(self, "transport"):
            self.transport.abort()
            await self.wait_closed()


class Endpoint:
    """A server's address and what it takes to get in.

    Args:
        url: ws:// or wss:// address; the path /v1/stream is added if there is none.
        token: access token, sent as `Authorization: Bearer`.
        timeout_s: for the handshake, the first message, and the closing handshake.
    """

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        self._timeout_s = timeout_s

    async def connect(
        self, asked: StreamSettings | Resume, within_s: float | None = None
    ) -> tuple[HeardConnection, ServerMessage]:
        """Open a websocket and wait for the first message.

        Args:
            asked: a new stream's settings, or the session to go on with.
            within_s: give up after this time, if it is shorter than the usual time-out.
        Raises:
            ServerError: "http_NNN", "unreachable", "timeout", or what the server closed with.
        """
        address = self._address(asked)
        timeout_s = self._timeout_s if within_s is None else min(within_s, self._timeout_s)
        made: list[HeardConnection] = []

        def make(*args: Any, **options: Any) -> HeardConnection:
            made.append(HeardConnection(*args, **options))
            return made[-1]

        try:
            async with asyncio.timeout(timeout_s):
                connection = await connect_websocket(
                    address,
                    additional_headers=self._headers,
                    compression=None,
                    proxy=None,
                    open_timeout=None,  # ours holds for the first message, too
                    close_timeout=self._timeout_s,
                    ping_interval=None,  # the link's own pings acknowledge
                    create_connection=make,  # pyright: ignore[reportArgumentType]
                )
                return made[-1], parse_message(await connection.recv())
        except BaseException as error:
            for connection in made:
                await connection.abort()
            match error:
                case InvalidStatus():
                    status, body = error.response.status_code, error.response.body or b""
                    words = f"the server refused with HTTP {status}: {bytes(body).decode(errors='replace').strip()}"
                    raise ServerError(f"http_{status}", words) from None
                case TimeoutError():
                    raise ServerError(
                        "timeout",
                        f"expected an answer from {self.shown_url} within {timeout_s:g} s, got none",
                    ) from None
                case OSError() | ValueError() | InvalidURI() | InvalidHandshake() | ProtocolError():
                    raise ServerError(
                        "unreachable",
                        f"expected a turnstream server at {self.shown_url}: {str(error) or type(error).__name__}",
                    ) from None
                case ConnectionClosed():
                    raise self.lost(error) from None
                case _:
                    raise

    def lost(self, closed: ConnectionClosed) -> ServerError:
        """What the end of a connection means; the close frame's reason is "code: message" when the server ended the session with an error."""
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
        """The address without user, password and token, for error messages."""
        url = urlsplit(self._url)
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"

    def _address(self, asked: StreamSettings | Resume) -> str:
        """The URL with the usual path if it has none, and with what is asked for in its query; of its own, a resume keeps only the token."""
        try:
            parts = urlsplit(self._url)
            if parts.scheme not in {"ws", "wss"}:
                raise ValueError(
                    f"got {self._url.partition('?')[0]!r}"
                )  # what follows the question mark may be a token
        except ValueError as error:
            raise ServerError(
                "unreachable",
                f"expected a turnstream server at a URL like ws://127.0.0.1:{DEFAULT_PORT}: {error}",
            ) from None
        own = parts.query
        if isinstance(asked, Resume):
            own = urlencode([(name, word) for name, word in parse_qsl(own) if name == "token"])
        path = parts.path.rstrip("/") or STREAM_PATH
        return urlunsplit(
            parts._replace(path=path, query="&".join(filter(None, (own, asked.to_query()))))
        )
