"""Delivers one conversation's messages to its client, over one connection after another.

Every message stays in the outbox until the client has confirmed it. The answer to a websocket ping
confirms everything that was sent before the ping.

PROTOCOL.md ("Who reads slowly") has the rules for a client that reads slowly. This module only
measures; the conversation acts. It knows neither sockets nor the content of the messages.
"""

from __future__ import annotations

from collections.abc import Callable

from .connection import Connection
from .limits import Limits
from .outbox import Outbox

_AT_ONCE = 64  # messages in one write
_PING_EVERY = 64  # unconfirmed messages that cause a ping, so that few must be kept
# A client that sends messages but answers no ping gets this multiple of `ping_timeout_s`. If it
# reads slowly, the ping comes to it after up to `max_outgoing_messages` others.
_PATIENCE = 3


class Delivery:
    """Sends the messages of one conversation.

    Args:
        limits: bounds of the server.
        clock: monotonic clock, in seconds.
    Attributes:
        outbox: the messages that may still be needed.
        connection: the present connection; None while the client is lost.
        close_frame: close code and reason; None until the last message has been added.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.outbox = Outbox(limits.max_kept_messages)
        self.connection: Connection | None = None
        self.close_frame: tuple[int, str] | None = None
        self._limits = limits
        self._clock = clock
        self._ping_every = min(_PING_EVERY, limits.max_outgoing_messages // 2)
        self._pinged: int | None = None  # `Outbox.taken` at the time of the unanswered ping
        # When that ping was sent, and when the client last read something or had nothing to read.
        self._pinged_s = self._taken_s = clock()
        self._ahead_s = 0.0  # when the client was last seen to send faster than real time
        self._dropping = False

    def attach(self, connection: Connection) -> None:
        """Resume over this connection with the messages that the client has not received."""
        self.connection = connection
        self._pinged = None
        self._taken_s = self._clock()
        self.send()

    def put(self, wire: str | bytes, *, essential: bool = True, counted: bool = True) -> None:
        """Add a message; `send` hands it to the connection.

        Args:
            wire: the encoded message.
            essential: False if the message may be discarded when too many wait.
            counted: False if the message depends on the clock, so that it is not counted.
        """
        self.outbox.put(wire, essential=essential, counted=counted)

    def end(self, wire: str, close_code: int, reason: str) -> None:
        """Send the last message, then close the connection."""
        self.put(wire)
        self.close_frame = (close_code, reason)
        self.send()

    def send(self) -> None:
        """Hand messages to the connection until it takes no more."""
        connection, outbox = self.connection, self.outbox
        if connection is None:
            return
        while connection.writable and outbox.waiting:
            connection.send(outbox.take_unsent(_AT_ONCE))
        if self._pinged is None and outbox.outstanding >= self._ping_every:
            self._ping(connection)
        if self.close_frame is not None and not outbox.waiting:
            connection.close(*self.close_frame)

    def _ping(self, connection: Connection) -> None:
        self._pinged, self._pinged_s = self.outbox.taken, self._clock()
        connection.ping(str(self._pinged).encode())

    def on_pong(self, payload: bytes) -> None:
        """Confirm the messages that were sent before the ping that this pong answers."""
        if self._pinged is not None and payload == str(self._pinged).encode():
            self.outbox.acknowledge(self._pinged)
            self._pinged, self._taken_s = None, self._clock()

    def on_writable(self) -> None:
        """Send more, because the client has read what waited in the connection."""
        self._taken_s = self._clock()
        self.send()

    @property
    def has_ended(self) -> bool:
        """Whether the last message has been added."""
        return self.close_frame is not None

    @property
    def is_full(self) -> bool:
        """Whether so many messages wait for the connection that none should be added."""
        return self.outbox.waiting >= self._limits.max_outgoing_messages

    @property
    def has_room(self) -> bool:
        """Whether so few messages wait that more may be added again."""
        return self.outbox.waiting <= self._limits.max_outgoing_messages // 2

    def must_drop_frames(self, ahead: bool) -> bool:
        """Return whether frame messages must be left out now.

        They must if the client reads too slowly and sends live audio.

        Args:
            ahead: whether the client sends faster than real time. The server can make such a
                client wait instead.
        """
        outstanding, limit = self.outbox.outstanding, self._limits.max_outgoing_messages
        self._dropping = not ahead and outstanding > (limit // 2 if self._dropping else limit - 1)
        return self._dropping

    def check(self, now_s: float, ahead: bool) -> bool:
        """Ping the client when it is time, and check that it reads.

        Args:
            now_s: time by the clock.
            ahead: whether the client sends faster than real time.
        Returns:
            False if the client has read nothing for `slow_reader_timeout_s` while many messages
            wait.
        """
        connection = self.connection
        assert connection is not None
        if ahead:
            self._ahead_s = now_s
        crowded = self.outbox.outstanding >= self._limits.max_outgoing_messages or (
            self.close_frame is not None and self.outbox.waiting > 0
        )
        # If the client is ahead, its answer to a ping may come after audio that is not read yet.
        if not crowded or (connection.writable and ahead):
            self._taken_s = now_s
        if self._pinged is None and now_s - self._pinged_s > self._limits.ping_interval_s:
            self._ping(connection)
        return now_s - self._taken_s <= self._limits.slow_reader_timeout_s

    def is_silent(self, now_s: float, received_s: float) -> bool:
        """Return whether the client leaves a ping unanswered for too long.

        That is `ping_timeout_s` if nothing else comes from the client, and `_PATIENCE` times that
        if it sends other messages. While the client sends faster than real time, only the first
        rule holds: the answer may come after audio that the server does not read yet.

        Args:
            now_s: time by the clock.
            received_s: when the last message of the client arrived.
        """
        if self._pinged is None:
            return False
        timeout_s = self._limits.ping_timeout_s
        return (
            now_s - max(self._pinged_s, received_s) > timeout_s
            or now_s - max(self._pinged_s, self._ahead_s) > _PATIENCE * timeout_s
        )
