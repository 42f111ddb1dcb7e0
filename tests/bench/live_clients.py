"""Many live clients in one thread, as cheap as possible.

They share the machine with the server that they measure. The module uses raw sockets and one
epoll. Every chunk of audio is framed once for all clients: a masking key of zero is legal and
leaves the audio as it is. The answers are only skimmed: messages are counted, and of a frame
message only its number is read.
"""

from __future__ import annotations

import heapq
import select
import socket
import struct
import time
from array import array
from dataclasses import dataclass, field

import numpy as np

from turnstream.stream.bench import sample_audio
from turnstream.stream.protocol import STREAM_PATH

RATE_HZ, FRAME_SAMPLES, SAMPLE_BYTES = 16000, 320, 4  # stereo pcm_s16le, the protocol's defaults
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10  # websocket opcodes
FRAME_START = b'{"type":"frame","frame":'
# Pause between two looks at the clock and the sockets. To wake for each message would cost twice
# as much. The measured latencies include it.
NAP_S = 0.0005
LATE_S = 10.0  # limit for the server to end a session after `close`


def sample_pcm() -> bytes:
    """Return the bundled call, 63 s of two voices."""
    return np.round(sample_audio(RATE_HZ) * 32767).astype("<i2").tobytes()


def framed(payload: bytes, opcode: int = BINARY) -> bytes:
    """Return one whole websocket frame of a client, masked with zero."""
    size = len(payload)
    if size < 126:
        length = struct.pack(">B", 0x80 | size)
    elif size < 1 << 16:
        length = struct.pack(">BH", 0xFE, size)
    else:
        length = struct.pack(">BQ", 0xFF, size)
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


SAY_CLOSE = framed(b'{"type":"close"}', TEXT)


