"""Numbered messages to one client, kept until the client has confirmed them.

If a connection breaks, the messages can be sent again over the next one. Numbers start at 1 and
follow the order of `put`.

The outbox never refuses a message. When more than `max_kept` messages are unconfirmed, the oldest
ones that are not essential (frames, latents) are discarded. Essential messages (events, warnings,
the end) are never discarded. When they alone are too many (`is_overfull`), the session must end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec

from ..errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Kept:
    """One message: its number, its content, and whether it must arrive."""

    number: int
    wire: str | bytes
    essential: bool


class PackedOutbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an outbox holds, as plain values.

    Attributes:
        last: number of the newest message.
        acknowledged: number of the last message that the client has confirmed.
        kept: number, content (str or bytes) and `essential` of every kept message, in order.
    """

    last: int
    acknowledged: int
    kept: list[tuple[int, Any, bool]]

    def __post_init__(self) -> None:
        numbers = [0, *(number for number, _, _ in self.kept)]
        if numbers != sorted(set(numbers)) or not (
            0 <= self.acknowledged <= numbers[-1] == self.last
            if self.kept
            else self.acknowledged == self.last >= 0
        ):
            raise ValueError("expected messages in the order of their numbers, up to `last`")
        for _, wire, _ in self.kept:
            if not isinstance(wire, str | bytes):
                raise ValueError(f"expected text or bytes, got {type(wire).__name__}")


class Outbox:
    """Keeps every message until the client has acknowledged it.

    Args:
        max_kept: number of kept messages above which the oldest frames are discarded.
    Attributes:
        last: number of the newest message.
        sent: number of the last message that the present connection has taken.
        acknowledged: number of the last message that the client has confirmed.
    """

    def __init__(self, max_kept: int) -> None:
        self.last = 0
        self.sent = 0
        self.acknowledged = 0
        self._max_kept = max_kept
        self._discard_above = max_kept
        self._kept: deque[Kept] = deque()

    def pack(self) -> PackedOutbox:
        """Return what the outbox holds."""
        kept = [(kept.number, kept.wire, kept.essential) for kept in self._kept]
        return PackedOutbox(self.last, self.acknowledged, kept)

    def restore(self, packed: PackedOutbox) -> None:
        """Replace the messages of this outbox. No message counts as sent but those confirmed."""
        self.last, self.sent = packed.last, packed.acknowledged
        self.acknowledged = packed.acknowledged
        self._kept = deque(Kept(*entry) for entry in packed.kept)

    @property
    def outstanding(self) -> int:
        """Number of kept messages, which the client has not confirmed."""
        return len(self._kept)

    @property
    def is_overfull(self) -> bool:
        """Whether twice as many messages are kept as should be: nothing is left to discard."""
        return len(self._kept) >= 2 * self._max_kept

    @property
    def waiting(self) -> int:
        """Number of messages that the present connection has not taken yet."""
        return self.last - self.sent

    def put(self, wire: str | bytes, *, essential: bool) -> None:
        """Give a message the next number and keep it."""
        self.last += 1
        self._kept.append(Kept(self.last, wire, essential))
        if len(self._kept) > self._discard_above:
            self._discard_older()

    def take_unsent(self, most: int) -> list[str | bytes]:
        """Return the next unsent messages, at most `most`, in order, and count them as sent."""
        unsent: list[Kept] = []
        for kept in reversed(self._kept):
            if kept.number <= self.sent:
                break
            unsent.append(kept)
        taken = unsent[: -most - 1 : -1]
        self.sent = taken[-1].number if len(taken) < len(unsent) else self.last
        return [kept.wire for kept in taken]

    def acknowledge(self, number: int) -> None:
        """Drop the messages up to this number, because the client has them."""
        self.acknowledged = max(self.acknowledged, min(number, self.sent))
        while self._kept and self._kept[0].number <= self.acknowledged:
            self._kept.popleft()

    def check(self, received: int) -> None:
        """Check the number of messages that a client says it has received.

        Raises:
            ProtocolError: bad_setting; the number is larger than the number of messages so far,
                or smaller than what the client has already confirmed.
        """
        if not self.acknowledged <= received <= self.last:
            raise ProtocolError(
                "bad_setting",
                f"received: expected from {self.acknowledged} to {self.last} messages, "
                f"got {received}",
            )

    def rewind(self, received: int) -> int:
        """Prepare for a new connection of a client that has received `received` messages.

        Returns:
            Number of discarded messages that the client has not received. From now on, both sides
            count them as received.
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

    def _discard_older(self) -> None:
        """Discard the messages of the older half that are not essential."""
        half = len(self._kept) // 2
        older = [self._kept.popleft() for _ in range(half)]
        self._kept.extendleft(kept for kept in reversed(older) if kept.essential)
        # The margin spares a search at every `put` when most messages are essential.
        self._discard_above = max(self._max_kept, len(self._kept) + self._max_kept // 4)
