"""The websocket server: listens, admits or refuses clients, keeps their conversations, shuts down.

Every refusal is one clear line. `connection.py` handles the bytes, `conversation.py` the messages
of one admitted client, and `batcher.py` the predictions for all clients. `limits.py` has all
bounds.
"""

from __future__ import annotations

import asyncio
import http
import json
import logging
import secrets
import ssl
import time
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

import numpy as np
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from ..errors import ProtocolError
from ..protocol import DEFAULT_PORT, STREAM_PATH
from ..settings import Resume, StreamSettings, parse_query
from .access import Access
from .batcher import Batcher, Steps
from .connection import Connection
from .conversation import Conversation
from .handover import Handover
from .limits import Limits
from .load import Load
from .metrics import Metrics
from .web_pages import find_page

logger = logging.getLogger(__name__)

_TICK_S = 0.25
_MOST_GATHER_S = 0.008  # longest wait of a step for more frames, at full load; less at low load
_BACKLOG = 1024  # connections that the system may queue for us
_WARM_UP_STEPS = 5
# Measured cost of a frame with sockets, checks and messages, as a multiple of the step's cost.
_ALL_OF_A_FRAME = 3.0
_RETRY_S = 2  # time that a refused client is asked to wait


class Server:
    """A server of one model; an async context manager that listens while it is open.

    Args:
        engine: the model, usually an `Engine`.
        host: address to listen on; the default is reachable from this machine only.
        port: port to listen on; 0 chooses a free one, which the attribute `port` then tells.
        tokens: access tokens, each of which admits a client; empty admits everyone.
        origins: origins of web pages that may connect, besides the server's own; "*" admits all.
        tls: TLS context, to serve wss:// and https://; None serves ws:// and http://.
        limits: all bounds; None is the defaults.
        metrics: counters; None makes new ones.
        reuse_port: share the port with other processes.
        handover: fetches sessions from the other processes of this server.
        plane: content of a file with a saved 2-D embedding, which the web page plots; None is the
            bundled embedding.
    Attributes:
        batcher: predicts for all sessions.
        metrics: what /metrics shows.
    Raises:
        ConfigError: an origin is malformed, or a token is empty.
        OSError: the port is taken, or the address does not belong to this machine (raised on
            entering).
    """

    def __init__(
        self,
        engine: Steps,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        *,
        tokens: Sequence[str] = (),
        origins: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        metrics: Metrics | None = None,
        reuse_port: bool = False,
        handover: Handover | None = None,
        plane: bytes | None = None,
    ) -> None:
        self._engine = engine
        self._host = host
        self._asked_port = port
        self._access = Access(tokens, origins)
        self._tls = tls
        self._limits = limits or Limits()
        self._reuse_port = reuse_port
        self._handover = handover
        self._plane = plane
        self._conversations: dict[Conversation, None] = {}  # in order of their start
        self._by_token: dict[str, Conversation] = {}
        self._opening: dict[Connection, None] = {}  # in order of arrival
        self._connections: set[Connection] = set()
        self._fetching: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self.metrics = metrics or Metrics()
        self.batcher = Batcher(engine, max_batch=self._limits.max_batch, on_step=self._on_step)
        self._load = Load(self._limits.max_load, self._limits.max_lag_s, self._guess_share())

    async def __aenter__(self) -> Server:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Connection(self, self._limits),
            self._host,
            self._asked_port,
            backlog=_BACKLOG,
            ssl=self._tls,
            ssl_handshake_timeout=None if self._tls is None else self._limits.open_timeout_s,
            reuse_port=self._reuse_port or None,
        )
        self._tick()
        logger.info("listening", extra={"url": self.url})
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _guess_share(self) -> float:
        """Return an estimate of the share of a core that a live session uses.

        It comes from the duration of steps on silence. These steps also warm up the engine for the
        first client.
        """
        model, batch = self._engine.metadata, self._limits.max_batch
        audio = np.zeros((batch, 2, model.frame_samples), np.float32)
        state = np.zeros((batch, model.state_size), np.float32)
        seconds: list[float] = []
        for _ in range(_WARM_UP_STEPS):
            began_s = self.batcher.clock()
            self._engine.step(audio, state)
            seconds.append(self.batcher.clock() - began_s)
        return _ALL_OF_A_FRAME * min(seconds) / batch * model.frame_rate_hz

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        if self._listener is None or not self._listener.sockets:
            return self._asked_port
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The URL at which a client on this machine connects."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'ws' if self._tls is None else 'wss'}://{host}:{self.port}{STREAM_PATH}"

    @property
    def sessions(self) -> int:
        """Number of present conversations, including those that wait for a lost client."""
        return len(self._conversations)

    async def close(self) -> None:
        """Refuse new clients, let every session finish, then stop.

        A session processes all audio that has arrived and ends with a `termination` message.
        After `shutdown_timeout_s`, the remaining connections are dropped.
        """
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        listener.close()
        for task in self._fetching:
            task.cancel()
        for connection in list(self._opening):
            connection.abort()
        for conversation in list(self._conversations):
            conversation.shut_down()
        try:
            async with asyncio.timeout(self._limits.shutdown_timeout_s):
                await self._all_gone()
        except TimeoutError:
            logger.warning(
                "cutting %d connections that did not end within %g s",
                len(self._connections),
                self._limits.shutdown_timeout_s,
            )
            for connection in list(self._connections):
                connection.abort()
            # One may just have arrived from another process.
            for conversation in list(self._conversations):
                conversation.give_up()
            await self._all_gone()
        if self._ticker is not None:
            self._ticker.cancel()
        logger.info("stopped")

    async def _all_gone(self) -> None:
        while self._conversations or self._connections:
            self._ended.clear()
            await self._ended.wait()

    async def release(self, token: str) -> bytes | None:
        """Give a session to another process of this server, to which its client has returned.

        Args:
            token: resume token of the session.
        Returns:
            The packed session, or None if it is not in this process.
        """
        conversation = self._by_token.get(token)
        return None if conversation is None else conversation.pack()

    # ---- requests ----

    def on_connect(self, connection: Connection) -> bool:
        """Register a new connection; return False if the server is closing."""
        if self._listener is None:
            return False
        if len(self._opening) >= self._limits.max_opening:
            next(iter(self._opening)).abort()  # the oldest without a request
        self._connections.add(connection)
        self._opening[connection] = None
        return True

    def on_close(self, connection: Connection) -> None:
        """Forget a closed connection."""
        self._connections.discard(connection)
        self._opening.pop(connection, None)
        self._ended.set()

    def on_request(self, connection: Connection, request: Request) -> None:
        """Answer an HTTP request, or admit or refuse a stream request."""
        try:
            url = urlsplit(request.path)
        except ValueError as error:
            self._refuse(
                connection,
                http.HTTPStatus.BAD_REQUEST,
                f"expected a path such as {STREAM_PATH}: {error}",
            )
            return
        if url.path == STREAM_PATH:
            self._open_stream(connection, request, url)
        elif url.path == "/healthz":
            connection.respond(self._health())
        elif url.path == "/metrics":
            kind, body = self.metrics.exposition()
            connection.respond(_response(http.HTTPStatus.OK, kind, body))
        elif (page := find_page(url.path, self._plane)) is not None:
            connection.respond(
                _response(http.HTTPStatus.OK, page.content_type, page.body, page.headers)
            )
        else:
            self._refuse(
                connection,
                http.HTTPStatus.NOT_FOUND,
                f"no such path; expected {STREAM_PATH}, /healthz, /metrics or /",
            )

    def _open_stream(self, connection: Connection, request: Request, url: SplitResult) -> None:
        refusal = self._access.refusal(request.headers, url.query)
        if refusal is not None:
            self._refuse(connection, *refusal)
            return
        try:
            settings = parse_query(url.query)
        except ProtocolError as error:
            self._refuse(connection, http.HTTPStatus.BAD_REQUEST, str(error))
            return
        if isinstance(settings, Resume):
            self._resume(connection, request, settings)
        else:
            self._begin(connection, request, settings)

    def _refuse(self, connection: Connection, status: http.HTTPStatus, text: str) -> None:
        self.metrics.refused(status)
        response = connection.plain(status, f"{text}\n")
        if status is http.HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
        if status is http.HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = str(_RETRY_S)
        logger.info(
            "refused", extra={"remote": connection.remote, "status": int(status), "why": text}
        )
        connection.respond(response)

    def _health(self) -> Response:
        condition = {
            "status": "ok",
            "sessions": self.sessions,
            "max_sessions": self._limits.max_sessions,
            "load": round(self._load.share, 3),
            "model": {"name": self._engine.metadata.name, "version": self._engine.metadata.version},
        }
        return _response(
            http.HTTPStatus.OK, "application/json", json.dumps(condition).encode() + b"\n"
        )

    # ---- sessions ----

    def _begin(self, connection: Connection, request: Request, settings: StreamSettings) -> None:
        refusal = self._no_room()
        if refusal is not None:
            self._refuse(connection, http.HTTPStatus.SERVICE_UNAVAILABLE, refusal)
            return
        if not connection.accept(request):
            return
        conversation = Conversation(
            settings,
            self._engine.metadata,
            self.batcher,
            self._limits,
            self,
            token=self._new_token(),
        )
        connection.listen(conversation)
        self._make_room()
        self._add(conversation)
        self._load.opened()
        self._opening.pop(connection, None)
        self.metrics.session_opened()
        logger.info(
            "session began",
            extra={
                "session": conversation.id,
                "remote": connection.remote,
                "settings": settings.to_query(),
            },
        )
        conversation.attach(connection)

    def _new_token(self) -> str | None:
        if not self._limits.resume_s:
            return None
        return secrets.token_urlsafe(24) if self._handover is None else self._handover.new_token()

    def _no_room(self) -> str | None:
        """Return why no further session fits, or None if one fits."""
        if self._listener is None:
            return "shutting down; try again later"
        if self.sessions >= self._limits.max_sessions and not self._parked():
            return f"at capacity: {self._limits.max_sessions} sessions; try again later"
        return self._load.refusal()

    def _parked(self) -> list[Conversation]:
        return [
            conversation
            for conversation in self._conversations
            if conversation.parked_s is not None
        ]

    def _make_room(self) -> None:
        """End a session that waits for its lost client, if the number of sessions is at its limit.

        The shortest one ends, because its loss matters least.
        """
        if self.sessions >= self._limits.max_sessions:
            min(self._parked(), key=lambda conversation: conversation.frames).give_up()

    def _add(self, conversation: Conversation) -> None:
        self._conversations[conversation] = None
        if conversation.token is not None:
            self._by_token[conversation.token] = conversation

    def _resume(self, connection: Connection, request: Request, resume: Resume) -> None:
        conversation = self._by_token.get(resume.token)
        if conversation is None and self._handover is not None:
            task = asyncio.create_task(self._fetch(connection, request, resume, self._handover))
            self._fetching.add(task)
            task.add_done_callback(self._fetching.discard)
            return
        self._go_on(connection, request, resume, conversation)

    async def _fetch(
        self, connection: Connection, request: Request, resume: Resume, handover: Handover
    ) -> None:
        """Resume a session that another process has, if that process gives it away."""
        try:
            packed = await handover.fetch(resume.token)
        except TimeoutError:
            self._refuse(
                connection,
                http.HTTPStatus.SERVICE_UNAVAILABLE,
                "the session is elsewhere, and not to be had at the moment; try again",
            )
            return
        conversation = self._by_token.get(resume.token)  # if another connection was faster
        if packed is not None:
            conversation = Conversation.unpack(
                packed, self._engine.metadata, self.batcher, self._limits, self, token=resume.token
            )
            self._add(conversation)
            self.metrics.session_opened()
        self._go_on(connection, request, resume, conversation)

    def _go_on(
        self,
        connection: Connection,
        request: Request,
        resume: Resume,
        conversation: Conversation | None,
    ) -> None:
        if conversation is None:
            self._refuse(
                connection,
                http.HTTPStatus.GONE,
                "no such session: it has ended, or its client came back too late",
            )
            return
        try:
            conversation.check_resume(resume.received)
        except ProtocolError as error:
            self._refuse(connection, http.HTTPStatus.BAD_REQUEST, str(error))
            return
        if connection.accept(request):
            connection.listen(conversation)
            self._opening.pop(connection, None)
            self.metrics.session_resumed()
            if conversation.parked_s is not None:
                self.metrics.session_unparked()
            logger.info(
                "session resumed", extra={"session": conversation.id, "remote": connection.remote}
            )
            conversation.resume(connection, resume.received)

    def on_park(self, conversation: Conversation) -> None:
        """Count and log that a conversation has lost its client."""
        self.metrics.session_parked()
        logger.info(
            "session lost its client",
            extra={"session": conversation.id, "seconds": round(conversation.seconds, 3)},
        )

    def on_error(self, conversation: Conversation, code: str) -> None:
        """Count the error with which a conversation ends."""
        self.metrics.error(code)

    def on_end(self, conversation: Conversation) -> None:
        """Forget a conversation that has ended; count and log its end."""
        self._conversations.pop(conversation, None)
        if conversation.token is not None:
            self._by_token.pop(conversation.token, None)
        self._ended.set()
        if conversation.parked_s is not None:
            self.metrics.session_unparked()
        # The text after the colon may quote the client, and must not be logged.
        reason = conversation.reason.partition(":")[0]
        self.metrics.session_closed(reason)
        details = {
            "session": conversation.id,
            "frames": conversation.frames,
            "seconds": round(conversation.seconds, 3),
            "reason": reason,
        }
        logger.info("session ended", extra=details)

    # ---- time and load ----

    def _tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        now_s = self.batcher.clock()
        self._load.tick(now_s, time.process_time(), self._engine.metadata.frame_rate_hz)
        self.metrics.load(self._load.share)
        self.batcher.gather_s = _MOST_GATHER_S * min(1.0, self._load.share) ** 2
        for conversation in list(self._conversations):
            conversation.tick(now_s)

    def _on_step(self, seconds: float, live: int, early: int, lag_s: float) -> None:
        self._load.count(live, early, lag_s)
        self.metrics.step(seconds, live + early)
        if live:
            self.metrics.lag(lag_s)


def _response(
    status: http.HTTPStatus, content_type: str, body: bytes, headers: dict[str, str] | None = None
) -> Response:
    """Return a complete response, after which the connection closes."""
    lines = {
        "Connection": "close",
        "Content-Length": str(len(body)),
        "Content-Type": content_type,
        **(headers or {}),
    }
    return Response(status.value, status.phrase, Headers(lines), body)
