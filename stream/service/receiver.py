"""What a connection needs: a server, a conversation, and a dialect if the client speaks one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from websockets.http11 import Request

if TYPE_CHECKING:
    from .connection import Connection


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


class Dialect(Protocol):
    """Translates the messages of a client that speaks another protocol than PROTOCOL.md.

    Attributes:
        audio_in_text: whether the client sends its audio in text messages.
    """

    audio_in_text: bool

    def incoming(self, message: str | bytes) -> list[str | bytes]:
        """Return our messages for one of the client.

        Raises:
            ProtocolError: the session ends with this error.
        """
        ...

    def outgoing(self, wire: str | bytes) -> list[str | bytes]:
        """Return the client's messages for one of ours."""
        ...


class Application(Protocol):
    """What a connection needs to have its request answered: the server."""

    def on_connect(self, connection: Connection) -> bool:
        """Handle a new client; return False to drop the connection."""
        ...

    def on_request(self, connection: Connection, request: Request) -> None:
        """Answer the request with `Connection.respond` or `Connection.accept`, now or later."""
        ...

    def on_unreadable(self, connection: Connection, method: str, error: Exception) -> None:
        """Handle bytes that are no request, or a request with a body.

        Args:
            connection: sent the bytes, and closes. If the error is an `InvalidMessage`, it has sent
                no answer yet; `answer_unreadable` sends one.
            method: what stands in the place of the method, at most 16 characters.
            error: why the request cannot be read. Its text may quote the request.
        """
        ...

    def on_accept(self, connection: Connection) -> None:
        """Handle the completed websocket handshake."""
        ...

    def on_close(self, connection: Connection) -> None:
        """Handle the end of the connection."""
        ...
