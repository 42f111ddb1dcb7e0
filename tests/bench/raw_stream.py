"""One session over a blocking socket, without the package's client code.

It can be cut at any point, and is resumed as PROTOCOL.md says.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import time
from collections import deque
from typing import Any

from live_clients import BINARY, CLOSE, PING, PONG, TEXT, framed, frames_in, opening

PATIENCE_S = 30.0


class RefusedError(Exception):
    """The server did not answer the request with a websocket.

    Attributes:
        status: HTTP status of the answer; 0 if the connection was closed without an answer.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text.strip()}")
        self.status = status


class RawStream:
    """A session; every message of both sides is counted and kept.

    Args:
        port: port of the server on this machine.
        query: settings.
        receive_buffer: bytes of the socket's buffer; a small one makes the server wait soon.
    Raises:
        RefusedError: no websocket.
    Attributes:
        received: text and binary messages of the session, without `resumed` and `saved`.
        count: how many of them count, with those that were left out.
        sent: framed messages of the session, in order.
        close_code: code of the server's close frame.
        lost: frame messages that the server says it left out.
    """

    def __init__(self, port: int, query: str = "", *, receive_buffer: int | None = None) -> None:
        self._port = port
        self.received: list[bytes] = []
        self.sent: list[bytes] = []
        self.close_code: int | None = None
        self.lost = self.count = 0
        self._connect(query, receive_buffer)
        self.begin: dict[str, Any] = json.loads(self._wait_for_one())

    def _connect(self, query: str, receive_buffer: int | None = None) -> None:
        self._buffer = b""
        self._messages: deque[bytes] = deque()
        self.open = True
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(("127.0.0.1", self._port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(opening(query))
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = self.sock.recv(1 << 16)
            answer += piece
            if not piece:
                break
        head, _, self._buffer = answer.partition(b"\r\n\r\n")
        if head[9:12] != b"101":
            self.sock.close()
            raise RefusedError(int(head[9:12] or 0), self._buffer.decode(errors="replace"))

    # ---- talk ----

    def send(self, message: bytes | str) -> None:
        """Send audio or a control, then receive what has come, so that neither side waits."""
        wire = framed(message) if isinstance(message, bytes) else framed(message.encode(), TEXT)
        self.sent.append(wire)
        if self.open:
            self._send(wire)
            self.hear()

    def _send(self, wire: bytes) -> None:
        with contextlib.suppress(
            BrokenPipeError, ConnectionResetError
        ):  # what the server sent before can still be read
            self.sock.sendall(wire)

    def hear(self, wait_s: float = 0.0) -> None:
        """Receive what has come; wait up to a time for the first message."""
        while self.open and select.select([self.sock], [], [], wait_s)[0]:
            self._take()
            wait_s = 0.0

    def hear_out(self) -> None:
        """Receive everything up to the server's close frame.

        Raises:
            TimeoutError: it did not come.
        """
        while self.open:
            self._take()

    def _take(self) -> None:
        try:
            piece = self.sock.recv(1 << 16)
        except ConnectionResetError:
            piece = b""
        if not piece:
            self.open = False
            return
        self._unpack(self._buffer + piece)

    def _unpack(self, received: bytes) -> None:
        found, rest = frames_in(received)
        self._buffer = received[rest:]
        for opcode, start, end in found:
            payload = received[start:end]
            if opcode in (TEXT, BINARY):
                if payload.startswith(b'{"type":"resumed"'):
                    self._messages.append(payload)
                elif not payload.startswith(b'{"type":"saved"'):
                    self._keep(payload)
            elif opcode == PING:
                self._send(framed(payload, PONG))
            elif opcode == CLOSE:
                self.close_code = int.from_bytes(payload[:2])
                self._send(framed(payload[:2], CLOSE))
                self.open = False

    def _keep(self, payload: bytes) -> None:
        self.received.append(payload)
        if payload.startswith(b'{"type":"warning"'):
            missed = json.loads(payload).get("missed", 0)
            self.lost += missed
            self.count += missed
        else:
            self.count += 1

    def _wait_for_one(self) -> bytes:
        """Return the first message of a connection."""
        before = len(self.received)
        self._unpack(self._buffer)
        while self.open and len(self.received) == before and not self._messages:
            self._take()
        if self._messages:
            return self._messages.popleft()
        if len(self.received) == before:
            raise RefusedError(0, f"closed with {self.close_code} before the first message")
        return self.received[before]

    def finish(self) -> None:
        """Send `close` and receive everything up to the end."""
        self.send('{"type":"close"}')
        self.hear_out()
        self.sock.close()

    # ---- cut and resume ----

    def cut(self, *, reset: bool = False) -> None:
        """Close or reset the socket without a close frame; a reset drops data on its way."""
        if reset:
            reset_on_close(self.sock)
        self.sock.close()
        self.open = False

    def resume(self) -> None:
        """Resume the session on a new connection; an open old connection is closed after that.

        Raises:
            RefusedError: the server does not know the session any more.
        """
        old = self.sock
        self._connect(f"resume={self.begin['resume_token']}&received={self.count}")
        resumed = json.loads(self._wait_for_one())
        if resumed["type"] != "resumed":
            raise RefusedError(0, f"expected resumed, got {resumed}")
        old.close()
        for wire in self.sent[resumed["received"] :]:
            self._send(wire)
            self.hear()


def reset_on_close(sock: socket.socket) -> None:
    """Let `close` reset the connection."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def resume(stream: RawStream) -> None:
    """Resume a session, and try again as long as the server asks for it."""
    began_s = time.perf_counter()
    while True:
        try:
            stream.resume()
            return
        except (OSError, RefusedError) as error:
            status = getattr(error, "status", 503)
            if status not in {0, 503} or time.perf_counter() - began_s > PATIENCE_S:
                raise
            time.sleep(0.05)
