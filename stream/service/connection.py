"""One accepted TCP connection: opening handshake, websocket messages, pings, closing handshake.

The sans-I/O core of `websockets` parses the bytes. This module is the I/O around it. It uses
asyncio callbacks instead of a task and a queue per connection, because a server of live audio
handles tens of thousands of small messages per second.

Messages of the application are written at once. If the client reads too slowly, `writable` turns
False, and the application decides what to hold back. This module knows nothing of conversations.
"""

from __future__ import annotations

import asyncio
import http
import logging
import time
from collections.abc import Iterable
from typing import Any, Protocol

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CONNECTING, OPEN
from websockets.server import ServerProtocol

from .limits import Limits

logger = logging.getLogger(__name__)

_WIRE_LOGGER = logging.getLogger("websockets.server")
_SLICE_BYTES = 2048
_TURN_S = 0.001  # longest turn for one client's bytes; then it is the turn of the others
_METHOD_BYTES = 16  # longer than any method
_REST = 3.0  # pause after a turn, as a multiple of the turn's duration
_BROKEN_CODES = {1006, 1011, 1012, 1013}  # close codes for "something failed", not "I am done"


class Receiver(Protocol):
    """What a connection reports to its conversation. All calls come in order, in the event loop."""

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
    """Translates the messages of a client that speaks another protocol than PROTOCOL.md."""

    def incoming(self, message: str | bytes) -> list[str | bytes]:
        """Return our messages for one of the client."""
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


