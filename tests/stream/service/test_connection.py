"""One connection over a real socket, byte by byte.

The tests cover the handshake, framing, and clients that break the rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.service.server import Server

from ..serving import (
    PATIENCE_S,
    dialogue,
    frames_of,
    offline,
    quick_limits,
    raw_client,
    still_serves,
    talk,
)

HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, BINARY, CONTINUED, PING = 1, 2, 0, 9
MASK = b"\x01\x02\x03\x04"


def masked(payload: bytes, opcode: int, *, last: bool = True) -> bytes:
    """Return one frame as a client sends it."""
    size = (
        bytes([0x80 | len(payload)])
        if len(payload) < 126
        else b"\xfe" + struct.pack(">H", len(payload))
    )
    body = bytes(byte ^ MASK[n % 4] for n, byte in enumerate(payload))
    return bytes([(0x80 if last else 0) | opcode]) + size + MASK + body


class Bytes:
    """A TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """Return everything up to the end of the stream."""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read()
        return b""

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(end)


@contextlib.asynccontextmanager
async def tcp(server: Server) -> AsyncIterator[Bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Bytes(reader, writer)
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def opened(server: Server) -> AsyncIterator[Bytes]:
    """Open a connection, past the handshake and `begin`."""
    async with tcp(server) as client:
        await client.send(HANDSHAKE)
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert b'"type":"begin"' in await client.until(b'"saves":false,"pause_model":false}')
        yield client


def close_code(received: bytes) -> int:
    """Return the code of the close frame that the bytes end with."""
    place = received.rindex(b"\x88")
    return struct.unpack(">H", received[place + 2 : place + 4])[0]


async def test_a_handshake_may_come_byte_by_byte(server: Server) -> None:
    async with tcp(server) as client:
        for byte in HANDSHAKE:
            await client.send(bytes([byte]))
        assert b" 101 " in await client.until(b"\r\n\r\n")


async def test_a_message_may_come_in_fragments_with_pings_between(
    server: Server, engine: Engine
) -> None:
    samples = dialogue(0.1, seed=1)
    wire = samples.tobytes()
    async with opened(server) as client:
        await client.send(masked(wire[:101], BINARY, last=False))
        await client.send(masked(b"alive?", PING))
        await client.send(
            masked(wire[101:5000], CONTINUED, last=False) + masked(wire[5000:], CONTINUED)
        )
        await client.send(masked(b'{"type":', TEXT, last=False) + masked(b'"close"}', CONTINUED))
        received = await client.rest()
    assert b"\x8a\x06alive?" in received
    assert received.count(b'"type":"frame"') == len(offline(engine, samples)[0])
    assert close_code(received) == 1000


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"\x82\x04abcd", 1002),  # without a mask
        (b"\xc2\x80" + MASK, 1002),  # a reserved bit
        (b"\x83\x80" + MASK, 1002),  # an undefined opcode
        (masked(b"abcd", CONTINUED), 1002),  # continues nothing
        (masked(b"\xff\xfe", TEXT), 1007),
        (masked(b"\xff", TEXT, last=False) + masked(b"\xfe", CONTINUED), 1007),
        (b"\x82\xff" + struct.pack(">Q", 1 << 40) + MASK, 1009),
    ],
)
async def test_a_client_that_breaks_the_framing_is_closed_with_the_right_code(
    server: Server, engine: Engine, wire: bytes, code: int
) -> None:
    async with opened(server) as client:
        await client.send(wire)
        assert close_code(await client.rest()) == code
    await still_serves(server, engine)
    assert server.sessions == 0


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n", b"426"),
        (HANDSHAKE.replace(b"Version: 13", b"Version: 8"), b"400"),
        (HANDSHAKE.replace(b"/v1/stream", b"/v1/stream?" + b"a" * 9000), b"414"),
        (HANDSHAKE.replace(b"Host: localhost", b"X: " + b"a" * 9000), b"431"),
        (HANDSHAKE.replace(b"/v1/stream", b"/v1/stream?frames=maybe"), b"400"),
    ],
)
async def test_a_bad_handshake_gets_a_plain_answer(
    server: Server, request_bytes: bytes, status: bytes
) -> None:
    async with tcp(server) as client:
        await client.send(request_bytes)
        assert (await client.rest()).startswith(b"HTTP/1.1 " + status)
    assert server.sessions == 0


