"""One accepted TCP connection: opening handshake, websocket messages, pings, closing handshake.

The sans-I/O core of `websockets` parses the bytes. This module is the I/O around it. It uses
asyncio callbacks instead of a task and a queue per connection, because a server of live audio
handles tens of thousands of small messages per second.

Messages of the application are written at once. If the client reads too slowly, `writable` turns
False, and the application decides what to hold back. This module knows nothing of conversations.

Live audio is processed when it arrives. All other bytes wait for their turn (`turns.py`), and
meanwhile the server reads no more from this client. A client that sends too many small messages,
or a message that is too big, is reported to its conversation, which ends.

The memory of a connection is bounded: what it has not processed (one read of the socket, 256 KB),
one unfinished message (`max_message_bytes`), and one pong that the client does not read. A large
HTTP response is written in pieces, as the client reads them.

This file is long because every part of it changes the same state: what has come, and what may be
sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

from websockets.exceptions import PayloadTooBig
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CONNECTING, OPEN
from websockets.server import ServerProtocol

from ..errors import ProtocolError
from .framing import UnfinishedMessage, close_reason, framed
from .limits import Limits
from .receiver import Application, Dialect, Receiver
from .small_messages import SmallMessages
from .turns import Turns

logger = logging.getLogger(__name__)

_WIRE_LOGGER = logging.getLogger("websockets.server")
_SLICE_BYTES = 2048
_PIECE_BYTES = 1 << 16  # of a large response; each has `close_timeout_s`
_METHOD_BYTES = 16  # longer than any method
_NOISY_SLICE_BYTES = 256  # of a client that sends small messages
_TEXT_SLICE_BYTES = 512  # of a client whose texts are audio: some 20 ms, or a gap of any length
_PONG_START, _CLOSE_START = b"\x8a", b"\x88"
_BROKEN_CODES = {1006, 1011, 1012, 1013}  # close codes for "something failed", not "I am done"


class Connection(asyncio.Protocol):
    """The connection of one client; created by the listener's protocol factory.

    It begins with `connection_made`, or with `secure`, which calls it later.

    Args:
        application: answers the request.
        limits: sizes and time limits.
        turns: gives turns to everything but live audio.
    Attributes:
        remote: address and port of the client.
        host: address of the client.
        writable: whether the client reads what is sent. If not, further messages pile up here.
    """

    def __init__(self, application: Application, limits: Limits, turns: Turns) -> None:
        self.remote = self.host = "unknown"
        self.writable = True
        self._application = application
        self._limits = limits
        self._turns = turns
        self._securing: asyncio.Task[Any] | None = None  # the TLS handshake
        self._protocol = ServerProtocol(max_size=limits.max_message_bytes, logger=_WIRE_LOGGER)
        self._transport: asyncio.Transport
        self._receiver: Receiver | None = None
        self._dialect: Dialect | None = None
        self._message = UnfinishedMessage()
        self._unfinished_s: float | None = None  # since when a message is incomplete
        self._broke_rules = self._asked = self._output_ended = False
        self._start = b""  # of the request, up to the method
        self._lingers = False
        self._last_words = False  # the parser has closed, but one more message may go before that
        self._last_close = b""  # replaces the parser's close frame
        self._small = SmallMessages(limits.max_messages_per_s)
        self._unread, self._read = b"", 0  # bytes that came, and how many of them are processed
        self._has_turn = False  # it waits for its turn
        self._late_pong = b""
        self._rest = memoryview(b"")  # of a large response
        self._timer: asyncio.TimerHandle | None = None
        self._reading = True
        self._gone = False

    # ---- for the application ----

    def respond(self, response: Response) -> None:
        """Send an HTTP response; unless it accepts a websocket, the connection then closes."""
        if not self._gone and not self._output_ended:
            if self._method == "HEAD":
                response.body = b""
            self._rest = memoryview(response.body)[_PIECE_BYTES:]
            response.body = response.body[:_PIECE_BYTES]
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

    @property
    def is_answered(self) -> bool:
        """Whether the last bytes to the client were handed to the system; it then closes."""
        return self._output_ended

    def listen(self, receiver: Receiver, dialect: Dialect | None = None) -> None:
        """Report all further messages and events to this receiver.

        Args:
            receiver: gets the messages.
            dialect: translates the messages in both directions; None if that is not needed.
        """
        self._receiver, self._dialect = receiver, dialect
        self._small.audio_in_text = dialect is not None and dialect.audio_in_text

    def send(self, wires: Iterable[str | bytes]) -> None:
        """Send messages in one write. Send nothing once the connection is closing."""
        if (self._protocol.state is OPEN or self._last_words) and not self._transport.is_closing():
            if self._dialect is not None:
                wires = [told for wire in wires for told in self._dialect.outgoing(wire)]
            self._transport.write(b"".join([framed(wire) for wire in wires]))

    def ping(self, payload: bytes) -> None:
        """Send a ping. The client answers after it has received everything sent before."""
        if self._protocol.state is OPEN:
            self._protocol.send_ping(payload)
            self._flush()

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake. Drop the connection if the client answers too late."""
        if self._last_words:
            frame = Frame(Opcode.CLOSE, Close(code, close_reason(reason)).serialize())
            self._last_close = frame.serialize(mask=False)
        elif self._protocol.state is OPEN and not self._gone:
            self._protocol.send_close(code, close_reason(reason))
            self._flush()
            self.resume_reading()  # the client's answer comes after everything it has sent before
            self._start_timer(self._limits.close_timeout_s)

    def hang_up(self, code: int, reason: str) -> None:
        """Close, and report nothing more to the receiver."""
        self._receiver = None
        self.close(code, reason)

    def abort(self) -> None:
        """Drop the connection without a closing handshake."""
        if self._securing is not None:
            self._securing.cancel()
        elif not self._gone:
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
            if self._unfinished_s is not None:  # the server made the client wait
                self._unfinished_s = time.monotonic()
            asyncio.get_running_loop().call_soon(self._continue)

    @property
    def unfinished_since_s(self) -> float | None:
        """Since when a message of the client is incomplete, by the monotonic clock; None if none.

        Time in which the server does not read does not count.
        """
        return self._unfinished_s

    @property
    def reading(self) -> bool:
        """Whether the client's messages, including its pongs, are being read."""
        return self._reading

    # ---- for asyncio ----

    def secure(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        """Do the TLS handshake over an accepted socket; the connection counts from now on."""
        with contextlib.suppress(OSError):  # the client has gone already
            self._note_peer(sock.getpeername())
        if not self._application.on_connect(self):
            sock.close()
            return
        self._start_timer(self._limits.open_timeout_s)
        self._securing = asyncio.create_task(
            asyncio.get_running_loop().connect_accepted_socket(
                lambda: self,
                sock,
                ssl=context,
                ssl_handshake_timeout=self._limits.open_timeout_s,
            )
        )
        self._securing.add_done_callback(lambda task: self._end_handshake(task, sock))

    def _end_handshake(self, task: asyncio.Task[Any], sock: socket.socket) -> None:
        self._securing = None
        if task.cancelled() or task.exception() is not None:  # no TLS, too late, or `abort`
            sock.close()
            if not self._gone:
                self.connection_lost(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        if self._securing is not None:  # it has been counted already
            self._securing = None
            return
        self._note_peer(transport.get_extra_info("peername") or ("unknown",))
        if self._application.on_connect(self):
            self._start_timer(self._limits.open_timeout_s)
        else:
            self.abort()

    def _note_peer(self, peer: tuple[object, ...]) -> None:
        self.host, self.remote = str(peer[0]), ":".join(str(part) for part in peer[:2])

    def data_received(self, data: bytes) -> None:
        """Process live audio now; let everything else wait for its turn."""
        if self._output_ended:  # nobody would answer
            return
        if self._unread:  # it came although reading has been paused
            self._unread, self._read = self._unread[self._read :] + data, 0
            return
        self._unread = data
        self._process_or_wait()

    def _process_or_wait(self) -> None:
        receiver = self._receiver
        if receiver is not None and receiver.is_live and self._small.is_calm():
            began_s = time.monotonic()
            while self._process_slice() and not self._small.is_noisy and receiver.is_live:
                pass  # more audio than one slice, because the network let it go at once
            self._turns.live_s += time.monotonic() - began_s
        if self._unread and self._reading:
            self._wait_for_turn()

    def _continue(self) -> None:
        """Process what is left, then read on; called after `resume_reading`."""
        if not self._has_turn:
            self._process_or_wait()
            self._read_on()

    def _read_on(self) -> None:
        if self._reading and not (self._gone or self._unread):
            self._transport.resume_reading()

    def _wait_for_turn(self) -> None:
        if not self._has_turn:
            self._has_turn = True
            self._transport.pause_reading()
            self._turns.enqueue(self._take_turn)

    def _take_turn(self) -> bool:
        """Process one slice; return whether more is left that may be processed."""
        try:
            if self._process_slice():
                return True
        except Exception:  # a bug; it must not stop the turns of all others
            logger.exception("a connection failed", extra={"remote": self.remote})
            self.abort()
        self._has_turn = False
        self._read_on()
        return False

    def _process_slice(self) -> bool:
        """Process the next bytes; return whether more are left that may be processed."""
        if self._gone or self._output_ended:
            self._unread = b""
        if not (self._unread and self._reading):
            return False
        start, size = self._read, _TEXT_SLICE_BYTES if self._small.audio_in_text else _SLICE_BYTES
        if self._small.is_noisy:
            size = _NOISY_SLICE_BYTES
        if not self._asked:  # read the request line by line, because other data may follow it
            line_end = self._unread.find(b"\n", start, start + size) + 1
            size = line_end - start if line_end else size
        self._read = start + size
        part = self._unread[start : self._read]
        if self._read >= len(self._unread):
            self._unread, self._read = b"", 0
        self._process_bytes(part)
        return bool(self._unread) and self._reading

    def _process_bytes(self, part: bytes) -> None:
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
        if events and self._message.is_empty:
            self._unfinished_s = None
        elif self._unfinished_s is None:
            self._unfinished_s = time.monotonic()
        if isinstance(self._protocol.parser_exc, PayloadTooBig) and not self._broke_rules:
            self._broke_rules = True
            self._report_too_big(self._protocol.parser_exc)
        self._flush()

    def _report_too_big(self, error: PayloadTooBig) -> None:
        """Let the conversation send its error before the close that the parser has prepared."""
        if self._receiver is None:
            return
        self._last_words = True
        self._receiver.on_misuse(
            "message_too_big",
            f"expected a message of at most {self._limits.max_message_bytes} bytes, "
            f"got {(error.size or 0) + (error.current_size or 0)}",
        )
        self._last_words = False

    def eof_received(self) -> None:
        # TLS reports the end before the last bytes had their turn.
        while self._process_slice() and not self._small.is_noisy:
            pass
        if self._unread:
            return
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
        if self._late_pong:
            self._transport.write(self._late_pong)
            self._late_pong = b""
        if self._rest:
            self._end_output()
        if self._receiver is not None:
            self._receiver.on_writable()

    # ---- frames ----

    def _on_frame(self, frame: Frame) -> None:
        if self._receiver is None:
            if self._protocol.state is CONNECTING:  # a frame before the handshake is complete
                self.abort()
            return
        if self._small.count(frame) and self._protocol.state is OPEN:
            self._refuse_flood()
        if frame.opcode is Opcode.PONG:
            self._receiver.on_pong(bytes(frame.data))
        elif (
            frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
            and self._protocol.state is OPEN
        ):
            self._on_data(frame)

    def _refuse_flood(self) -> None:
        assert self._receiver is not None
        self._receiver.on_misuse("too_many_messages", self._small.complaint)
        # Read no more, so that the client gets the error although it goes on sending.
        self._broke_rules = True
        self._protocol.fail(1008, "too_many_messages")

    def _on_data(self, frame: Frame) -> None:
        try:
            message = self._message.add(frame)
        except UnicodeDecodeError as error:
            self._broke_rules = True
            self._protocol.fail(
                1007, f"expected text in UTF-8: {error.reason} at byte {error.start}"
            )
            return
        if message is not None:
            self._deliver(message)

    def _deliver(self, message: str | bytes) -> None:
        try:
            messages = [message] if self._dialect is None else self._dialect.incoming(message)
        except ProtocolError as error:
            if self._receiver is not None:
                self._receiver.on_misuse(error.code, str(error))
            return
        for told in messages:
            if self._receiver is not None:
                self._receiver.on_message(told)

    # ---- bytes and time ----

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if self._gone or self._output_ended:
                return
            if data[:1] == _PONG_START and not self.writable:
                # The client pings, but reads slowly. The last answer is enough (RFC 6455, 5.5.3).
                self._late_pong = data
            elif data:
                is_close = data[:1] == _CLOSE_START
                self._transport.write((is_close and self._last_close) or data)
            else:  # empty bytes mark the end of the output
                self._output_ended = True
                self._end_output()

    def _end_output(self) -> None:
        """Write the next piece of a large response; end the output after the last one."""
        if self._gone:
            return
        self._start_timer(self._limits.close_timeout_s)
        if self._rest:
            if self.writable:  # else `resume_writing` calls again
                piece, self._rest = self._rest[:_PIECE_BYTES], self._rest[_PIECE_BYTES:]
                self._transport.write(piece)
                if self.writable or not self._rest:
                    asyncio.get_running_loop().call_soon(self._end_output)
            return
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
