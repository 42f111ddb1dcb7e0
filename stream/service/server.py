"""The websocket server: listens, answers requests, measures its load, shuts down.

Every refusal is one clear line. `sessions.py` admits clients, `connection.py` handles the bytes,
`inbox.py` the messages of one client, and `batcher.py` the predictions for all clients.
`limits.py` has all bounds. Half of this file is the list of what a server is given.
"""

from __future__ import annotations

import asyncio
import http
import logging
import ssl
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request

from ..errors import ProtocolError
from ..pause_model import PauseModel
from ..policy_settings import Policies
from ..protocol import DEFAULT_PORT, STREAM_PATH
from ..settings import Resume, StreamSettings, parse_query
from . import flux
from .access import Access
from .answers import refuse
from .batcher import Batcher, Steps
from .connection import Connection
from .descriptors import DescriptorWatch
from .flux import FLUX_PATH
from .idle_memory import IdleMemory
from .limits import Limits
from .load import TICK_S, Load
from .metrics import Metrics
from .plain_requests import PlainRequests
from .resampling import Resampling
from .sessions import SHUTTING_DOWN, Sessions
from .store import SessionStore
from .tls import TlsGate
from .tokens import Tokens
from .turns import Turns
from .twilio import TelephonePaths
from .warm_up import session_share
from .web_pages import Page, find_page, page_servers_of

logger = logging.getLogger(__name__)

_MOST_GATHER_S = 0.008  # longest wait of a step for more frames, at full load; less at low load
_BACKLOG = 1024  # connections that the system may queue for us


