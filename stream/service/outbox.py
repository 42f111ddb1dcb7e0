"""Numbered messages to one client, kept until the client has confirmed them.

If a connection breaks, the messages can be sent again over the next one. Numbers start at 1 and
follow the order of `put`. A number depends only on what the client has sent, so another process
that repeats the predictions gives every message the same number. Warnings depend on the clock, too.
They are not counted: a warning has the number of the message before it.

The outbox never refuses a message. When more than `max_kept` messages are unconfirmed, the oldest
ones that are not essential (frames, latents) are discarded. Essential messages (events, warnings,
the end) are never discarded. Where messages are missing, the client is told their number.
When essential messages alone are too many (`is_overfull`), the session must end.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from ..errors import ProtocolError
from ..protocol import WarningMessage, message_to_json


class Kept(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One message.

    Attributes:
        number: its number; that of the message before it if it is not counted.
        wire: its content, str or bytes.
        essential: whether it must arrive.
        counted: whether both sides count it.
    """

    number: int
    wire: Any
    essential: bool
    counted: bool

    def __post_init__(self) -> None:
        if not isinstance(self.wire, str | bytes):
            raise ValueError(f"expected text or bytes, got {type(self.wire).__name__}")


class PackedOutbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an outbox holds, as plain values.

    Attributes:
        last: number of the newest counted message.
        acknowledged: number of the last message that the client has confirmed.
        kept: every kept message, in order.
    """

    last: int
    acknowledged: int
    kept: list[Kept]

    def __post_init__(self) -> None:
        numbers = [self.acknowledged, *(kept.number for kept in self.kept), self.last]
        counted = [kept.number for kept in self.kept if kept.counted]
        if numbers != sorted(numbers) or self.acknowledged < 0 or counted != sorted(set(counted)):
            raise ValueError("expected messages in the order of their numbers, up to `last`")


class Outbox:
    """Keeps every message until the client has acknowledged it.

    Args:
        max_kept: number of kept messages above which the oldest frames are discarded.
    Attributes:
        last: number of the newest counted message.
        acknowledged: number of the last message that the client has confirmed.
        taken: how many messages, counted or not, were put before and with the last one that the
            present connection has taken.
    """

    def __init__(self, max_kept: int) -> None:
        self.last = 0
        self.acknowledged = 0
        self.taken = 0
        self._max_kept = max_kept
        self._discard_above = max_kept
        self._restored = False
        self._client_has = 0  # messages that the client has counted after those taken so far
        self._put = 0
        # Pairs: the value of `_put` for the message, and the message.
        self._taken: deque[tuple[int, Kept]] = deque()
        self._waiting: deque[tuple[int, Kept]] = deque()

    def pack(self) -> PackedOutbox:
        """Return what the outbox holds."""
        kept = [kept for _, kept in (*self._taken, *self._waiting)]
        first = kept[0].number if kept else self.last
        return PackedOutbox(self.last, min(self.acknowledged, first), kept)

    def restore(self, packed: PackedOutbox, received: int) -> None:
        """Replace the messages of this outbox by those of another process.

        Args:
            packed: what the other outbox held at some time.
            received: messages that the client has received. If these are more than the other
                outbox had put, the next ones are not kept, because the client has them.
        """
        self._restored = True
        self.last = packed.last
        self.acknowledged = received if received > packed.last else packed.acknowledged
        self._client_has = self.acknowledged
        self._waiting = deque(enumerate(packed.kept, 1))
        self._put = len(packed.kept)

    @property
    def outstanding(self) -> int:
        """Number of kept messages, which the client has not confirmed."""
        return len(self._taken) + len(self._waiting)

    @property
    def is_overfull(self) -> bool:
        """Whether twice as many messages are kept as should be: nothing is left to discard."""
        return self.outstanding >= 2 * self._max_kept

    @property
    def waiting(self) -> int:
        """Number of kept messages that the present connection has not taken yet."""
        return len(self._waiting)

    def put(self, wire: str | bytes, *, essential: bool, counted: bool = True) -> None:
        """Keep a message; give it the next number if it is counted."""
        self.last += counted
        if counted and self.last <= self.acknowledged:
            return
        self._put += 1
        self._waiting.append((self._put, Kept(self.last, wire, essential, counted)))
        if self.outstanding > self._discard_above:
            self._discard_older()

    def leave_out(self, messages: int) -> None:
        """Count messages that are not kept, because the client reads too slowly."""
        self.last += messages

    def take_unsent(self, most: int) -> list[str | bytes]:
        """Return the next unsent messages, at most `most`, in order, and count them as sent.

        Before a message that follows missing ones, there is a warning with their number.
        """
        wires: list[str | bytes] = []
        for _ in range(min(most, len(self._waiting))):
            self.taken, kept = entry = self._waiting.popleft()
            self._taken.append(entry)
            missed = kept.number - kept.counted - self._client_has
            if missed > 0:
                wires.append(_thinned(missed))
            wires.append(kept.wire)
            self._client_has = max(self._client_has, kept.number)
        return wires

    def acknowledge(self, taken: int) -> None:
        """Drop the messages up to a former value of `taken`, because the client has them."""
        while self._taken and self._taken[0][0] <= taken:
            self.acknowledged = max(self.acknowledged, self._taken.popleft()[1].number)

    def check(self, received: int) -> None:
        """Check the number of messages that a client says it has received.

        Raises:
            ProtocolError: bad_setting; the number is smaller than what the client has already
                confirmed, or larger than the number of messages so far. After `restore` it may be
                larger: another process may have sent more.
        """
        least, most = self.acknowledged, max(self.last, self.acknowledged)
        if received < least or (received > most and not self._restored):
            raise ProtocolError(
                "bad_setting", f"received: expected from {least} to {most} messages, got {received}"
            )

    def rewind(self, received: int) -> None:
        """Prepare for a new connection of a client that has received `received` messages.

        A warning after the last received message is sent again: the client may have it or not.

        Raises:
            ProtocolError: see `check`.
        """
        self.check(received)
        self.acknowledged = self._client_has = received
        self._waiting = deque(
            (put, kept)
            for put, kept in (*self._taken, *self._waiting)
            if kept.number >= received + kept.counted
        )
        self._taken.clear()
        self.taken = self._waiting[0][0] - 1 if self._waiting else self._put

    def _discard_older(self) -> None:
        """Discard the messages of the older half that are not essential."""
        older = self.outstanding // 2
        for entries in (self._taken, self._waiting):
            half = [entries.popleft() for _ in range(min(older, len(entries)))]
            older -= len(half)
            entries.extendleft(entry for entry in reversed(half) if entry[1].essential)
        # The margin spares a search at every `put` when most messages are essential.
        self._discard_above = max(self._max_kept, self.outstanding + self._max_kept // 4)


def _thinned(missed: int) -> str:
    message = f"{missed} messages were left out, because too many waited for you; events never are"
    return message_to_json(WarningMessage("thinned", "warning", message, missed))
