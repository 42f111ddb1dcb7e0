"""The websocket server: listens, answers requests, measures its load, shuts down.

Every refusal is one clear line. `sessions.py` admits clients, `connection.py` handles the bytes,
`conversation.py` the messages of one client, and `batcher.py` the predictions for all clients.
`limits.py` has all bounds.
"""

from __future__ import annotations

import asyncio
import http
import logging
import ssl
import time
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

import numpy as np
from websockets.http11 import Request, Response

from ..errors import ProtocolError
from ..pause_model import PauseModel
from ..protocol import DEFAULT_PORT, STREAM_PATH
from ..settings import Resume, parse_query
from .access import Access
from .answers import ok, ok_json, refuse
from .batcher import Batcher, Steps
from .connection import Connection
from .limits import Limits
from .load import Load
from .metrics import Metrics
from .sessions import Sessions
from .store import SessionStore
from .web_pages import find_page

logger = logging.getLogger(__name__)

_TICK_S = 0.25
_MOST_GATHER_S = 0.008  # longest wait of a step for more frames, at full load; less at low load
_BACKLOG = 1024  # connections that the system may queue for us
_WARM_UP_STEPS = 5
# Measured cost of a frame with sockets, checks and messages, as a multiple of the step's cost.
_ALL_OF_A_FRAME = 3.0
_PAUSE_SHARE = 0.08  # share of a core that the pause model is expected to use for a session


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
        store: keeps the sessions, so that they survive this process; the caller closes it. None:
            a session is resumed in this process only.
        plane: content of a file with a saved 2-D embedding, which the web page plots; None is the
            bundled embedding.
        pause_model: asked in the pauses of all sessions; None for none.
    Attributes:
        batcher: predicts for all sessions.
        metrics: what /metrics shows.
    Raises:
        ConfigError: an origin is malformed, or a token is empty.
        ModelError: the pause model does not fit the model.
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
        store: SessionStore | None = None,
        plane: bytes | None = None,
        pause_model: PauseModel | None = None,
    ) -> None:
        if pause_model is not None:
            pause_model.check_fits(engine.metadata.sample_rate_hz)
        self._engine = engine
        self._host = host
        self._asked_port = port
        self._access = Access(tokens, origins)
        self._tls = tls
        self._limits = limits or Limits()
        self._reuse_port = reuse_port
        self._plane = plane
        self._opening: dict[Connection, None] = {}  # in order of arrival
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self.metrics = metrics or Metrics()
        self.batcher = Batcher(
            engine,
            max_batch=self._limits.max_batch,
            on_step=self._on_step,
            pause_model=pause_model,
        )
        self._load = Load(self._limits.max_load, self._limits.max_lag_s, self._guess_share())
        self._sessions = Sessions(
            engine.metadata,
            self.batcher,
            self._limits,
            self._load,
            self.metrics,
            store,
            on_end=self._ended.set,
        )

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
        share = _ALL_OF_A_FRAME * min(seconds) / batch * model.frame_rate_hz
        return share if self.batcher.pause_model is None else share + _PAUSE_SHARE

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
        return len(self._sessions)

    @property
    def store_ready(self) -> bool:
        """Whether new sessions are saved, or do not have to be because there is no store."""
        return self._sessions.store_ready

    async def close(self) -> None:
        """Refuse new clients, let every session finish, then stop.

        A session processes all audio that has arrived and ends with a `termination` message.
        After `shutdown_timeout_s`, the remaining connections are dropped.
        """
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        listener.close()
        for connection in list(self._opening):
            connection.abort()
        self._sessions.shut_down()
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
            self._sessions.give_up()  # one may just have arrived from another process
            await self._all_gone()
        if self._ticker is not None:
            self._ticker.cancel()
        await self._sessions.close()
        self.batcher.close()
        logger.info("stopped")

    async def _all_gone(self) -> None:
        while self._sessions or self._connections:
            self._ended.clear()
            await self._ended.wait()

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

    def on_accept(self, connection: Connection) -> None:
        """Note that the connection has become a websocket."""
        self._opening.pop(connection, None)

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
            connection.respond(ok(*self.metrics.exposition()))
        elif (page := find_page(url.path, self._plane)) is not None:
            connection.respond(ok(page.content_type, page.body, page.headers))
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
            self._sessions.resume(connection, request, settings)
        else:
            self._sessions.begin(connection, request, settings)

    def _refuse(self, connection: Connection, status: http.HTTPStatus, text: str) -> None:
        refuse(connection, self.metrics, status, text)

    def _health(self) -> Response:
        model = self._engine.metadata
        return ok_json(
            {
                "status": "ok",
                "sessions": self.sessions,
                "max_sessions": self._limits.max_sessions,
                "load": round(self._load.share, 3),
                "model": {"name": model.name, "version": model.version},
            }
        )

    # ---- time and load ----

    def _tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        now_s = self.batcher.clock()
        self._load.tick(now_s, time.process_time(), self._engine.metadata.frame_rate_hz)
        self.metrics.load(self._load.share)
        self.batcher.gather_s = _MOST_GATHER_S * min(1.0, self._load.share) ** 2
        self._sessions.tick(now_s)

    def _on_step(self, seconds: float, live: int, early: int, lag_s: float) -> None:
        self._load.count(live, early, lag_s)
        self.metrics.step(seconds, live + early)
        if live:
            self.metrics.lag(lag_s)