class Server:
    """A server of one model; an async context manager that listens while it is open.

    Args:
        engine: the model, usually an `Engine`.
        host: address to listen on; the default is reachable from this machine only.
        port: port to listen on; 0 chooses a free one, which the attribute `port` then tells.
        tokens: access tokens, each of which admits a client; empty admits everyone. `Tokens` can be
            replaced while the server runs.
        origins: origins of web pages that may connect, besides the server's own; "*" admits all.
        page_servers: other servers that this server's page may send sound to, such as
            "wss://my.host".
        tls: TLS context, to serve wss:// and https://; None serves ws:// and http://.
        limits: all bounds; None is the defaults.
        metrics: counters; None makes new ones.
        reuse_port: share the port with other processes.
        store: keeps the sessions, so that they survive this process; the caller closes it. None:
            a session is resumed in this process only.
        hand_over: on closing, leave the saved sessions to other servers with the same store.
        plane: content of a file with a saved 2-D embedding, which the web page plots; None is the
            bundled embedding.
        tab: files with which the web page can run the network in the browser tab, from `tab_pages`;
            None: it cannot.
        pause_model: asked in the pauses of sessions; None for none.
        pause_sessions: most sessions at a time that use the pause model, and only those that begin
            while the server has time; None for all sessions.
        policies: the presets that a session can ask for, and its default; None is those of
            `PRESETS`, and "balanced".
    Attributes:
        batcher: predicts for all sessions.
        metrics: what /metrics shows.
    Raises:
        ConfigError: an origin or a page server is malformed, or a token is empty.
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
        tokens: Sequence[str] | Tokens = (),
        origins: Sequence[str] = (),
        page_servers: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        metrics: Metrics | None = None,
        reuse_port: bool = False,
        store: SessionStore | None = None,
        hand_over: bool = False,
        plane: bytes | None = None,
        tab: Mapping[str, Page] | None = None,
        pause_model: PauseModel | None = None,
        pause_sessions: int | None = None,
        policies: Policies | None = None,
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
        self._hand_over = hand_over
        self._draining = False
        self._policies = policies or Policies()
        self._opening: dict[Connection, None] = {}  # in order of arrival
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._descriptors = DescriptorWatch()
        self._idle_memory = IdleMemory()
        self._ended = asyncio.Event()
        self.metrics = metrics or Metrics()
        self.batcher = Batcher(
            engine,
            max_batch=self._limits.max_batch,
            on_step=self._on_step,
            pause_model=pause_model,
        )
        self._turns, self._resampling = Turns(), Resampling()
        self._load = Load(
            self._limits.max_load,
            self._limits.max_lag_s,
            session_share(
                engine,
                self._limits.max_batch,
                pause=pause_model is not None and pause_sessions is None,
            ),
        )
        self._sessions = Sessions(
            self.batcher,
            self._limits,
            self._load,
            self.metrics,
            self._resampling,
            store,
            on_end=self._ended.set,
            policies=self._policies,
            pause_sessions=pause_sessions,
        )
        self._telephone = TelephonePaths(
            self._sessions, self._access, self._policies, self.metrics, self._may_open, self._limits
        )
        self._plain = PlainRequests(
            self._access,
            self.metrics,
            self._health,
            self._unready,
            partial(
                find_page,
                plane=plane,
                servers=page_servers_of(page_servers),
                presets=self._policies.presets,
                tab=tab,
            ),
        )

    async def __aenter__(self) -> Server:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            self._make_protocol,
            self._host,
            self._asked_port,
            backlog=_BACKLOG,
            reuse_port=self._reuse_port or None,
        )
        self._tick()
        logger.info("listening", extra={"url": self.url})
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _make_protocol(self) -> asyncio.Protocol:
        connection, tls = Connection(self, self._limits, self._turns), self._tls
        return connection if tls is None else TlsGate(lambda sock: connection.secure(sock, tls))

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

        A session processes all audio that has arrived and ends with a `termination` message. With
        `hand_over`, the clients of saved sessions are dropped instead: they resume elsewhere.
        After `shutdown_timeout_s`, the remaining connections are dropped. Until then, plain
        requests are answered, so that /readyz can tell of the drain.
        """
        if self._draining:
            return
        self._draining = True
        handed_over = self._sessions.hand_over() if self._hand_over else []
        try:
            async with asyncio.timeout(self._limits.shutdown_timeout_s):
                while any(conversation.has_client for conversation in handed_over):
                    await self._next_end()
                self._sessions.shut_down()
                while self._sessions or len(self._connections) > len(self._opening):
                    await self._next_end()
                self._stop_opening()
                await self._all_gone()
        except TimeoutError:
            logger.warning(
                "cutting %d connections that did not end within %g s",
                len(self._connections),
                self._limits.shutdown_timeout_s,
            )
            self._stop_opening()
            for connection in list(self._connections):
                connection.abort()
            self._sessions.give_up()  # one may just have arrived from another process
            await self._all_gone()
        if self._ticker is not None:
            self._ticker.cancel()
        await self._sessions.close()
        self.batcher.close()
        self._resampling.close()
        logger.info("stopped")

    def stop_listening(self) -> None:
        """Accept no more connections; the present ones go on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _stop_opening(self) -> None:
        """Stop to listen, and drop the connections that have neither a websocket nor an answer."""
        self.stop_listening()
        for connection in list(self._opening):
            if not connection.is_answered:
                connection.abort()

    async def _all_gone(self) -> None:
        while self._sessions or self._connections:
            await self._next_end()

    async def _next_end(self) -> None:
        """Wait until a session or a connection has ended."""
        self._ended.clear()
        await self._ended.wait()

    # ---- requests ----

    def on_connect(self, connection: Connection) -> bool:
        """Register a new connection; return False if the server no longer listens."""
        if self._listener is None:
            return False
        limits = self._limits
        if self._opening and (
            len(self._opening) >= limits.max_opening
            or len(self._connections) - len(self._telephone.listeners)
            >= limits.max_sessions + limits.max_opening
        ):
            oldest = next(iter(self._opening))  # that is no session
            del self._opening[oldest]  # now: many may connect before its end is reported
            oldest.abort()
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
        self._telephone.on_close(connection)
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
        elif url.path == FLUX_PATH:
            self._open_flux(connection, request, url)
        elif not self._telephone.answer(connection, request, url):
            self._plain.answer(connection, request, url)

    def on_unreadable(self, connection: Connection, method: str, error: Exception) -> None:
        """Answer what is no request, or a request with a body."""
        self._plain.answer_unreadable(connection, method, error)

    def _open_stream(self, connection: Connection, request: Request, url: SplitResult) -> None:
        if not self._may_open(connection, request, request.headers, url.query):
            return
        try:
            settings = parse_query(url.query)
            if isinstance(settings, StreamSettings):
                settings = settings.resolved(self._policies)
        except ProtocolError as error:
            self._refuse(connection, http.HTTPStatus.BAD_REQUEST, str(error))
            return
        token = self._access.token(request.headers, url.query)
        if isinstance(settings, Resume):
            self._sessions.resume(connection, request, settings, token)
        else:
            self._sessions.begin(connection, request, settings, token)

    def _open_flux(self, connection: Connection, request: Request, url: SplitResult) -> None:
        headers = flux.bearer(request.headers)
        if not self._may_open(connection, request, headers, url.query):
            return
        base = self._policies.settings(None, {})
        try:
            settings, thresholds = flux.parse_query(
                url.query, base, self._engine.metadata.frame_rate_hz
            )
            settings = settings.resolved(self._policies)
        except ProtocolError as error:
            self._refuse(connection, http.HTTPStatus.BAD_REQUEST, str(error))
            return
        dialect = flux.FluxDialect(thresholds, base)
        token = self._access.token(headers, url.query)
        self._sessions.begin(connection, request, settings, token, dialect)

    def _may_open(
        self, connection: Connection, request: Request, headers: Headers, query: str
    ) -> bool:
        """Return whether the client may open a stream; if not, it has been refused."""
        if request.method != "GET":
            status = http.HTTPStatus.METHOD_NOT_ALLOWED
            text = f"expected GET, got {request.method[:20]!a}"
            refuse(connection, self.metrics, status, text, "GET")
            return False
        refusal = self._access.refusal(headers, query)
        if refusal is None and self._draining:
            refusal = (http.HTTPStatus.SERVICE_UNAVAILABLE, SHUTTING_DOWN)
        if refusal is not None:
            self._refuse(connection, *refusal)
        return refusal is None

    def _refuse(self, connection: Connection, status: http.HTTPStatus, text: str) -> None:
        refuse(connection, self.metrics, status, text)

    def _health(self) -> dict[str, Any]:
        model = self._engine.metadata
        return {
            "status": "ok",
            "sessions": self.sessions,
            "max_sessions": self._limits.max_sessions,
            "load": round(self._load.share, 3),
            "store_ready": self.store_ready,
            "model": {"name": model.name, "version": model.version},
        }

    def _unready(self) -> tuple[str, str] | None:
        """Return status and reason why no new session would be admitted, or None."""
        if self._draining:
            return "draining", SHUTTING_DOWN
        refusal = self._sessions.refusal()
        return None if refusal is None else ("overloaded", refusal)

    # ---- time and load ----

    def _tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        now_s = self.batcher.clock()
        self._load.tick(
            now_s,
            time.process_time(),
            self._turns.live_s + self.batcher.live_s,
            self._turns.other_s + self.batcher.early_s + self._resampling.used_s,
            self._engine.metadata.frame_rate_hz,
        )
        self.metrics.load(self._load.share)
        self.metrics.store_ready(self.store_ready)
        self.batcher.gather_s = _MOST_GATHER_S * min(1.0, self._load.share) ** 2
        self._sessions.tick(now_s)
        self._telephone.tick(now_s)
        self._descriptors.check(now_s)
        self._idle_memory.check(self.sessions)

    def _on_step(self, seconds: float, live: int, early: int, lag_s: float) -> None:
        self._load.count(seconds, live, early, lag_s)
        self.metrics.step(seconds, live + early)
        if live:
            self.metrics.lag(lag_s)