@pytest.mark.parametrize("start", [b"", b"GET /v1/stream HTT", HANDSHAKE[:-2]])
async def test_a_client_that_never_finishes_its_request_is_dropped(
    engine: Engine, start: bytes
) -> None:
    async with (
        Server(engine, port=0, limits=quick_limits(open_timeout_s=0.2)) as server,
        tcp(server) as client,
    ):
        await client.send(start)
        assert await client.rest() == b""
        await still_serves(server, engine)


async def test_what_is_no_http_is_dropped(server: Server, engine: Engine) -> None:
    async with tcp(server) as client:
        await client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 5 + b"\r\n\r\n")
        await client.rest()
    await still_serves(server, engine)


async def test_of_connections_that_ask_for_nothing_the_oldest_makes_room(engine: Engine) -> None:
    async with (
        Server(engine, port=0, limits=quick_limits(max_opening=3, open_timeout_s=60)) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        quiet = [await stack.enter_async_context(tcp(server)) for _ in range(3)]
        await still_serves(server, engine)
        assert await quiet[0].rest() == b""
        await quiet[2].send(HANDSHAKE)
        assert b" 101 " in await quiet[2].until(b"\r\n\r\n")


@pytest.mark.parametrize(
    "second", [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", HANDSHAKE, b"nonsense"]
)
async def test_only_the_first_request_of_a_connection_is_answered(
    server: Server, engine: Engine, second: bytes
) -> None:
    async with tcp(server) as client:
        await client.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + second)
        assert (await client.rest()).count(b"HTTP/1.1") == 1
    await still_serves(server, engine)


async def test_what_follows_a_handshake_at_once_must_be_websocket_frames(
    server: Server, engine: Engine
) -> None:
    async with tcp(server) as client:
        await client.send(HANDSHAKE + HANDSHAKE)
        received = await client.rest()
    assert received.startswith(b"HTTP/1.1 101")
    assert close_code(received) == 1002
    await still_serves(server, engine)


FLOODS = [
    masked(b'{"type":"reset"}', TEXT),
    masked(b"", BINARY),
    masked(b"", PING),
    masked(b"", BINARY, last=False) + masked(b"", CONTINUED),
]


@pytest.mark.parametrize("flood", FLOODS, ids=["reset", "empty", "ping", "fragments"])
async def test_a_flood_of_tiny_messages_does_not_hold_up_the_others(
    server: Server, engine: Engine, flood: bytes
) -> None:
    samples = dialogue(0.1, seed=4)
    async with opened(server) as client, raw_client(server) as healthy:
        client.writer.write(flood * 40_000 + masked(b'{"type":"close"}', TEXT))
        flooding = asyncio.create_task(client.rest())
        for start in range(0, len(samples), 320):
            await healthy.send(samples[start : start + 320].tobytes())
            while (await healthy.receive())["type"] != "frame":
                pass
        assert not flooding.done()
        received = await flooding
    assert b'"code":"too_many_messages"' in received
    assert close_code(received) == 1008


async def send_until_it_breaks(client: Bytes, data: bytes) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await client.send(data)


async def test_a_client_that_asks_for_pongs_and_reads_none_is_cut(engine: Engine) -> None:
    async with (
        Server(engine, port=0, limits=quick_limits(max_message_bytes=10_000)) as server,
        opened(server) as client,
    ):
        ping = masked(b"x" * 125, PING) * 1000
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            await send_until_it_breaks(client, ping)
        await still_serves(server, engine)


async def test_a_client_that_never_answers_the_close_is_cut(engine: Engine) -> None:
    async with (
        Server(engine, port=0, limits=quick_limits(close_timeout_s=0.2)) as server,
        opened(server) as client,
    ):
        await client.send(masked(b"no json", TEXT))
        assert close_code(await client.rest()) == 1007


async def test_half_a_connection_is_no_connection(server: Server, engine: Engine) -> None:
    async with opened(server) as client:
        client.writer.write_eof()
        await client.rest()
    samples = dialogue(0.2, seed=5)
    async with raw_client(server) as healthy:
        assert frames_of(await talk(healthy, samples, 320)) == offline(engine, samples)[0]