class Connection(asyncio.Protocol):
    """The connection of one client; created by the listener's protocol factory.

    Args:
        application: answers the request.
        limits: sizes and time limits.
    Attributes:
        remote: address and port of the client.
        writable: whether the client reads what is sent. If not, further messages pile up here.
    """

    def __init__(self, application: Application, limits: Limits) -> None:
        self.remote = ""
        self.writable = True
        self._application = application
        self._limits = limits
        self._protocol = ServerProtocol(max_size=4 * limits.max_message_bytes, logger=_WIRE_LOGGER)
        self._transport: asyncio.Transport
        self._receiver: Receiver | None = None
        self._dialect: Dialect | None = None
        self._fragments = bytearray()  # of an incomplete message
        self._opcode: Opcode | None = None  # of that message
        self._broke_rules = self._asked = self._output_ended = False
        self._start = b""  # of the request, up to the method
        self._lingers = False
        self._unread = b""  # bytes that wait for the next turn
        self._timer: asyncio.TimerHandle | None = None
        self._reading = True
        self._gone = False

    # ---- for the application ----

    def respond(self, response: Response) -> None:
        """Send an HTTP response; unless it accepts a websocket, the connection then closes."""
        if not self._gone and not self._output_ended:
            if self._method == "HEAD":
                response.body = b""
            self._protocol.send_response(response)
            self._flush()

    def answer_unreadable(self, response: Response) -> None:
        """Send a response from within `on_unreadable`. The client's body is read and discarded."""
        self._lingers = True  # closing with unread bytes would take the response from the client
        self._transport.write(response.serialize())

    @property
    def _method(self) -> str:
        return self._start.partition(b" ")[0].decode("latin-1")

    def plain(self, status: http.HTTPStatus, text: str) -> Response:
        """Return a response with a plain text; its headers may be changed before it is sent."""
        return self._protocol.reject(status, text)

    def accept(self, request: Request) -> bool:
        """Complete the websocket handshake.

        Returns:
            False if the client has gone, or if the request is invalid; an invalid request has then
            been answered with an error.
        """
        if self._gone:
            return False
        response = self._protocol.accept(request)
        self.respond(response)
        if response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS:
            return False
        self._stop_timer()
        self._application.on_accept(self)
        return True

    def listen(self, receiver: Receiver, dialect: Dialect | None = None) -> None:
        """Report all further messages and events to this receiver.

        Args:
            receiver: gets the messages.
            dialect: translates the messages in both directions; None if that is not needed.
        """
        self._receiver, self._dialect = receiver, dialect

    def send(self, wires: Iterable[str | bytes]) -> None:
        """Send messages in one write. Send nothing once the connection is closing."""
        if self._protocol.state is OPEN and not self._transport.is_closing():
            if self._dialect is not None:
                wires = [told for wire in wires for told in self._dialect.outgoing(wire)]
            self._transport.write(b"".join([_framed(wire) for wire in wires]))

    def ping(self, payload: bytes) -> None:
        """Send a ping. The client answers after it has received everything sent before."""
        if self._protocol.state is OPEN:
            self._protocol.send_ping(payload)
            self._flush()

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake. Drop the connection if the client answers too late."""
        if self._protocol.state is OPEN and not self._gone:
            self._protocol.send_close(code, reason.encode()[:123].decode(errors="ignore"))
            self._flush()
            self.resume_reading()  # the client's answer comes after everything it has sent before
            self._start_timer(self._limits.close_timeout_s)

    def hang_up(self, code: int, reason: str) -> None:
        """Close, and report nothing more to the receiver."""
        self._receiver = None
        self.close(code, reason)

    def abort(self) -> None:
        """Drop the connection without a closing handshake."""
        if not self._gone:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Stop reading from the client, so that it must wait before it sends more."""
        if self._reading and not self._gone:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Resume after `pause_reading`."""
        if not self._reading and not self._gone:
            self._reading = True
            if not self._unread:
                self._transport.resume_reading()

    @property
    def reading(self) -> bool:
        """Whether the client's messages, including its pongs, are being read."""
        return self._reading

    # ---- for asyncio ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self.remote = ":".join(
            str(part) for part in (transport.get_extra_info("peername") or ("unknown",))[:2]
        )
        if self._application.on_connect(self):
            self._start_timer(self._limits.open_timeout_s)
        else:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Process the bytes in slices, until they are used up or the turn is over (`_TURN_S`).

        The limit keeps a flood of tiny messages from delaying other clients.
        """
        began_s = time.monotonic()
        self._unread = data
        while self._unread and not (self._gone or self._output_ended):
            # Read the request line by line, because other data may follow it.
            size = (
                _SLICE_BYTES
                if self._asked
                else (self._unread.find(b"\n", 0, _SLICE_BYTES) + 1 or _SLICE_BYTES)
            )
            part, self._unread = self._unread[:size], self._unread[size:]
            if not self._asked and len(self._start) < _METHOD_BYTES:
                self._start = (self._start + part)[:_METHOD_BYTES]
            self._protocol.receive_data(part)
            events: list[Any] = self._protocol.events_received()
            for event in events:
                if isinstance(event, Frame):
                    self._on_frame(event)
                elif not self._asked:  # one request per connection
                    self._asked = True
                    self._application.on_request(self, event)
            if not self._asked and (error := self._protocol.handshake_exc) is not None:
                self._asked = True
                self._application.on_unreadable(self, self._method, error)
            self._flush()
            used_s = time.monotonic() - began_s
            if self._unread and used_s > _TURN_S:
                self._transport.pause_reading()
                asyncio.get_running_loop().call_later(_REST * used_s, self._take_turn)
                return

    def _take_turn(self) -> None:
        """Process the bytes that were left."""
        if self._gone:
            return
        data, self._unread = self._unread, b""
        self.data_received(data)
        if not self._unread and self._reading:
            self._transport.resume_reading()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._stop_timer()
        self._application.on_close(self)
        if self._receiver is not None:
            self._receiver.on_disconnect(self._is_lost())
            self._receiver = None

    def _is_lost(self) -> bool:
        """Whether the connection broke, or the client closed it because something failed."""
        if self._broke_rules or (
            self._protocol.parser_exc is not None
            and not isinstance(self._protocol.parser_exc, EOFError)
        ):
            return False
        received = self._protocol.close_rcvd
        return received is None or (
            bool(self._protocol.close_rcvd_then_sent) and received.code in _BROKEN_CODES
        )

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        if self._receiver is not None:
            self._receiver.on_writable()

    # ---- frames ----

    def _on_frame(self, frame: Frame) -> None:
        if self._receiver is None:
            if self._protocol.state is CONNECTING:  # a frame before the handshake is complete
                self.abort()
            return
        if frame.opcode is Opcode.PONG:
            self._receiver.on_pong(bytes(frame.data))
        elif (
            frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
            and self._protocol.state is OPEN
        ):
            self._on_data(frame)

    def _on_data(self, frame: Frame) -> None:
        assert self._receiver is not None
        opcode, payload = frame.opcode, bytes(frame.data)
        if self._opcode is not None or not frame.fin:
            self._opcode = self._opcode or opcode
            self._fragments += payload
            if not frame.fin:
                return
            opcode, payload = self._opcode, bytes(self._fragments)
            self._opcode, self._fragments = None, bytearray()
        if opcode is Opcode.BINARY:
            self._deliver(payload)
            return
        try:
            text = payload.decode()
        except UnicodeDecodeError as error:
            self._broke_rules = True
            self._protocol.fail(
                1007, f"expected text in UTF-8: {error.reason} at byte {error.start}"
            )
            return
        self._deliver(text)

    def _deliver(self, message: str | bytes) -> None:
        for told in [message] if self._dialect is None else self._dialect.incoming(message):
            if self._receiver is not None:
                self._receiver.on_message(told)

    # ---- bytes and time ----

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if self._gone or self._output_ended:
                return
            if data:
                self._transport.write(data)
                # The client pings, but does not read the answers.
                if self._transport.get_write_buffer_size() > 4 * self._limits.max_message_bytes:
                    self.abort()
            else:  # empty bytes mark the end of the output
                self._output_ended = True
                self._start_timer(self._limits.close_timeout_s)
                at_once = self._protocol.state is CONNECTING and not self._lingers
                if at_once or not self._transport.can_write_eof():
                    self._transport.close()
                else:  # then the client or the timer closes
                    self._transport.write_eof()

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _framed(wire: str | bytes) -> bytes:
    """Return a message with its frame header (RFC 6455, section 5.2).

    The header is built by hand, because a general frame object costs more than the rest of a send.
    """
    opcode, payload = (b"\x81", wire.encode()) if isinstance(wire, str) else (b"\x82", wire)
    size = len(payload)
    if size < 126:
        return opcode + bytes((size,)) + payload
    if size < 1 << 16:
        return opcode + b"\x7e" + size.to_bytes(2, "big") + payload
    return opcode + b"\x7f" + size.to_bytes(8, "big") + payload
