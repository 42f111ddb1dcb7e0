"""The messages to one client, numbered, and kept until the client has them, so that a connection may break without losing any.

Messages are numbered from 1 in the order in which they are put. The rule for a full outbox: beyond `max_kept` messages that the client
has not acknowledged, the oldest that may be missed (frames, latents) are given up; what must arrive (events, warnings, the end) never is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Kept:
    """One message: its number, the message, and whether it must arrive."""

    number: int
    wire: str | bytes
    essential: bool


class Outbox:
    """Keeps what was put until it is acknowledged.

    Args:
        max_kept: messages from which on the oldest frames are given up.
    Attributes:
        last: number of the newest message.
        sent: number of the last message that was handed to the present connection.
        acknowledged: number of the last message that the client is known to have.
    """

    def __init__(self, max_kept: int) -> None:
        self.last = 0
        self.sent = 0
        self.acknowledged = 0
        self._max_kept = max_kept
        self._give_up_beyond = max_kept
        self._kept: deque[Kept] = deque()

    @property
    def outstanding(self) -> int:
        """Messages that the client is not known to have."""
        return len(self._kept)

    @property
    def waiting(self) -> int:
        """Messages not yet handed to the connection."""
        return self.last - self.sent

    def put(self, wire: str | bytes, *, essential: bool) -> None:
        """Number a message and keep it."""
        self.last += 1
        self._kept.append(Kept(self.last, wire, essential))
        if len(self._kept) > self._give_up_beyond:
            self._give_up()

    def take_unsent(self, most: int) -> list[str | bytes]:
        """Give messages that the present connection has not got yet, in order, and count them as sent."""
        unsent: list[Kept] = []
        for kept in reversed(self._kept):
            if kept.number <= self.sent:
                break
            unsent.append(kept)
        taken = unsent[: -most - 1 : -1]
        self.sent = taken[-1].number if len(taken) < len(unsent) else self.last
        return [kept.wire for kept in taken]

    def acknowledge(self, number: int) -> None:
        """The client has every message up to this number."""
        self.acknowledged = max(self.acknowledged, min(number, self.sent))
        while self._kept and self._kept[0].number <= self.acknowledged:
            self._kept.popleft()

    def check(self, received: int) -> None:
        """Refuse a count of received messages that cannot be.

        Raises:
            ProtocolError: bad_setting; the client cannot have so many, or it had more already.
        """
        if not self.acknowledged <= received <= self.last:
            raise ProtocolError(
                "bad_setting",
                f"received: expected from {self.acknowledged} to {self.last} messages, got {received}",
            )

    def rewind(self, received: int) -> int:
        """Prepare for a new connection of a client that has got `received` messages.

        Returns:
            How many frames it has missed for good. From here on they count as received, on both sides.
        Raises:
            ProtocolError: see `check`.
        """
        self.check(received)
        self.sent = received
        self.acknowledge(received)
        missed = self.last - received - len(self._kept)
        self.sent += missed
        self._kept = deque(
            Kept(self.sent + n, kept.wire, kept.essential) for n, kept in enumerate(self._kept, 1)
        )
        return missed

    def _give_up(self) -> None:
        """Drop the frames of the older half."""
        half = len(self._kept) // 2
        older = [self._kept.popleft() for _ in range(half)]
        self._kept.extendleft(kept for kept in reversed(older) if kept.essential)
        self._give_up_beyond = max(
            self._max_kept, len(self._kept) + self._max_kept // 4
        )  # not at every message, where much must arrive
