"""Admission, answers to plain HTTP requests, and how a server shuts down."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from turnstream.stream.engine import Engine
from turnstream.stream.service.server import Server

from ..serving import (
    PATIENCE_S,
    dialogue,
    frames_of,
    offline,
    quick_limits,
    raw_client,
    send_for_ever,
    slow_client,
    still_serves,
    talk,
)


async def http_get(server: Server, path: str) -> tuple[int, str, str]:
    """Return status, content type and body for a plain request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(PATIENCE_S):
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    kinds = [
        line.partition(": ")[2]
        for line in head.split("\r\n")
        if line.lower().startswith("content-type")
    ]
    return int(head.split()[1]), " ".join(kinds), body


async def refusal(url: str, **options: Any) -> tuple[int, str]:
    """Return status and body of a refused handshake."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, proxy=None, **options):
            pass
    response = refused.value.response
    return response.status_code, (response.body or b"").decode()


# ---- admission ----


async def test_a_full_server_refuses_with_503_and_serves_on(engine: Engine) -> None:
    async with Server(engine, port=0, limits=quick_limits(max_sessions=2)) as server:
        async with raw_client(server) as first, raw_client(server):
            assert await refusal(server.url) == (503, "at capacity: 2 sessions; try again later\n")
            assert (await talk(first, dialogue(0.1, seed=1), 320))[-1]["type"] == "termination"
        async with asyncio.timeout(PATIENCE_S):
            while server.sessions:
                await http_get(server, "/healthz")
        await still_serves(server, engine)


async def test_a_bad_query_is_refused_with_its_reason(server: Server) -> None:
    assert await refusal(f"{server.url}?encoding=mp3") == (
        400,
        "encoding: expected one of pcm_s16le, pcm_f32le, mulaw, alaw; got 'mp3'\n",
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic secret"},
        {"Authorization": "Bearer"},
    ],
)
async def test_a_client_without_the_token_is_refused(
    engine: Engine, headers: dict[str, str]
) -> None:
    async with Server(engine, port=0, tokens=["secret", "other"]) as server:
        status, text = await refusal(f"{server.url}?token=nosecret", additional_headers=headers)
    assert (status, text) == (
        401,
        "expected a valid token, as 'Authorization: Bearer TOKEN' or ?token=TOKEN\n",
    )


async def test_a_client_with_a_token_is_admitted_by_header_or_query(engine: Engine) -> None:
    async with Server(engine, port=0, tokens=["secret", "other"]) as server:
        async with raw_client(server, additional_headers={"Authorization": "Bearer secret"}):
            pass
        async with raw_client(server, "token=other"):
            pass


async def test_plain_requests_get_an_answer(server: Server) -> None:
    async with raw_client(server):
        status, kind, body = await http_get(server, "/healthz")
        assert (status, kind) == (200, "application/json")
        health = json.loads(body)
        assert 0 <= health.pop("load") < 1
        assert health == {
            "status": "ok",
            "sessions": 1,
            "max_sessions": 1000,
            "store_ready": True,
            "model": {"name": "tiny", "version": "0"},
        }
        status, kind, body = await http_get(server, "/metrics")
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        assert "\nturnstream_sessions 1.0\n" in body
    status, kind, body = await http_get(server, "/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert "<title>" in body
    assert await http_get(server, "/v2/stream") == (
        404,
        "text/plain; charset=utf-8",
        "no such path; expected /v1/stream, /v2/listen, /v1/twilio, /twilio, /v1/calls/SID, "
        "/healthz, /livez, /readyz, /metrics or /\n",
    )
    assert (await http_get(server, "/v1/stream"))[0] == 426
    status, _, body = await http_get(server, "//[")
    assert (status, body) == (400, "expected a path such as /v1/stream: Invalid IPv6 URL\n")


# ---- shutdown ----


async def test_shutdown_lets_every_session_end_well(engine: Engine) -> None:
    samples = dialogue(0.5, seed=10)
    async with Server(engine, port=0, limits=quick_limits()) as server:
        async with raw_client(server) as client:
            await client.send(samples.tobytes())
            first = await client.receive()  # the audio has arrived
            closing = asyncio.create_task(server.close())
            messages = [first, *await client.rest()]
            await closing
        assert frames_of(messages) == offline(engine, samples)[0]
        assert messages[-1] == {
            "type": "termination",
            "frames": 25,
            "seconds": 0.5,
            "reason": "shutdown",
        }
        assert client.close_code == 1001


async def test_shutdown_cuts_a_session_that_does_not_end(engine: Engine) -> None:
    limits = quick_limits(max_outgoing_messages=20, shutdown_timeout_s=0.3, close_timeout_s=5.0)
    server = Server(engine, port=0, limits=limits)
    await server.__aenter__()
    async with slow_client(server, "latents=all") as client:
        sender = asyncio.create_task(send_for_ever(client, dialogue(1, seed=8).tobytes()))
        await still_serves(server, engine)
        async with asyncio.timeout(PATIENCE_S):
            await server.close()
        sender.cancel()
        await asyncio.wait([sender])
    assert server.sessions == 0
