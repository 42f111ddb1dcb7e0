"""Carries the messages of one session between client and server, across several connections.

Both ends count the messages of a session (PROTOCOL.md, "Lost connections"). The link keeps every
sent message until the server has acknowledged it. For this it sends a websocket ping every 2 s, and
after every quarter of the bytes that it may keep. The pong acknowledges all messages before the
ping. If the server saves its sessions, only `saved` acknowledges messages, because the server may
die.

When a connection breaks, the link connects again, with growing pauses between attempts. Both ends
then report how many messages they have received, and the link sends the missing ones again. So
every message arrives once and in order. The user of the link sees a warning `connection_lost` and a
`ResumedMessage` among the other messages, and nothing else.

This file is long because sending, receiving, acknowledging and resuming change the same counts.

Bounds:
    Sent and not acknowledged, in bytes: `send` waits when it is full.
    Received and not read, in messages: when it is full, the link stops reading, so the server has
    to wait. At the end of a session, these messages are dropped if nobody reads for the time-out.
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
    SavedMessage,
    ServerMessage,
    TerminationMessage,
    WarningMessage,
    control_to_json,
    parse_message,
)
from ..settings import Resume, StreamSettings
from .connection import Endpoint, TimedConnection

logger = logging.getLogger(__name__)

_UNREAD_MESSAGES = 4096  # 80 s of frames
_MESSAGE_COST = 64  # bytes counted for every kept message in addition to its length
_PING_S = 2.0
_KEEP_ALIVE_S = 20.0  # a third of the time after which the server ends an idle session
# The connection counts as broken after this silence: two pings of the server (every 5 s), and 2 s.
_SILENT_S = 12.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 3.0  # between attempts to connect again
_CLOSE_S = 2.0  # limit for the closing handshake
# The session may still exist after these close codes, and after a break without a close code.
_BREAKS = {1011, 1012, 1013}
_CLOSE = control_to_json(Close())


class Link:
    """The messages of one session. Call `open`, then `send` and `receive`, then `close`.

    Args:
        endpoint: the server.
        settings: of the stream.
        timeout_s: how long `send` may wait while there is a connection, in seconds.
        reconnect_s: how long to try to connect again after a connection broke, in seconds; 0 never
            connects again.
        keep_bytes: how many sent bytes may wait for the server's acknowledgement.
    Attributes:
        begin: the server's first message, once open.
        connections: number of connections so far.
        terminated: whether the session has ended without an error.
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
        self._connection: TimedConnection | None = None
        self._running: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self.connections = 0
        self.terminated = False
        # Outgoing. Message n of the session is kept[n - first_kept]. Messages before number
        # `unwritten` were written to the present connection.
        self._kept: deque[str | bytes] = deque()
        self._kept_cost = 0
        self._first_kept = self._unwritten = 0
        self._close_sent = False
        self._due, self._room = asyncio.Event(), asyncio.Event()
        # Incoming: the count of messages, and the messages that wait to be read.
        self._received = 0
        self._unread: deque[ServerMessage] = deque()
        self._arrived, self._taken = asyncio.Event(), asyncio.Event()

    async def open(self) -> None:
        """Connect.

        Raises:
            ServerError: as for `Endpoint.connect`, or the code of the server's `error`, or
                "bad_message" if the first message is not `begin`.
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
        # Also set here: a caller that leaves at once cancels the task before it has begun.
        self._connection = connection
        self._running = asyncio.create_task(self._run(connection))
        self.connections = 1

    async def close(self) -> None:
        """End the connection and the session at once. Every task that waits gets an error."""
        self.fail(
            ServerError("session_ended", "expected an open session, got one whose client was left")
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
                            # Unread messages would block the server's close frame for ever.
                            while True:
                                await self._connection.recv()
            finally:
                await self._connection.abort()

    async def send(self, wire: str | bytes) -> None:
        """Queue a message; it may not have been sent yet when this returns.

        Waits while too many bytes are unacknowledged.

        Raises:
            ServerError: the session has ended or is lost, or the server took nothing for
                `timeout_s`.
        """
        self._check()
        while self._kept and self._kept_cost + len(wire) > self._keep_bytes:
            await self._wait(
                self._room,
                self._timeout_s,
                "the server to take more; read its messages while you send",
            )
            self._check()
        self._close_sent = self._close_sent or wire == _CLOSE
        self._keep(wire)

    async def receive(self, timeout_s: float | None = None) -> ServerMessage:
        """Return the next message.

        Args:
            timeout_s: how long to wait while there is a connection, in seconds; None for ever.
        Raises:
            ServerError: no more message will come, or none came in time.
        """
        while not self._unread:
            self._check()
            await self._wait(self._arrived, timeout_s, "the next message or termination")
        message = self._unread.popleft()
        self._taken.set()
        return message

    async def ended(self, timeout_s: float) -> None:
        """Wait until the last message of the session has arrived. Messages can be received later.

        Args:
            timeout_s: how long to wait for one message while there is a connection, in seconds. If
                the queue of unread messages stays full for this time, nobody reads, and they are
                dropped.
        Raises:
            ServerError: the session ended with an error, or no message came in time.
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
        """Raise this error in every task that waits for the link, now or later.

        After the first call, further errors are ignored.
        """
        self._failure = self._failure or failure
        for event in (self._room, self._arrived):
            event.set()

    @property
    def resuming(self) -> bool:
        """Whether the connection broke and the link is connecting again."""
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
        """Wait for an event. Time without a connection does not count: it has its own limit."""
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

    # ---- the link's own task: read, and connect again ----

    async def _run(self, connection: TimedConnection) -> None:
        """Serve one connection after the other until the session has ended."""
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
                    trying = (
                        f"the connection was lost; trying for {self._resume_s:g} s "
                        "to resume where it broke"
                    )
                    self._deliver(WarningMessage("connection_lost", "warning", trying))
                else:
                    return
                finally:
                    writer.cancel()
                    await asyncio.wait([writer])
                connection = await self._resume()
        except ServerError as error:
            self.fail(error)
        except Exception as error:  # our own bug: nobody may wait for ever because of it
            self.fail(error)
            raise

    async def _read(self, connection: TimedConnection) -> None:
        """Receive messages until the end of the session."""
        while True:
            while len(self._unread) >= _UNREAD_MESSAGES and connection.state is State.OPEN:
                self._taken.clear()
                await self._taken.wait()
            try:
                async with asyncio.timeout(_SILENT_S / 4):
                    wire = await connection.recv()
            except TimeoutError:
                if asyncio.get_running_loop().time() - connection.received_s > _SILENT_S:
                    connection.transport.abort()
                continue
            try:
                message = parse_message(wire)
            except ProtocolError as error:
                raise ServerError(
                    error.code,
                    f"the server sent something else than this version of the protocol: {error}",
                ) from None
            if isinstance(message, SavedMessage):
                self._on_saved(message)
                continue
            # A warning is not counted, and may stand for messages that were left out.
            self._received += message.missed if isinstance(message, WarningMessage) else 1
            self._deliver(message)
            if isinstance(message, ErrorMessage):
                return self.fail(ServerError(message.code, message.message))
            if isinstance(message, TerminationMessage):
                self.terminated = True
                return self.fail(
                    ServerError(
                        "session_ended",
                        f"expected an open session, got one that has ended ({message.reason})",
                    )
                )

    def _deliver(self, message: ServerMessage) -> None:
        """Queue a message for `receive`."""
        self._unread.append(message)
        self._arrived.set()

    async def _resume(self) -> TimedConnection:
        """Connect again, with as many attempts as the time allows; return the connection."""
        loop = asyncio.get_running_loop()
        begin, deadline_s, attempt = self.begin, loop.time() + self._resume_s, 0
        assert begin.resume_token is not None
        while True:
            # The random factor keeps the clients of a server from coming all at once.
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt) * random.uniform(0.5, 1)
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
            kept = (
                f"resumed with {self._first_kept} to {self._first_kept + len(self._kept)} "
                "messages received"
            )
            raise self._session_lost(f"could not be resumed: expected {kept}, got {first}")
        if not begin.saves:
            self._acknowledged(first.received)
        self._unwritten = first.received
        self._deliver(first)
        self.connections += 1
        logger.info(
            "%s: resumed after %d attempts, %d messages are sent again",
            begin.session,
            attempt,
            self._first_kept + len(self._kept) - self._unwritten,
        )
        return connection

    def _session_lost(self, reason: str) -> ServerError:
        return ServerError(
            "session_lost",
            f"the connection to {self._endpoint.shown_url} broke and the session {reason}",
        )

    # ---- outgoing ----

    def _keep(self, wire: str | bytes) -> None:
        self._kept.append(wire)
        self._kept_cost += len(wire) + _MESSAGE_COST
        self._due.set()

    def _acknowledged(self, count: int) -> None:
        """Drop the first `count` messages of the session, which the server has."""
        while self._first_kept < count:
            self._kept_cost -= len(self._kept.popleft()) + _MESSAGE_COST
            self._first_kept += 1
        self._room.set()

    def _on_saved(self, message: SavedMessage) -> None:
        if message.received > self._unwritten:
            raise ServerError(
                "bad_message",
                f"expected saved with at most {self._unwritten} messages, got {message.received}",
            )
        self._acknowledged(message.received)

    async def _write(self, connection: TimedConnection) -> None:
        """Write the kept messages, and ping, as long as the connection lasts."""
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
                    if self._resume_s == 0:  # the message is never sent again
                        self._acknowledged(self._unwritten)
                    elif unpinged >= self._keep_bytes / 4:
                        break
                if unpinged >= self._keep_bytes / 4 or loop.time() >= pinged_s + _PING_S:
                    await self._ping(connection)
                    unpinged, pinged_s = 0, loop.time()
                if loop.time() >= written_s + _KEEP_ALIVE_S and not self._close_sent:
                    self._keep(control_to_json(KeepAlive()))
                elif self._unwritten == self._first_kept + len(self._kept):
                    self._due.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pinged_s + _PING_S - loop.time()):
                            await self._due.wait()
        except ConnectionClosed:
            self._taken.set()  # `_read` may be waiting for room in the queue of unread messages

    async def _ping(self, connection: TimedConnection) -> None:
        written = self._unwritten
        pong = asyncio.ensure_future(await connection.ping())

        def arrived(pong: asyncio.Future[float]) -> None:
            if not self.begin.saves and not pong.cancelled() and pong.exception() is None:
                self._acknowledged(written)

        pong.add_done_callback(arrived)
