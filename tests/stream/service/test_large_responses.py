"""A large response is written in pieces, as the client reads them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.service.connection import _PIECE_BYTES, Connection
from turnstream.stream.service.server import Server
from turnstream.stream.service.tls import server_context
from turnstream.stream.service.web_pages import Page

from ..certificates import make_certificate
from ..serving import (
    PATIENCE_S,
    dialogue,
    frames_of,
    offline,
    quick_limits,
    raw_client,
    talk,
    until,
)
from .test_connection import Bytes, tcp

BODY = np.random.default_rng(0).bytes(12_000_001)  # more than sockets hold
PAGES = {"/large": Page("application/octet-stream", BODY, {})}
ASK = b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextlib.asynccontextmanager
async def serving(engine: Engine, close_timeout_s: float = 10.0) -> AsyncIterator[Server]:
    limits = quick_limits(close_timeout_s=close_timeout_s)
    async with Server(engine, port=0, limits=limits, tab=PAGES) as server:
        yield server


async def asked(server: Server, client: Bytes) -> Connection:
    """Ask for the large page and read nothing; return the connection once it waits."""
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    await client.send(ASK)
    async with asyncio.timeout(PATIENCE_S):
        while not (found := [c for c in server._connections if not c.writable]):
            await asyncio.sleep(0)
    return found[0]


def resume(client: Bytes) -> None:
    client.reader._transport.resume_reading()  # type: ignore[attr-defined]


async def test_it_arrives_whole_and_then_the_connection_closes(engine: Engine) -> None:
    async with serving(engine) as server, tcp(server) as client:
        await client.send(ASK)
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length: 12000001" in head
    assert body == BODY


async def test_it_arrives_whole_over_tls(engine: Engine, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with Server(
        engine, port=0, tls=server_context(certificate, key), limits=quick_limits(), tab=PAGES
    ) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        client = Bytes(reader, writer)
        await client.send(ASK)
        assert (await client.rest()).endswith(BODY)
        writer.transport.abort()


async def test_little_of_it_waits_for_a_client_that_does_not_read(engine: Engine) -> None:
    async with serving(engine) as server, tcp(server) as client:
        connection = await asked(server, client)
        assert connection._transport.get_write_buffer_size() <= 2 * _PIECE_BYTES
        assert len(connection._rest) > 1_000_000


async def test_a_client_that_reads_slowly_gets_new_time_with_every_piece(engine: Engine) -> None:
    async with serving(engine) as server, tcp(server) as client:
        connection = await asked(server, client)
        left, timer = len(connection._rest), connection._timer
        assert timer is not None
        resume(client)
        await client.reader.readexactly(1_000_000)
        await until(lambda: len(connection._rest) != left)
        assert timer.cancelled()
        assert connection._timer is not None
        assert connection._timer.when() > timer.when()


async def test_a_client_that_stops_reading_is_dropped(engine: Engine) -> None:
    async with serving(engine, close_timeout_s=0.2) as server, tcp(server) as client:
        connection = await asked(server, client)
        await until(lambda: connection not in server._connections)
        resume(client)
        assert not (await client.rest()).endswith(BODY[-100:])


async def test_head_gets_its_size_alone(engine: Engine) -> None:
    async with serving(engine) as server, tcp(server) as client:
        await client.send(ASK.replace(b"GET", b"HEAD"))
        answer = await client.rest()
    assert b"Content-Length: 12000001" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_clients_that_load_it_change_no_prediction_of_a_live_session(engine: Engine) -> None:
    samples = dialogue(0.5, seed=3)
    async with serving(engine) as server, contextlib.AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(tcp(server)) for _ in range(4)]
        loading = [asyncio.create_task(client.rest()) for client in readers]
        for client in readers:
            await client.send(ASK)
        async with raw_client(server) as live:
            assert frames_of(await talk(live, samples, 320)) == offline(engine, samples)[0]
        assert {(await one)[-len(BODY) :] == BODY for one in loading} == {True}


@pytest.mark.parametrize("size", [0, 1, _PIECE_BYTES, _PIECE_BYTES + 1, 3 * _PIECE_BYTES])
async def test_every_size_arrives_whole(engine: Engine, size: int) -> None:
    page = Page("application/octet-stream", BODY[:size], {})
    async with (
        Server(engine, port=0, limits=quick_limits(), tab={"/some": page}) as server,
        tcp(server) as client,
    ):
        await client.send(ASK.replace(b"/large", b"/some"))
        assert (await client.rest()).partition(b"\r\n\r\n")[2] == BODY[:size]
