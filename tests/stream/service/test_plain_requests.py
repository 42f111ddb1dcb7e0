"""Plain requests: methods, readiness, the metrics' door, and what is no request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from turnstream.stream.engine import Engine
from turnstream.stream.service.limits import Limits
from turnstream.stream.service.plain_requests import _MalformedLog
from turnstream.stream.service.server import Server

from ..serving import (
    PATIENCE_S,
    dialogue,
    quick_limits,
    raw_client,
    send_for_ever,
    slow_client,
    still_serves,
)

TOKEN = "a-token-that-is-long"
SECRET = "SECRET-0123456789"


async def ask(server: Server, request: str) -> tuple[int, dict[str, str], str]:
    """Send the bytes of a request; return status, headers and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request.encode())
    async with asyncio.timeout(PATIENCE_S):
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    first, *lines = head.split("\r\n")
    headers = {name.lower(): word for name, _, word in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


async def get(server: Server, path: str, *lines: str, method: str = "GET") -> tuple[int, str]:
    hosts = [] if any(line.startswith("Host") for line in lines) else ["Host: localhost"]
    head = "\r\n".join((f"{method} {path} HTTP/1.1", *hosts, *lines))
    status, _, body = await ask(server, f"{head}\r\n\r\n")
    return status, body


# ---- methods ----


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/readyz", "/none", "/v1/presets"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
async def test_other_methods_are_refused_with_those_that_there_are(
    server: Server, path: str, method: str
) -> None:
    status, headers, body = await ask(
        server, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert body == f"expected GET or HEAD, got {method!r}\n"


@pytest.mark.parametrize(
    "body",
    ["Content-Length: 3\r\n\r\na=1", "Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n"],
)
async def test_a_method_is_refused_also_if_a_body_follows(server: Server, body: str) -> None:
    status, headers, _ = await ask(server, f"POST /healthz HTTP/1.1\r\nHost: localhost\r\n{body}")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


async def test_head_gets_what_get_gets_without_the_body(server: Server) -> None:
    for path in ("/", "/turnstream.js", "/v1/presets", "/none"):
        _, headers, body = await ask(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = await ask(server, f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert got[1]["content-length"] == headers["content-length"] == str(len(body.encode()))
        assert got[2] == ""


@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_a_stream_is_opened_by_get_only(server: Server, method: str) -> None:
    status, headers, _ = await ask(
        server, f"{method} /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    assert (status, headers["allow"]) == (405, "GET")


# ---- metrics ----


async def test_metrics_need_the_token_if_there_is_one(engine: Engine) -> None:
    async with Server(engine, port=0, tokens=[TOKEN], limits=quick_limits()) as guarded:
        assert (await get(guarded, "/metrics"))[0] == 401
        assert (await get(guarded, "/metrics", "Authorization: Bearer wrong"))[0] == 401
        assert (await get(guarded, "/metrics", f"Authorization: Bearer {TOKEN}"))[0] == 200
        assert (await get(guarded, f"/metrics?token={TOKEN}"))[0] == 200
        assert (await get(guarded, "/healthz"))[0] == 200


async def test_metrics_are_not_told_to_a_foreign_page(server: Server) -> None:
    assert (await get(server, "/metrics", "Host: evil.page:8765"))[0] == 403
    assert (await get(server, "/metrics", "Origin: http://evil.page"))[0] == 403
    assert (await get(server, "/metrics", "Host: 127.0.0.1:8765"))[0] == 200


# ---- readiness ----


@contextlib.asynccontextmanager
async def a_drain(engine: Engine) -> AsyncIterator[Server]:
    """Run a server that has been told to end, while a client that does not read holds it up."""
    limits = quick_limits(max_outgoing_messages=20, shutdown_timeout_s=PATIENCE_S, resume_s=0)
    async with (
        Server(engine, port=0, limits=limits) as server,
        slow_client(server, "latents=all") as client,
    ):
        sender = asyncio.create_task(send_for_ever(client, dialogue(1, seed=8).tobytes()))
        await still_serves(server, engine)
        closing = asyncio.create_task(server.close())
        await asyncio.sleep(0)
        yield server
        client.connection.transport.abort()
        await closing
        await asyncio.wait([sender])
        assert isinstance(sender.exception(), ConnectionClosed)


async def test_a_server_with_room_is_ready(server: Server) -> None:
    assert await get(server, "/readyz") == (200, '{"status": "ready", "store_ready": true}\n')
    assert (await get(server, "/livez"))[0] == (await get(server, "/healthz"))[0] == 200


async def test_a_full_server_is_alive_and_not_ready(engine: Engine) -> None:
    async with Server(engine, port=0, limits=quick_limits(max_sessions=1, resume_s=0)) as server:
        async with raw_client(server):
            status, body = await get(server, "/readyz")
            assert (status, json.loads(body)) == (
                503,
                {"status": "overloaded", "reason": "at capacity: 1 sessions; try again later"},
            )
            assert (await get(server, "/livez"))[0] == 200
        async with asyncio.timeout(PATIENCE_S):
            while server.sessions:
                await get(server, "/livez")
        assert (await get(server, "/readyz"))[0] == 200


async def test_while_it_drains_a_server_answers_plain_requests_and_refuses_streams(
    engine: Engine,
) -> None:
    async with a_drain(engine) as server:
        status, body = await get(server, "/readyz")
        assert (status, json.loads(body)) == (
            503,
            {"status": "draining", "reason": "shutting down; try again later"},
        )
        assert (await get(server, "/healthz"))[0] == 200
        for query in ("", "?resume=of-nobody&received=1"):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(f"{server.url}{query}", proxy=None):
                    pass
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["Retry-After"] == "2"
        port = server.port
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_connection_that_asks_for_nothing_does_not_hold_up_the_end(engine: Engine) -> None:
    server = Server(engine, port=0, limits=Limits(open_timeout_s=60, shutdown_timeout_s=60))
    async with server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert (await get(server, "/livez"))[0] == 200
        async with asyncio.timeout(PATIENCE_S):
            await server.close()
        writer.transport.abort()


# ---- what is no request ----


@pytest.mark.parametrize(
    "wire",
    [
        f"NONSENSE {SECRET}\r\n\r\n",
        f"GET /?token={SECRET} HTTP/0.1\r\n\r\n",
        f"GET / HTTP/1.1\r\n{SECRET}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{SECRET} x: y\r\n\r\n",
        f"GET / HTTP/1.1\r\nContent-Length: 17\r\n\r\n{SECRET}",
    ],
)
async def test_a_malformed_request_is_one_line_without_a_quote_and_a_count(
    server: Server, caplog: pytest.LogCaptureFixture, wire: str
) -> None:
    with caplog.at_level(logging.INFO, logger="turnstream"):
        status, _, body = await ask(server, wire)
    assert status == 400
    assert body.startswith("expected an HTTP request without a body: ")
    (record,) = caplog.records
    assert record.getMessage() == "malformed request"
    assert SECRET not in str(vars(record)) + body
    assert "turnstream_malformed_requests_total 1.0" in (await get(server, "/metrics"))[1]


async def test_of_a_flood_of_malformed_requests_a_few_lines_a_second_are_logged(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 0.0
    server._plain._malformed_log = _MalformedLog(lambda: now_s)
    with caplog.at_level(logging.INFO, logger="turnstream"):
        for _ in range(20):
            await ask(server, "NONSENSE\r\n\r\n")
        assert len(caplog.records) == 5
        now_s = 1.0
        await ask(server, "NONSENSE\r\n\r\n")
    assert vars(caplog.records[-1])["left_out"] == 15
    assert "turnstream_malformed_requests_total 21.0" in (await get(server, "/metrics"))[1]


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/stream?%74oken={SECRET}",
        f"/v1/stream?Token={SECRET}",
        f"/v1/stream?{SECRET}",
        f"/v1/stream?{SECRET}=1",
        f"/v1/stream?frames={SECRET}",
        f"/v1/stream?tokn={SECRET}&x",
        f"/v1/stream/{SECRET}",
        f"/v1/stream#{SECRET}",
        f"/{SECRET}",
        f"//[{SECRET}]/",
        f"/readyz?{SECRET}",
    ],
)
async def test_a_token_at_a_wrong_place_is_not_logged(
    server: Server, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with caplog.at_level(logging.INFO, logger="turnstream"):
        await get(server, path)
        await get(server, path, method=SECRET)
    assert not any(SECRET in str(vars(record)) for record in caplog.records)
