"""When the client's link ends: what cannot be resumed is one clear error."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from pathlib import Path

import pytest

from turnstream.stream.clients import link
from turnstream.stream.clients.asynchronous import AsyncClient
from turnstream.stream.errors import ServerError
from turnstream.stream.protocol import ResumedMessage
from turnstream.stream.service import connection

from ..resuming_server import ResumingServer
from ..serving import PATIENCE_S
from .linked import MONO, block, expected_answers, linked, resumed

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.mark.parametrize("status", [HTTPStatus.GONE, HTTPStatus.UNAUTHORIZED])
async def test_a_session_that_the_server_no_longer_has_is_lost_at_once(status: HTTPStatus) -> None:
    server = ResumingServer(refusal=status)
    async with linked(server) as client:
        server.drop()
        words = (
            r"connection to ws://127\.0\.0\.1:\d+ broke and the session could not be resumed: "
            f"the server refused with HTTP {status.value}: no more"
        )
        with pytest.raises(ServerError, match=words) as lost:
            await resumed(client)
        with pytest.raises(ServerError, match=words):
            await client.push_audio(block(0))
    assert (lost.value.code, server.attempts) == ("session_lost", 1)


@pytest.mark.parametrize(("reconnect_s", "resume_s"), [(0.2, 30.0), (30.0, 0.2)])
async def test_time_to_resume_runs_out(reconnect_s: float, resume_s: float) -> None:
    server = ResumingServer(resume_s, refusal=HTTPStatus.SERVICE_UNAVAILABLE)
    async with linked(server, reconnect_s=reconnect_s) as client:
        server.drop()
        with pytest.raises(
            ServerError,
            match=r"could not be resumed within 0\.2 s: the server refused with HTTP 503",
        ) as lost:
            await resumed(client)
    assert lost.value.code == "session_lost"
    assert server.attempts > 3


async def test_resuming_can_be_switched_off() -> None:
    server = ResumingServer()
    async with linked(server, reconnect_s=0) as client:
        server.drop()
        with pytest.raises(ServerError, match="was lost before the session ended") as lost:
            await client.receive()
    assert (lost.value.code, server.attempts) == ("connection_lost", 0)


def codes(words: str) -> set[int]:
    return {int(word) for word in words.split(",")}


def test_both_clients_and_the_server_agree_on_what_can_be_resumed() -> None:
    script = Path(link.__file__).parents[1] / "js" / "turnstream.js"
    listed = re.search(r"RESUMABLE = \[([\d, ]+)\]", script.read_text("utf-8"))
    assert listed is not None
    # 1006: without a close frame
    assert codes(listed[1]) == connection._BROKEN_CODES == link._BREAKS | {1006}


@pytest.mark.parametrize("code", [1011, 1012, 1013])
async def test_a_close_that_says_that_something_failed_is_a_break(code: int) -> None:
    server = ResumingServer()
    async with linked(server) as client:
        await server.close(code)
        assert await resumed(client) == ResumedMessage("s", 0)


@pytest.mark.parametrize("code", [1000, 1001, 1008])
async def test_a_close_in_due_form_ends_the_session(code: int) -> None:
    server = ResumingServer()
    async with linked(server) as client:
        await server.close(code)
        with pytest.raises(ServerError) as lost:
            await client.receive()
    assert (lost.value.code, server.attempts) == ("connection_lost", 0)


async def test_a_session_that_was_resumed_elsewhere_is_left_there() -> None:
    server = ResumingServer()
    async with linked(server) as client:
        await server.close(1008, "resumed_elsewhere: another connection continues this session")
        with pytest.raises(ServerError, match="another connection continues this session") as lost:
            await client.receive()
    assert (lost.value.code, server.attempts) == ("resumed_elsewhere", 0)


async def test_a_server_that_claims_messages_it_cannot_have_is_not_believed() -> None:
    server = ResumingServer(received=[b""] * 7)
    async with linked(server) as client:
        server.drop()
        with pytest.raises(
            ServerError, match="expected resumed with 0 to 0 messages received, got ResumedMessage"
        ) as lost:
            await resumed(client)
    assert lost.value.code == "session_lost"


async def test_an_error_of_the_callers_ends_the_attempts() -> None:
    server = ResumingServer(refusal=HTTPStatus.SERVICE_UNAVAILABLE)
    async with server.listening() as url, asyncio.timeout(PATIENCE_S):
        client = await AsyncClient(url, MONO).__aenter__()
        server.drop()
        await server.tried.wait()
        await client.__aexit__(KeyError)  # returns at once, although 30 s are left


async def test_nothing_more_can_be_sent_after_the_end() -> None:
    server = ResumingServer()
    async with linked(server) as client:
        await client.close()
        assert [message async for message in client] == expected_answers(0)
        with pytest.raises(
            ServerError, match=r"expected an open session, got one that has ended \(close\)"
        ) as ended:
            await client.push_audio(block(0))
    assert ended.value.code == "session_ended"
