"""A conversation as bytes, to move it from one worker process to another.

The bytes are MessagePack. Every value is checked against the types below before it is used, and
reading never runs code.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ..errors import SnapshotError
from ..settings import StreamSettings
from .outbox import PackedOutbox

_Count = Annotated[int, msgspec.Meta(ge=0)]


class PackedConversation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a conversation needs in order to resume in another process.

    Attributes:
        id: name of the session.
        settings: the present settings.
        session: bytes of `Session.snapshot`.
        received: number of messages received from the client.
        frames: number of predictions made.
        samples: samples per channel received.
        inbox: messages of the client that are not processed yet, each str or bytes.
        outbox: messages that the client has not confirmed.
        close_frame: close code and reason, if the conversation has sent its last message.
    """

    id: str
    settings: StreamSettings
    session: bytes
    received: _Count
    frames: _Count
    samples: _Count
    inbox: list[Any]
    outbox: PackedOutbox
    close_frame: tuple[int, str] | None

    def __post_init__(self) -> None:
        for message in self.inbox:
            if not isinstance(message, str | bytes):
                raise ValueError(f"expected text or bytes, got {type(message).__name__}")

    def to_bytes(self) -> bytes:
        """Return the bytes that `from_bytes` reads."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, packed: bytes) -> PackedConversation:
        """Return the conversation in these bytes.

        Raises:
            SnapshotError: the bytes are damaged, or were not made by `to_bytes`.
        """
        try:
            return msgspec.msgpack.decode(packed, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SnapshotError(
                f"expected a packed conversation, got {len(packed)} bytes that are not one: {error}"
            ) from None
