"""The bounds of one connection: small messages, the size and the time of a message, pongs."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.service.launch import new_event_loop
from turnstream.stream.service.server import Server
from turnstream.stream.service.tls import server_context

from ..certificates import make_certificate
from ..serving import PATIENCE_S, dialogue, quick_limits, raw_client, still_serves, until
from .test_connection import (
    BINARY,
    CONTINUED,
    HANDSHAKE,
    PING,
    Bytes,
    close_code,
    masked,
    opened,
    tcp,
)

# ---- small messages ----


async def test_many_connections_that_ping_do_not_hold_up_a_live_session(server: Server) -> None:
    samples, loop = dialogue(0.5, seed=4), asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        live = await stack.enter_async_context(raw_client(server))
        floods = [await stack.enter_async_context(opened(server)) for _ in range(20)]
        for flood in floods:
            flood.writer.write(masked(b"", PING) * 4000)  # less than would end the session
        began_s, before_s = loop.time(), server._turns.other_s
        for start in range(0, len(samples), 320):
            await live.send(samples[start : start + 320].tobytes())
            while (await live.receive())["type"] != "frame":
                pass
        took_s, spent_s = loop.time() - began_s, server._turns.other_s - before_s
        assert server._turns._waiting  # they are not done yet
    assert 0 < spent_s < 0.3 * took_s


async def test_a_client_at_the_allowed_rate_is_not_ended(engine: Engine) -> None:
    limits = quick_limits(max_messages_per_s=20)
    async with Server(engine, port=0, limits=limits) as server, opened(server) as client:
        await client.send(masked(b"?", PING) * 100)
        for _ in range(100):
            await client.until(b"\x8a\x01?")
        await client.send(masked(b"?", PING) * 10)
        received = await client.rest()
    assert close_code(received) == 1008
    assert (
        b'"code":"too_many_messages","message":"expected at most 20 messages a second that are '
        b"controls, pings, or audio of less than 80 bytes, got more for 5 s" in received
    )


async def test_audio_in_messages_of_some_length_is_never_too_much(engine: Engine) -> None:
    limits = quick_limits(max_messages_per_s=1)
    samples = dialogue(2, seed=1)
    async with (
        Server(engine, port=0, limits=limits) as server,
        raw_client(server) as client,
    ):
        for start in range(0, len(samples), 160):
            await client.send(samples[start : start + 160].tobytes())
        await client.send({"type": "close"})
        assert (await client.rest())[-1]["frames"] == 100


# ---- size and time of a message ----


async def test_fragments_are_refused_as_soon_as_they_are_too_many(engine: Engine) -> None:
    limits = quick_limits(max_message_bytes=1000)
    async with Server(engine, port=0, limits=limits) as server, opened(server) as client:
        await client.send(masked(bytes(600), BINARY, last=False))
        head = masked(bytes(600), CONTINUED, last=False)[:8]  # only the size of the next one
        await client.send(head)
        received = await client.rest()
    assert (
        b'"code":"message_too_big","message":"expected a message of at most 1000 bytes, got 1200"'
        in received
    )
    assert close_code(received) == 1009


async def test_of_a_message_that_is_too_big_only_the_size_is_read(server: Server) -> None:
    async with opened(server) as client:
        await client.send(b"\x82\xff" + struct.pack(">Q", 1 << 40) + bytes(4))
        received = await client.rest()
    assert b"got 1099511627776" in received
    assert close_code(received) == 1009


@pytest.mark.parametrize(
    "start",
    [masked(bytes(320), BINARY, last=False), masked(bytes(320), BINARY)[:-1]],
    ids=["fragments", "bytes"],
)
async def test_a_message_that_is_never_finished_ends_the_session(
    engine: Engine, start: bytes
) -> None:
    limits = quick_limits(message_timeout_s=0.2)
    async with Server(engine, port=0, limits=limits) as server, opened(server) as client:
        await client.send(start)
        received = await client.rest()
    assert b'"code":"unfinished_message"' in received
    assert close_code(received) == 1008


# ---- pongs ----


async def test_of_pongs_that_are_not_read_only_the_last_waits(server: Server) -> None:
    async with opened(server) as client:
        (connection,) = server._connections
        connection.pause_writing()
        transport = connection._transport
        for n in range(1000):
            await client.send(masked(b"%4d" % n + bytes(96), PING))
        await until(lambda: b" 999" in connection._late_pong)
        assert transport.get_write_buffer_size() == 0
        connection.resume_writing()
        assert (await client.until(bytes(96)))[:6] == b"\x8a\x64 999"


# ---- TLS ----


@contextlib.asynccontextmanager
async def secured(server: Server) -> AsyncIterator[Bytes]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
    yield Bytes(reader, writer)
    writer.transport.abort()


async def test_connections_count_before_their_tls_handshake(engine: Engine, tmp_path: Path) -> None:
    limits = quick_limits(max_opening=3, open_timeout_s=60)
    async with (
        Server(
            engine, port=0, limits=limits, tls=server_context(*make_certificate(tmp_path))
        ) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        silent = [await stack.enter_async_context(tcp(server)) for _ in range(3)]
        async with secured(server) as client:
            assert await silent[0].rest() == b""
            await client.send(HANDSHAKE)
            assert b" 101 " in await client.until(b"\r\n\r\n")
            assert b'"type":"begin"' in await client.until(b'"pause_model":false}')
        assert len(server._opening) == 2


async def test_a_tls_handshake_that_is_never_finished_ends_in_time(
    engine: Engine, tmp_path: Path
) -> None:
    limits = quick_limits(open_timeout_s=0.3)
    async with Server(
        engine, port=0, limits=limits, tls=server_context(*make_certificate(tmp_path))
    ) as server:
        async with tcp(server) as silent, tcp(server) as half:
            await half.send(b"\x16\x03\x01")
            assert await silent.rest() == b""
            assert await half.rest() == b""
        async with tcp(server) as stranger:
            await stranger.send(HANDSHAKE)
            await stranger.rest()
        await until(lambda: not server._connections)


def test_tls_works_in_the_loop_that_the_command_uses(engine: Engine, tmp_path: Path) -> None:
    async def serve() -> None:
        context = server_context(*make_certificate(tmp_path))
        limits = quick_limits(open_timeout_s=60)
        async with (
            Server(engine, port=0, limits=limits, tls=context) as server,
            contextlib.AsyncExitStack() as stack,
        ):
            silent = [await stack.enter_async_context(tcp(server)) for _ in range(2)]
            async with secured(server) as client:
                await client.send(HANDSHAKE)
                assert b" 101 " in await client.until(b"\r\n\r\n")
            assert len(server._opening) == 2
            await server.close()
            assert [await connection.rest() for connection in silent] == [b"", b""]

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve())


async def test_a_burst_of_connections_drops_one_for_each_that_is_too_many(engine: Engine) -> None:
    dropped: list[Newcomer] = []

    class Newcomer:
        def abort(self) -> None:  # its end is reported later
            dropped.append(self)

    newcomers = [Newcomer() for _ in range(5)]
    async with Server(engine, port=0, limits=quick_limits(max_opening=2)) as server:
        for newcomer in newcomers:
            server.on_connect(newcomer)  # type: ignore[arg-type]
        opening = list(server._opening)
        for newcomer in newcomers:
            server.on_close(newcomer)  # type: ignore[arg-type]
    assert dropped == newcomers[:3]
    assert opening == newcomers[3:]


async def test_a_request_whose_handler_fails_costs_its_own_connection_alone(
    server: Server, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*request: object) -> None:
        raise RuntimeError("made to fail")

    monkeypatch.setattr(server._plain, "answer", broken)
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        await still_serves(server, engine)
