"""Who gets a place when places are few: no address takes all, and silent sessions yield."""

from __future__ import annotations

import asyncio
import time

import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.service import places, resampling, sessions
from turnstream.stream.service.server import Server

from ..serving import (
    dialogue,
    frames_of,
    offline,
    quick_limits,
    raw_client,
    talk,
    until,
)
from .test_server_admission import refusal

FULL = (503, "at capacity: 1 sessions; try again later\n")


async def until_silent_long_enough(server: Server) -> None:
    await until(lambda: server._sessions._silent() is not None)


async def test_a_session_that_has_never_sent_audio_yields_its_place(engine: Engine) -> None:
    limits = quick_limits(max_sessions=1, stall_s=0.1)
    async with Server(engine, port=0, limits=limits) as server, raw_client(server) as silent:
        assert await refusal(server.url) == FULL  # it has just begun
        await until_silent_long_enough(server)
        samples = dialogue(0.2, seed=5)
        async with raw_client(server) as client:
            assert frames_of(await talk(client, samples, 320)) == offline(engine, samples)[0]
        assert (await silent.rest())[-1] == {
            "type": "error",
            "code": "no_audio",
            "message": "no audio came, and another client needs the place",
        }
        assert silent.close_code == 1008
        assert server.sessions == 0


async def test_a_session_that_has_sent_audio_keeps_its_place(engine: Engine) -> None:
    limits = quick_limits(max_sessions=1, stall_s=0.1)
    async with Server(engine, port=0, limits=limits) as server, raw_client(server) as client:
        await client.send(dialogue(0.02, seed=5).tobytes())
        while (await client.receive())["type"] != "warning":  # that it has stalled
            pass
        assert await refusal(server.url) == FULL


async def test_a_session_that_waits_for_its_client_keeps_its_place(engine: Engine) -> None:
    limits = quick_limits(max_sessions=1, stall_s=0.1, resume_s=30.0)
    async with Server(engine, port=0, limits=limits) as server:
        async with raw_client(server) as client:
            await client.send(dialogue(0.1, seed=5).tobytes())
            while (await client.receive())["type"] != "frame":
                pass
            client.connection.transport.abort()
        await until(lambda: b"turnstream_sessions_parked 1.0" in server.metrics.exposition()[1])
        assert await refusal(server.url) == FULL


async def test_an_address_and_a_token_have_a_limit_each(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "address_of", lambda host: host)  # without the exemption
    assert places.address_of("127.0.0.1") is None
    limits = quick_limits(max_sessions_per_address=3, max_sessions_per_token=2)
    async with Server(engine, port=0, limits=limits, tokens=["one", "two"]) as server:
        async with raw_client(server, "token=one"), raw_client(server, "token=one"):
            assert await refusal(f"{server.url}?token=one") == (
                429,
                "expected at most 2 sessions of one token, got one more\n",
            )
            async with raw_client(server, "token=two"):
                assert await refusal(f"{server.url}?token=two") == (
                    429,
                    "expected at most 3 sessions from one address, got one more\n",
                )
        await until(lambda: not server.sessions)
        async with raw_client(server, "token=one"):
            pass


async def test_a_session_of_an_odd_sample_rate_begins_when_its_table_is_made(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    real = resampling.prepare_table

    def prepare_table(input_rate_hz: int, output_rate_hz: int) -> None:
        time.sleep(0.05)
        made.append(input_rate_hz)
        real(input_rate_hz, output_rate_hz)

    monkeypatch.setattr(resampling, "prepare_table", prepare_table)
    samples = dialogue(0.3, seed=5, rate_hz=22051)
    async with (
        Server(engine, port=0, limits=quick_limits()) as server,
        raw_client(server, "sample_rate=22051") as client,
    ):
        assert made == [22051]
        expected = offline(engine, samples, rate_hz=22051)[0]
        assert frames_of(await talk(client, samples, 441)) == expected


async def test_a_client_that_leaves_before_its_table_is_made_gets_no_session(
    engine: Engine,
) -> None:
    async with Server(engine, port=0, limits=quick_limits()) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"GET /v1/stream?sample_rate=31337 HTTP/1.1\r\nHost: localhost\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await writer.drain()
        writer.transport.abort()
        async with raw_client(server, "sample_rate=31339"):
            assert server.sessions == 1
