"""The interface through which a conversation reports to its owner: the server, or a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .conversation import Conversation


class Watcher(Protocol):
    """What a conversation reports to its owner."""

    def on_end(self, conversation: Conversation) -> None:
        """The conversation has ended, and its owner can forget it."""
        ...

    def on_park(self, conversation: Conversation) -> None:
        """The conversation has lost its client and waits for it."""
        ...

    def on_error(self, conversation: Conversation, code: str) -> None:
        """The conversation is about to end with this error code."""
        ...
