"""What a conversation tells whoever looks after all of them: the server, or a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .conversation import Conversation


class Watcher(Protocol):
    """What a conversation reports."""

    def on_end(self, conversation: Conversation) -> None:
        """It is over and can be forgotten."""
        ...

    def on_park(self, conversation: Conversation) -> None:
        """Its client was lost."""
        ...

    def on_error(self, conversation: Conversation, code: str) -> None:
        """It is about to end with this error."""
        ...
