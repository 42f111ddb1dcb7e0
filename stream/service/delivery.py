"""Brings one conversation's messages to its client, over one connection after another. Knows neither sockets nor what the messages say.

What is put waits in the outbox until the client is known to have it: a websocket ping that is answered says that everything sent before it has arrived.
The rules for a client that reads slowly are PROTOCOL.md's ("Who reads slowly"); here they are measured, and the conversation acts on them.
"""

from __future__ import annotations

from collections.abc import Callable

from .connection import Connection
from .limits import Limits
from .outbox import Outbox

_AT_ONCE = 64  # messages in one write
_PING_EVERY = 64  # messages, so that not many have to be kept


class Delivery:
    """The way out of one conversation.

    Args:
        limits: bounds of the server.
        clock: steady, in seconds.
    Attributes:
        outbox: what was put and may still be needed.
        connection: the present one, None while the client is lost.
        last_words: close code and reason, once the last message has been put.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.outbox = Outbox(limits.max_kept_messages)
        self.connection: Connection | None = None
        self.last_words: tuple[int, str] | None = None
        self._limits = limits
        self._clock = clock
        self._ping_every = min(_PING_EVERY, limits.max_outgoing_messages // 2)
        self._pinged: int | None = None  # the message after which the unanswered ping was sent
        self._pinged_s = self._taken_s = (
            clock()
        )  # when that was, and when the client last took something or had nothing to take
        self._thinning = False

    def attach(self, connection: Connection) -> None:
        """Go on over this connection with what it has not got."""
        self.connection = connection
        self._pinged = None
        self._taken_s = self._clock()
        self.send()

    def put(self, wire: str | bytes, *, essential: bool = True) -> None:
        """Add a message; `send` hands it over. One that is not essential may be given up when too many wait."""
        self.outbox.put(wire, essential=essential)

    def end(self, wire: str, close_code: int, reason: str) -> None:
        """Add the last message; the connection is closed after it."""
        self.put(wire)
        self.last_words = (close_code, reason)
        self.send()

    def send(self) -> None:
        """Hand over what the connection takes."""
        connection, outbox = self.connection, self.outbox
        if connection is None:
            return
        while connection.writable and outbox.waiting:
            connection.send(outbox.take_unsent(_AT_ONCE))
        if self._pinged is None and outbox.outstanding >= self._ping_every:
            self._ping(connection)
        if self.last_words is not None and not outbox.waiting:
            connection.close(*self.last_words)

    def _ping(self, connection: Connection) -> None:
        self._pinged, self._pinged_s = self.outbox.sent, self._clock()
        connection.ping(str(self._pinged).encode())

    def on_pong(self, payload: bytes) -> None:
        """The client has everything up to this message."""
        if self._pinged is not None and payload == str(self._pinged).encode():
            self.outbox.acknowledge(self._pinged)
            self._pinged, self._taken_s = None, self._clock()

    def on_writable(self) -> None:
        """The client has taken what waited in the connection."""
        self._taken_s = self._clock()
        self.send()

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the connection that nothing should be added."""
        return self.outbox.waiting >= self._limits.max_outgoing_messages

    @property
    def has_room(self) -> bool:
        """Whether what waited has gone, so that more may be added again."""
        return self.outbox.waiting <= self._limits.max_outgoing_messages // 2

    def thins(self, ahead: bool) -> bool:
        """Whether frames are to be left out now, because a client that cannot be made to wait reads too slowly.

        Args:
            ahead: whether the client sends faster than real time, and so can be made to wait.
        """
        outstanding, limit = self.outbox.outstanding, self._limits.max_outgoing_messages
        self._thinning = not ahead and outstanding > (limit // 2 if self._thinning else limit - 1)
        return self._thinning

    def check(self, now_s: float, ahead: bool) -> bool:
        """Ask for a sign of life now and then.

        Returns:
            Whether the client takes what waits for it, in time.
        """
        connection = self.connection
        assert connection is not None
        crowded = self.outbox.outstanding >= self._limits.max_outgoing_messages or (
            self.last_words is not None and self.outbox.waiting > 0
        )
        if not crowded or (
            connection.writable and ahead
        ):  # the answer to a ping may stand behind audio that is not read yet
            self._taken_s = now_s
        if self._pinged is None and now_s - self._pinged_s > self._limits.ping_interval_s:
            self._ping(connection)
        return now_s - self._taken_s <= self._limits.slow_reader_timeout_s

    def is_silent(self, now_s: float, heard_s: float) -> bool:
        """Whether a ping has gone without an answer for too long, and nothing else was heard since `heard_s` either."""
        return (
            self._pinged is not None
            and now_s - max(self._pinged_s, heard_s) > self._limits.ping_timeout_s
        )
