"""A client's numbered messages to its server and back, over as many connections as it takes.

Both ends count the messages of a session (PROTOCOL.md, "Lost connections"). What is sent is kept until the server is known to have it: a websocket
ping follows it every 2 s, and every quarter of what may be kept, and the pong says that everything before it has arrived. When a
connection breaks, the link connects again with growing pauses, tells what it has received, learns what the server has, and sends
the rest again, so that every message arrives once, in order. Its user notices a warning
`connection_lost` and a `ResumedMessage` between two others, and nothing else.

Bounds: what is sent and not acknowledged, in bytes; beyond it `send` waits. What is received and not read, in messages; beyond it the link
stops reading, and so makes the server wait. In the end, when nobody reads for the time-out, they are dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from ..errors import ProtocolError, ServerError
from ..protocol import (
    BeginMessage,
    Close,
    ErrorMessage,
    KeepAlive,
    ResumedMessage,
    ServerMessage,
    TerminationMessage,
    WarningMessage,
    control_to_json,
    parse_message,
)
from ..settings import Resume, StreamSettings
from .client_connection import Endpoint, HeardConnection

logger = logging.getLogger(__name__)

_UNREAD_MESSAGES = 4096  # 80 s of frames
_MESSAGE_COST = 64  # bytes counted for every kept message besides its own
_PING_S = 2.0
_KEEP_ALIVE_S = 20.0  # a third of the time after which the server ends an idle session
_SILENT_S = 12.0  # the server pings every 5 s: after twice that and some more the connection counts as broken
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 3.0  # between attempts to connect again
_CLOSE_S = 2.0  # for the closing handshake
_BREAKS = {
    1011,
    1012,
    1013,
}  # close codes after which the session may still be there, as it may without any
_CLOSE = control_to_json(Close())


class ClientLink:
    """One session's messages. A context manager's worth of life: `open`, then `send` and `receive`, then `close`.

    Args:
        endpoint: where to connect, first and again.
        settings: of the stream.
        timeout_s: how long `send` may wait while there is a connection.
        reconnect_s: how long to try to connect again after a connection broke; 0 for not at all.
        keep_bytes: how much that was sent may wait for the server's acknowledgement.
    Attributes:
        begin: the server's first message, once open.
        connections: how many connections there have been.
        terminated: whether the session has ended well.
    """

    begin: BeginMessage

    def __init__(
        self,
        endpoint: Endpoint,
        settings: StreamSettings,
        *,
        timeout_s: float,
        reconnect_s: float,
        keep_bytes: int,
    ) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._timeout_s = timeout_s
        self._reconnect_s = reconnect_s
        self._keep_bytes = keep_bytes
        self._connection: HeardConnection | None = None
        self._running: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self.connections = 0
        self.terminated = False
        # Outgoing: message n of the session is kept[n - first_kept]; those before `unwritten` went into the present connection.
        self._kept: deque[str | bytes] = deque()
        self._kept_cost = 0
        self._first_kept = self._unwritten = 0
        self._said_close = False
        self._due, self._room = asyncio.Event(), asyncio.Event()
        # Incoming: the messages counted, and those of them that wait to be read.
        self._received = 0
        self._unread: deque[ServerMessage] = deque()
        self._arrived, self._taken = asyncio.Event(), asyncio.Event()

    async def open(self) -> None:
        """Connect.

        Raises:
            ServerError: as for `Endpoint.connect`, or the server's `error`, or "bad_message" where `begin` was expected.
        """
        connection, first = await self._endpoint.connect(self._settings)
        if not isinstance(first, BeginMessage):
            await connection.abort()
            if isinstance(first, ErrorMessage):
                raise ServerError(first.code, first.message)
            raise ServerError(
                "bad_message", f"expected begin as the first message, got {type(first).__name__}"
            )
        self.begin = first
        self._received = 1
        self._resume_s = (
            min(self._reconnect_s, first.resume_s) if first.resume_token is not None else 0.0
        )
        self._connection = (
            connection  # here, too: whoever leaves at once cancels the task before it has begun
        )
        self._running = asyncio.create_task(self._run(connection))
        self.connections = 1

    async def close(self) -> None:
        """End the connection, and with it the session, without waiting for the rest of it; whoever waits gets an error."""
        self.fail(
            ServerError(
                "session_ended", "expected a session that goes on, got one whose client was left"
            )
        )
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        if self._connection is not None:
            try:
                with contextlib.suppress(TimeoutError):
                    async with (
                        asyncio.timeout(min(_CLOSE_S, self._timeout_s)),
                        asyncio.TaskGroup() as tasks,
                    ):
                        tasks.create_task(self._connection.close())
                        with contextlib.suppress(ConnectionClosed):
                            while True:  # unread messages would stand before the server's close frame for ever
                                await self._connection.recv()
            finally:
                await self._connection.abort()

    async def send(self, wire: str | bytes) -> None:
        """Take a message to be sent; it has not left yet when this returns. Waits while too much is unacknowledged.

        Raises:
            ServerError: the session has ended or is lost, or the server took nothing for the time-out.
        """
        self._check()
        while self._kept and self._kept_cost + len(wire) > self._keep_bytes:
            await self._wait(
                self._room,
                self._timeout_s,
                "the server to take more; read its messages while you send",
            )
            self._check()
        self._said_close = self._said_close or wire == _CLOSE
        self._keep(wire)

    async def receive(self, timeout_s: float | None = None) -> ServerMessage:
        """Wait for the next message.

        Args:
            timeout_s: how long, while there is a connection; None for ever.
        Raises:
            ServerError: nothing more will come, or not in time.
        """
        while not self._unread:
            self._check()
            await self._wait(self._arrived, timeout_s, "the next message or termination")
        message = self._unread.popleft()
        self._taken.set()
        return message

    async def ended(self, timeout_s: float) -> None:
        """Wait until the session's last message has come; it and those before it wait to be received.

        Args:
            timeout_s: how long for one message, while there is a connection. When too many wait and none is received in this time,
                nobody reads: they are dropped.
        Raises:
            ServerError: the session ended with an error, or nothing came in time.
        """
        nobody_reads = False
        while self._failure is None:
            if len(self._unread) >= _UNREAD_MESSAGES and nobody_reads:
                self._unread.clear()
                self._taken.set()
            try:
                await self._wait(self._arrived, timeout_s, "the next message or termination")
            except ServerError:
                if len(self._unread) < _UNREAD_MESSAGES:
                    raise
                nobody_reads = True
        if not self.terminated:
            raise self._failure

    def fail(self, failure: BaseException) -> None:
        """Let whoever waits for the link, now or later, have this error; the first one stays."""
        self._failure = self._failure or failure
        for event in (self._room, self._arrived):
            event.set()

    @property
    def resuming(self) -> bool:
        """Whether the connection broke and is being made again at this moment."""
        return (
            self._running is not None
            and not self._running.done()
            and self._connection is not None
            and self._connection.state is not State.OPEN
        )

    def _check(self) -> None:
        if self._running is None:
            raise ServerError(
                "not_connected", "expected a connected client; use it as a context manager"
            )
        if self._failure is not None:
            raise self._failure

    async def _wait(self, event: asyncio.Event, timeout_s: float | None, expected: str) -> None:
        """Wait for an event; while there is no connection, time does not count, because connecting again has its own limit."""
        event.clear()
        while True:
            connections = self.connections
            try:
                async with asyncio.timeout(timeout_s):
                    await event.wait()
                return
            except TimeoutError:
                if not self.resuming and self.connections == connections:
                    raise ServerError(
                        "timeout", f"expected {expected}; waited {timeout_s:g} s"
                    ) from None

    # ---- the link's own task: read, and connect again ---------------------------------------------------------

    async def _run(self, connection: HeardConnection) -> None:
        """Serve one connection after the other, until the session has ended."""
        try:
            while True:
                self._connection = connection
                writer = asyncio.create_task(self._write(connection))
                try:
                    await self._read(connection)
                except ConnectionClosed as closed:
                    lost = self._endpoint.lost(closed)
                    if self._resume_s == 0 or (
                        closed.rcvd is not None and closed.rcvd.code not in _BREAKS
                    ):
                        raise lost from None
                    logger.info("%s: %s; connecting again", self.begin.session, lost)
                    trying = f"the connection was lost; trying for {self._resume_s:g} s to go on where it broke"
                    self._tell(WarningMessage("connection_lost", "warning", trying))
                else:
                    return
                finally:
                    writer.cancel()
                    await asyncio.wait([writer])
                connection = await self._resume()
        except ServerError as error:
            self.fail(error)
        except Exception as error:  # a bug of ours: whoever waits must not wait for ever
            self.fail(error)
            raise

    async def _read(self, connection: HeardConnection) -> None:
        """Take in messages to the end of the session."""
        while True:
            while len(self._unread) >= _UNREAD_MESSAGES and connection.state is State.OPEN:
                self._taken.clear()
                await self._taken.wait()
            try:
                async with asyncio.timeout(_SILENT_S / 4):
                    wire = await connection.recv()
            except TimeoutError:
                if asyncio.get_running_loop().time() - connection.heard_s > _SILENT_S:
                    connection.transport.abort()
                continue
            try:
                message = parse_message(wire)
            except ProtocolError as error:
                raise ServerError(
                    error.code,
                    f"the server sent something else than this version of the protocol: {error}",
                ) from None
            self._received += 1
            self._tell(message)
            if isinstance(message, ErrorMessage):
                return self.fail(ServerError(message.code, message.message))
            if isinstance(message, TerminationMessage):
                self.terminated = True
                return self.fail(
                    ServerError(
                        "session_ended",
                        f"expected a session that goes on, got one that has ended ({message.reason})",
                    )
                )

    def _tell(self, message: ServerMessage) -> None:
        """One more for whoever receives."""
        self._unread.append(message)
        self._arrived.set()

    async def _resume(self) -> HeardConnection:
        """Connect again, as often as it takes and as long as there is time."""
        loop = asyncio.get_running_loop()
        begin, deadline_s, attempt = self.begin, loop.time() + self._resume_s, 0
        assert begin.resume_token is not None
        while True:
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt) * random.uniform(
                0.5, 1
            )  # not all clients of a server at once
            await asyncio.sleep(max(0.0, min(pause_s, deadline_s - loop.time())))
            attempt += 1
            try:
                connection, first = await self._endpoint.connect(
                    Resume(begin.resume_token, self._received), max(0.1, deadline_s - loop.time())
                )
            except ServerError as error:
                if error.code.startswith("http_4"):
                    raise self._session_lost(f"could not be resumed: {error}") from None
                if loop.time() >= deadline_s:
                    raise self._session_lost(
                        f"could not be resumed within {self._resume_s:g} s: {error}"
                    ) from None
                logger.info("%s: attempt %d: %s", begin.session, attempt, error)
                continue
            if isinstance(
                first, ResumedMessage
            ) and self._first_kept <= first.received <= self._first_kept + len(self._kept):
                break
            await connection.abort()
            kept = f"resumed with {self._first_kept} to {self._first_kept + len(self._kept)} messages received"
            raise self._session_lost(f"could not be resumed: expected {kept}, got {first}")
        self._acknowledged(first.received)
        self._unwritten = first.received
        self._received += first.missed
        self._tell(first)
        self.connections += 1
        logger.info(
            "%s: resumed after %d attempts, %d messages are sent again",
            begin.session,
            attempt,
            len(self._kept),
        )
        return connection

    def _session_lost(self, reason: str) -> ServerError:
        return ServerError(
            "session_lost",
            f"the connection to {self._endpoint.shown_url} broke and the session {reason}",
        )

    # ---- outgoing -----------------------------------------------------------------------------------------------

    def _keep(self, wire: str | bytes) -> None:
        self._kept.append(wire)
        self._kept_cost += len(wire) + _MESSAGE_COST
        self._due.set()

    def _acknowledged(self, count: int) -> None:
        """Forget the first messages of the session, which the server has."""
        while self._first_kept < count:
            self._kept_cost -= len(self._kept.popleft()) + _MESSAGE_COST
            self._first_kept += 1
        self._room.set()

    async def _write(self, connection: HeardConnection) -> None:
        """Write what is kept and not written, and ping, as long as the connection lasts."""
        loop = asyncio.get_running_loop()
        written_s = pinged_s = loop.time()
        unpinged = 0
        try:
            while True:
                while self._unwritten < self._first_kept + len(self._kept):
                    wire = self._kept[self._unwritten - self._first_kept]
                    self._unwritten += 1
                    await connection.send(wire)
                    written_s = loop.time()
                    unpinged += len(wire) + _MESSAGE_COST
                    if self._resume_s == 0:  # it will never be sent again
                        self._acknowledged(self._unwritten)
                    elif unpinged >= self._keep_bytes / 4:
                        break
                if unpinged >= self._keep_bytes / 4 or loop.time() >= pinged_s + _PING_S:
                    await self._ping(connection)
                    unpinged, pinged_s = 0, loop.time()
                if loop.time() >= written_s + _KEEP_ALIVE_S and not self._said_close:
                    self._keep(control_to_json(KeepAlive()))
                elif self._unwritten == self._first_kept + len(self._kept):
                    self._due.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pinged_s + _PING_S - loop.time()):
                            await self._due.wait()
        except ConnectionClosed:
            self._taken.set()  # the reader may be waiting for its own reader

    async def _ping(self, connection: HeardConnection) -> None:
        written = self._unwritten
        pong = asyncio.ensure_future(await connection.ping())

        def arrived(pong: asyncio.Future[float]) -> None:
            if not pong.cancelled() and pong.exception() is None:
                self._acknowledged(written)

        pong.add_done_callback(arrived)
