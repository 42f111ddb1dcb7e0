"""What a connection reports to its conversation."""

from __future__ import annotations

from typing import Protocol


class Receiver(Protocol):
    """What a connection reports to its conversation. All calls come in order, in the event loop."""

    @property
    def is_live(self) -> bool:
        """Whether the client sends audio no faster than real time."""
        ...

    def on_misuse(self, code: str, message: str) -> None:
        """End the conversation with this error, because the client broke a limit."""
        ...

    def on_message(self, message: str | bytes) -> None:
        """Handle a complete text or binary message."""
        ...

    def on_pong(self, payload: bytes) -> None:
        """Handle the answer to `Connection.ping`."""
        ...

    def on_writable(self) -> None:
        """Send more: the client has read what waited, and `Connection.writable` is True again."""
        ...

    def on_disconnect(self, lost: bool) -> None:
        """Handle the end of the connection; no call follows.

        Args:
            lost: whether the connection broke, or was closed because something failed.
        """
        ...