def opening(query: str = "", path: str = STREAM_PATH) -> bytes:
    """Return the HTTP request that opens a stream."""
    return (
        f"GET {path}?{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def frames_in(received: bytes) -> tuple[list[tuple[int, int, int]], int]:
    """Find the whole frames that a server sent.

    Returns:
        Opcode, first and last byte of every whole frame, and where the unfinished frame begins.
    """
    found: list[tuple[int, int, int]] = []
    at, size = 0, len(received)
    while size - at >= 2:
        length, start = received[at + 1], at + 2
        if length == 126:
            start += 2
            length = received[at + 2] << 8 | received[at + 3] if size >= start else size
        elif length == 127:
            start += 8
            length = int.from_bytes(received[at + 2 : start]) if size >= start else size
        if start + length > size:
            break
        found.append((received[at] & 15, start, start + length))
        at = start + length
    return found, at


class Chunks:
    """The bundled call in framed chunks that all clients share.

    Args:
        chunk_ms: length of a chunk in ms.
    Attributes:
        pcm: the audio of all chunks.
        samples: samples of a chunk, per channel.
    """

    def __init__(self, chunk_ms: int) -> None:
        self.samples = chunk_ms * RATE_HZ // 1000
        size = self.samples * SAMPLE_BYTES
        pcm = sample_pcm()
        self.pcm = pcm[: len(pcm) // size * size]
        self.wires = [framed(self.pcm[at : at + size]) for at in range(0, len(self.pcm), size)]

    def audio(self, first: int, count: int) -> bytes:
        """Return the audio that a client sends from chunk `first`; it wraps around at the end."""
        size = self.samples * SAMPLE_BYTES
        around = self.pcm[first * size :] + self.pcm * (1 + count // len(self.wires))
        return around[: count * size]


@dataclass
class Measured:
    """What all clients together have measured since this was made; times in seconds.

    Attributes:
        latency_s: from sending the chunk with a frame's last sample to receiving its message.
        late_s: how late a client sent a chunk, by the clock.
        busy_s: CPU time of the clients' thread.
    """

    latency_s: array[float] = field(default_factory=lambda: array("d"))
    late_s: array[float] = field(default_factory=lambda: array("d"))
    messages: int = 0
    busy_s: float = 0.0
    wall_s: float = 0.0

    @property
    def cost_us(self) -> float:
        """CPU time of the clients' thread per message sent or received."""
        return self.busy_s / max(1, self.messages) * 1e6


class LiveClient:
    """One microphone: it sends a chunk whenever a microphone would have recorded it.

    Attributes:
        first: the chunk of the conversation with which it starts.
        sent_s: when each chunk was sent, by the performance counter.
        frames: frame messages received, in order and without a gap.
        wrong: frame messages with another number than the expected one.
        status: HTTP status of the server's answer to the request, 0 before it.
        ended: the connection is closed.
        wanted: the client had sent `close` before the connection ended.
        kept: text and binary messages received, if they are kept.
    """

    __slots__ = (
        "buffer",
        "chunks",
        "ended",
        "first",
        "frames",
        "kept",
        "left",
        "sent_s",
        "sock",
        "status",
        "unsent",
        "wanted",
        "wrong",
    )

    def __init__(
        self, sock: socket.socket, chunks: Chunks, first: int, left: int, keep: bool
    ) -> None:
        self.sock = sock
        self.chunks = chunks
        self.first = first
        self.left = left
        self.kept: list[bytes] | None = [] if keep else None
        self.sent_s = array("d")
        self.frames = self.wrong = self.status = 0
        self.ended = self.wanted = False
        self.buffer = self.unsent = b""

    @property
    def lost(self) -> int:
        """Frames whose samples were all sent and whose message did not come."""
        return len(self.sent_s) * self.chunks.samples // FRAME_SAMPLES - self.frames


class Fleet:
    """Live clients, and the one loop that plays them all.

    Args:
        port: port of the server on this machine.
    Attributes:
        clients: all clients that were ever admitted or still wait for admission.
        refused: count of clients that got no websocket, by HTTP status.
        measured: the present measurement; replace it to begin a new one.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._epoll = select.epoll()
        self._open: dict[int, LiveClient] = {}
        self._due: list[
            tuple[float, int, LiveClient]
        ] = []  # a heap: due time, a unique number, the client
        self._opened = 0
        self.clients: list[LiveClient] = []
        self.refused: dict[int, int] = {}
        self.measured = Measured()

    @property
    def talking(self) -> int:
        """Clients that are admitted and have not ended."""
        return sum(client.status == 101 for client in self._open.values())

    def open(
        self,
        count: int,
        chunks: Chunks,
        *,
        query: str = "",
        per_second: float = 100.0,
        limit: int = 1 << 40,
        keep: bool = False,
    ) -> list[LiveClient]:
        """Connect more clients, one after the other, while the others continue.

        Each talks as soon as it is admitted.

        Args:
            count: number of clients.
            chunks: their audio; each starts at another chunk.
            query: their settings; rate, channels and encoding stay the defaults.
            limit: chunks that each sends before it sends `close`.
            keep: keep every message.
        """
        opened: list[LiveClient] = []
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", self._port), timeout=10)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            client = LiveClient(sock, chunks, self._opened * 37 % len(chunks.wires), limit, keep)
            self._opened += 1
            self._open[sock.fileno()] = client
            self._epoll.register(sock.fileno(), select.EPOLLIN)
            sock.send(opening(query))
            opened.append(client)
            self.clients.append(client)
            self.run(1 / per_second)
        return opened

    def run(self, seconds: float) -> None:
        """Play all clients for a time."""
        began_s, busy_s, measured = time.perf_counter(), time.thread_time(), self.measured
        end_s = began_s + seconds
        while (now_s := time.perf_counter()) < end_s:
            while self._due and self._due[0][0] <= now_s:
                due_s, number, client = self._due[0]
                if self._talk(client, due_s):
                    heapq.heapreplace(
                        self._due, (due_s + client.chunks.samples / RATE_HZ, number, client)
                    )
                else:
                    heapq.heappop(self._due)
            time.sleep(NAP_S)
            for descriptor, _ in self._epoll.poll(0):
                self._listen(self._open[descriptor])
        measured.busy_s += time.thread_time() - busy_s
        measured.wall_s += time.perf_counter() - began_s

    def finish(self) -> None:
        """Let every client send `close` when its next chunk is due, and receive to the end."""
        for client in self._open.values():
            client.left = 0
        deadline_s = time.perf_counter() + LATE_S
        while self._open and time.perf_counter() < deadline_s:
            self.run(0.05)
        for client in list(self._open.values()):
            self._end(client)

    # ---- one client ----

    def _talk(self, client: LiveClient, due_s: float) -> bool:
        """Send what is due; return False when this client has nothing more to send."""
        if client.ended or client.wanted:
            if client.unsent and not client.ended:
                self._send(client, b"")
            return bool(client.unsent)
        if client.left == 0:
            client.wanted = True
            self._send(client, SAY_CLOSE)
            return bool(client.unsent)
        client.left -= 1
        wires = client.chunks.wires
        now_s = time.perf_counter()
        self.measured.late_s.append(now_s - due_s)
        self._send(client, wires[(client.first + len(client.sent_s)) % len(wires)])
        client.sent_s.append(now_s)
        return not client.ended

    def _send(self, client: LiveClient, wire: bytes) -> None:
        """Send now, or keep what the socket does not take until the client's next turn."""
        wire = client.unsent + wire
        try:
            client.unsent = wire[client.sock.send(wire) :]
        except BlockingIOError:
            client.unsent = wire
        except OSError:
            self._end(client)
        self.measured.messages += 1

    def _listen(self, client: LiveClient) -> None:
        try:
            received = client.sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        now_s = time.perf_counter()
        if not received:
            self._end(client)
            return
        received = client.buffer + received
        if client.status == 0:
            head, found, received = received.partition(b"\r\n\r\n")
            if not found:
                client.buffer = head
                return
            self._start(client, int(head[9:12]), now_s)
            if client.ended:
                return
        found, rest = frames_in(received)
        client.buffer = received[rest:]
        self.measured.messages += len(found)
        for opcode, start, end in found:
            if opcode == TEXT and received.startswith(FRAME_START, start):
                number = start + len(FRAME_START)
                self._hear(client, int(received[number : received.index(b",", number)]), now_s)
            elif opcode == PING:
                self._send(client, framed(received[start:end], PONG))
            elif opcode == CLOSE:
                self._send(client, framed(received[start : start + 2], CLOSE))
                self._end(client)
                return
            if client.kept is not None and opcode in (TEXT, BINARY):
                client.kept.append(received[start:end])

    def _hear(self, client: LiveClient, frame: int, now_s: float) -> None:
        if frame != client.frames:
            client.wrong += 1
        client.frames += 1
        chunk = -(-(frame + 1) * FRAME_SAMPLES // client.chunks.samples) - 1
        self.measured.latency_s.append(now_s - client.sent_s[chunk])

    def _start(self, client: LiveClient, status: int, now_s: float) -> None:
        client.status = status
        if status != 101:
            self.refused[status] = self.refused.get(status, 0) + 1
            self._end(client)
            return
        # The golden ratio: evenly spread, however many there are
        phase = self._opened * 0.618034 % 1
        heapq.heappush(
            self._due, (now_s + client.chunks.samples / RATE_HZ * (1 + phase), id(client), client)
        )

    def _end(self, client: LiveClient) -> None:
        if not client.ended:
            client.ended = True
            self._epoll.unregister(client.sock.fileno())
            del self._open[client.sock.fileno()]
            client.sock.close()
