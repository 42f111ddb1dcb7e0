"""The client's link across lost connections: every message arrives once and in order."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.stream.clients import link
from turnstream.stream.clients.asynchronous import AsyncClient
from turnstream.stream.errors import ServerError
from turnstream.stream.protocol import (
    ResumedMessage,
    ServerMessage,
    TerminationMessage,
    WarningMessage,
    message_to_json,
)

from ..resuming_server import ResumingServer, answer, breaking_line
from ..serving import PATIENCE_S
from .linked import MONO, block, expected_answers, linked, resumed

pytestmark = pytest.mark.usefixtures("impatient")


async def talk(client: AsyncClient, blocks: int) -> list[ServerMessage]:
    """Send numbered blocks and `close` while reading; return every message."""

    async def send() -> None:
        for number in range(blocks):
            await client.push_audio(block(number))
            if number % 3 == 0:
                # Let other tasks run, so that messages are sent in groups of many sizes.
                await asyncio.sleep(0)
        await client.close()

    async with asyncio.TaskGroup() as tasks, asyncio.timeout(PATIENCE_S):
        tasks.create_task(send())
        return [message async for message in client]


def expected_wires(blocks: int) -> list[str | bytes]:
    return [*(block(number).tobytes() for number in range(blocks)), '{"type":"close"}']


def without_resumed(messages: list[ServerMessage]) -> list[ServerMessage]:
    return [
        message for message in messages if not isinstance(message, ResumedMessage | WarningMessage)
    ]


# ---- nothing lost, nothing doubled ----

FIRST_CUT = st.tuples(st.integers(700, 9000), st.integers(900, 9000))  # after `begin`
# Later cuts can also come in a handshake.
LATER_CUTS = st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 6000)), max_size=6)


@settings(max_examples=60)
@given(FIRST_CUT, LATER_CUTS, st.integers(0, 60))
def test_a_line_that_breaks_anywhere_loses_and_doubles_nothing(
    first: tuple[int, int], later: list[tuple[int, int]], blocks: int
) -> None:
    async def converse() -> None:
        server = ResumingServer()
        async with (
            server.listening() as url,
            breaking_line(url, iter([first, *later])) as line,
            AsyncClient(line, MONO) as client,
        ):
            messages = await talk(client, blocks)
        assert server.received == expected_wires(blocks)
        assert without_resumed(messages) == expected_answers(blocks)
        assert sum(isinstance(message, ResumedMessage) for message in messages) <= server.resumes

    asyncio.run(converse())


async def test_the_caller_is_told_that_the_session_was_resumed() -> None:
    server = ResumingServer()
    async with linked(server) as client:
        await client.push_audio(block(0))
        assert await client.receive() == answer(1)
        server.drop()
        assert await resumed(client) == ResumedMessage("s", 1)
        await client.push_audio(block(1))
        assert await client.receive() == answer(2)
    assert server.received == expected_wires(2)


async def test_frames_that_the_server_left_out_are_counted_as_received() -> None:
    server = ResumingServer()
    async with linked(server) as client:
        await client.push_audio(block(0))
        assert await client.receive() == answer(1)
        server.refusal = HTTPStatus.SERVICE_UNAVAILABLE
        server.drop()
        await server.tried.wait()
        server.leave_out(2)
        server.say(answer(9))
        server.refusal = None
        assert await resumed(client) == ResumedMessage("s", 1)
        assert await client.receive() == WarningMessage("thinned", "warning", "left out", 2)
        assert await client.receive() == answer(9)
        server.drop()
        assert await resumed(client) == ResumedMessage("s", 1)
        await client.push_audio(block(1))
        assert await client.receive() == answer(2)


async def test_warnings_are_not_counted() -> None:
    server = ResumingServer()
    async with linked(server) as client:
        assert server.connection is not None
        stalled = WarningMessage("stalled", "warning", "no audio")
        await server.connection.send(message_to_json(stalled))
        assert await client.receive() == stalled
        server.say(answer(0))
        server.drop()
        assert await resumed(client) == ResumedMessage("s", 0)
        assert await client.receive() == answer(0)


# ---- a server that saves ----


async def test_a_server_that_dies_gets_everything_since_it_last_saved() -> None:
    server = ResumingServer(saves=True)
    async with linked(server, reconnect_s=1) as client:
        answers: list[ServerMessage] = []
        for number in range(6):  # so many bytes that the client pings in between
            await client.push_audio(block(number, 4000))
            answers.append(await client.receive())
            if number == 0:
                await server.save()
        server.die(saved=1)
        assert await resumed(client) == ResumedMessage("s", 1)
        await client.push_audio(block(6, 4000))
        answers.append(await client.receive())
        assert answers == expected_answers(7)[:-1]
    assert server.received[:-1] == [block(number, 4000).tobytes() for number in range(7)]


async def test_a_server_that_does_not_save_any_more_makes_the_sender_wait() -> None:
    server = ResumingServer(saves=True)
    long = np.zeros(8000 * 30, np.int16)  # five times the bound of what may wait
    async with linked(server, reconnect_s=1) as client:
        sending = asyncio.create_task(client.push_audio(long))
        await server.has_received(11)  # the client hears the answers and keeps them all
        assert not sending.done()
        while not sending.done():
            server.got.clear()
            await server.save()
            waiting = asyncio.create_task(server.got.wait())
            await asyncio.wait([sending, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
    assert b"".join(wire for wire in server.received if isinstance(wire, bytes)) == long.tobytes()


async def test_a_server_that_claims_to_have_saved_what_it_cannot_have_is_not_believed() -> None:
    server = ResumingServer(saves=True)
    async with linked(server) as client:
        await server.save(5)
        with pytest.raises(ServerError, match="expected saved with at most 0 messages, got 5"):
            await client.receive()


async def test_audio_goes_on_through_an_outage() -> None:
    server = ResumingServer()
    async with linked(server) as client:
        server.refusal = HTTPStatus.SERVICE_UNAVAILABLE
        server.drop()
        await server.tried.wait()
        for number in range(500):
            await client.push_audio(block(number))
        assert server.received == []
        server.refusal = None
        await client.close()
        messages = [message async for message in client]
    assert server.received == expected_wires(500)
    assert without_resumed(messages) == expected_answers(500)


async def test_a_connection_that_falls_silent_counts_as_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "_SILENT_S", 0.1)
    server = ResumingServer()
    async with (
        server.listening() as url,
        breaking_line(url, iter([(3000, 10**6)]), silently=True) as line,
        AsyncClient(line, MONO) as client,
    ):
        messages = await talk(client, 30)
    assert (server.received, server.resumes) == (expected_wires(30), 1)
    assert without_resumed(messages) == expected_answers(30)


async def test_messages_that_nobody_reads_wait_in_bounds_and_survive_a_break(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "_UNREAD_MESSAGES", 5)
    server = ResumingServer()
    async with linked(server) as client:
        for number in range(50):
            await client.push_audio(block(number))
        await server.has_received(50)
        server.drop()
        await server.tried.wait()
        await client.close()
        messages = [message async for message in client]
    assert without_resumed(messages) == expected_answers(50)


# ---- bounds ----


async def test_a_sender_that_is_too_fast_is_made_to_wait() -> None:
    server = ResumingServer()
    long = np.zeros(8000 * 30, np.int16)  # five times the bound of what may wait
    async with linked(server, reconnect_s=1) as client:
        server.hearing.clear()
        sending = asyncio.create_task(client.push_audio(long))
        done, _ = await asyncio.wait([sending], timeout=0.2)
        assert not done
        server.hearing.set()
        await sending
    assert b"".join(wire for wire in server.received if isinstance(wire, bytes)) == long.tobytes()


async def test_a_server_that_takes_nothing_is_given_up() -> None:
    server = ResumingServer()
    async with server.listening() as url:
        client = await AsyncClient(url, MONO, reconnect_s=1, timeout_s=0.2).__aenter__()
        server.hearing.clear()
        words = r"expected the server to take more; read its messages while you send; waited 0\.2 s"
        with pytest.raises(ServerError, match=words) as failure:
            await client.push_audio(np.zeros(8000 * 30, np.int16))
        await client.__aexit__(ServerError)
    assert failure.value.code == "timeout"


async def test_a_client_that_has_nothing_to_say_keeps_the_session_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "_KEEP_ALIVE_S", 0.02)
    server = ResumingServer()
    async with linked(server):
        await server.has_received(2)
    assert set(server.received[:-1]) == {'{"type":"keep_alive"}'}


async def test_what_nobody_reads_keeps_nobody_from_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_UNREAD_MESSAGES", 5)
    server = ResumingServer()
    async with server.listening() as url, asyncio.timeout(PATIENCE_S):
        for number in range(20_000):
            server.say(answer(number))
        async with AsyncClient(url, MONO, timeout_s=1.0) as client:
            pass
        left = [message async for message in client]
    assert len(left) < 10_000
    assert left[-1] == TerminationMessage(1, 1.0, "close")
