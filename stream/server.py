"""The websocket server: listens, admits or refuses with one clear line, and shuts down gracefully.

What is said on an admitted connection is in `conversation.py`, the prediction of all of them in `batcher.py`, every bound in `limits.py`.
"""

from __future__ import annotations

import asyncio
import hmac
import http
import json
import logging
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server as WebsocketServer
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from .batcher import Batcher, Steps
from .conversation import Conversation
from .errors import ProtocolError
from .limits import Limits
from .protocol import CLOSE_CODES, DEFAULT_PORT, STREAM_PATH, ErrorMessage, message_to_json
from .settings import StreamSettings

logger = logging.getLogger(__name__)

_WELCOME = f"""turnstream: streaming turn-taking prediction.

Connect a websocket to {STREAM_PATH}; the wire format is in PROTOCOL.md, beside this server's code.
The server's condition is at /healthz.
"""


class Server:
    """A server of one model; an async context manager that listens while it is open.

    Args:
        engine: the model, usually an `Engine`.
        host: address to listen on; the default is reachable from this machine only.
        port: 0 takes a free one, which `port` then tells.
        tokens: access tokens, any of which admits a client; empty admits everyone.
        limits: every bound.
    Attributes:
        batcher: predicts for all sessions.
    Raises:
        OSError: the port is taken or the address is not ours (on entering).
    """

    def __init__(self, engine: Steps, host: str = "127.0.0.1", port: int = DEFAULT_PORT, *, tokens: Sequence[str] = (), limits: Limits | None = None) -> None:
        self._engine = engine
        self._host = host
        self._asked_port = port
        self._tokens = [token.encode() for token in tokens]
        self._limits = limits or Limits()
        self._conversations: set[Conversation] = set()
        self._listener: WebsocketServer | None = None
        self.batcher = Batcher(engine, max_batch=self._limits.max_batch)

    async def __aenter__(self) -> Server:
        limits = self._limits
        self._listener = await serve_websockets(
            self._handle,
            self._host,
            self._asked_port,
            process_request=self._admit,
            compression=None,  # audio and short numbers gain little, and it costs 64 KB and 100 us a message
            max_size=4 * limits.max_message_bytes,
            open_timeout=limits.open_timeout_s,
            ping_interval=limits.ping_interval_s,
            ping_timeout=limits.ping_timeout_s,
            close_timeout=limits.close_timeout_s,
            server_header="turnstream",
        )
        await self.batcher.__aenter__()
        logger.info("listening on %s", self.url)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @property
    def port(self) -> int:
        """The port listened on."""
        if self._listener is None:
            return self._asked_port
        port: int = next(iter(self._listener.sockets)).getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Where a client on this machine connects."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"ws://{host}:{self.port}{STREAM_PATH}"

    @property
    def sessions(self) -> int:
        """Conversations going on now."""
        return len(self._conversations)

    async def close(self) -> None:
        """Refuse new clients, let every session predict on what it has and end with `termination`, then stop."""
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        listener.close(close_connections=False)
        for conversation in self._conversations:
            conversation.shut_down()
        try:
            async with asyncio.timeout(self._limits.shutdown_timeout_s):
                await listener.wait_closed()
        except TimeoutError:
            logger.warning("cutting %d sessions that did not end within %g s", self.sessions, self._limits.shutdown_timeout_s)
            for conversation in self._conversations:
                conversation.cut()
            await listener.wait_closed()
        await self.batcher.__aexit__()
        logger.info("stopped")

    # ---- admission: plain HTTP ----

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer what is no stream request; None admits."""
        try:
            url = urlsplit(request.path)
        except ValueError as error:
            return connection.respond(http.HTTPStatus.BAD_REQUEST, f"expected a path such as {STREAM_PATH}: {error}\n")
        if url.path == "/healthz":
            return self._health(connection)
        if url.path == "/":
            return connection.respond(http.HTTPStatus.OK, _WELCOME)
        if url.path != STREAM_PATH:
            return connection.respond(http.HTTPStatus.NOT_FOUND, f"no such path; expected {STREAM_PATH}, /healthz or /\n")
        if not self._knows_token(request, url.query):
            refusal = connection.respond(http.HTTPStatus.UNAUTHORIZED, "expected a valid token, as 'Authorization: Bearer TOKEN' or ?token=TOKEN\n")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        try:
            StreamSettings.from_query(url.query)
        except ProtocolError as error:
            return connection.respond(http.HTTPStatus.BAD_REQUEST, f"{error}\n")
        if self.sessions >= self._limits.max_sessions:
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, f"{self._at_capacity()}\n")
        return None

    def _health(self, connection: ServerConnection) -> Response:
        condition = {
            "status": "ok",
            "sessions": self.sessions,
            "max_sessions": self._limits.max_sessions,
            "model": {"name": self._engine.metadata.name, "version": self._engine.metadata.version},
        }
        response = connection.respond(http.HTTPStatus.OK, json.dumps(condition) + "\n")
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response

    def _knows_token(self, request: Request, query: str) -> bool:
        if not self._tokens:
            return True
        shown = [word for header in request.headers.get_all("Authorization") for scheme, _, word in [header.partition(" ")] if scheme.lower() == "bearer"]
        shown += parse_qs(query).get("token", [])
        # Every pair is compared in full, so that the time taken says nothing about how near a guess is.
        matches = [hmac.compare_digest(word.strip().encode(errors="replace"), token) for word in shown[:4] for token in self._tokens]
        return any(matches)

    def _at_capacity(self) -> str:
        return f"at capacity: {self._limits.max_sessions} sessions; try again later"

    # ---- sessions ----

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        settings = StreamSettings.from_query(urlsplit(connection.request.path).query)
        if self.sessions >= self._limits.max_sessions:
            await self._refuse(connection)
            return
        conversation = Conversation(connection, settings, self._engine.metadata, self.batcher, self._limits)
        self._conversations.add(conversation)
        try:
            await conversation.run()
        finally:
            self._conversations.discard(conversation)

    async def _refuse(self, connection: ServerConnection) -> None:
        """For the one who was admitted while another took the last place."""
        try:
            await connection.send(message_to_json(ErrorMessage("at_capacity", self._at_capacity())))
            await connection.close(CLOSE_CODES["at_capacity"], self._at_capacity())
        except ConnectionClosed:
            logger.debug("a client left before it was refused")
