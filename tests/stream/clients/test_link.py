"""The client's link across lost connections.

Every message arrives once and in order, or there is one clear error.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

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
from turnstream.stream.service import connection
from turnstream.stream.settings import StreamSettings

from ..resuming_server import ResumingServer, answer, breaking_line
from ..serving import PATIENCE_S

MONO = StreamSettings(sample_rate_hz=8000, channels=1)


@pytest.fixture(autouse=True, scope="module")
def impatient() -> Iterator[None]:
    """Acknowledge and reconnect at once, so that a test takes no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link, "_PING_S", 0.005)
        patch.setattr(link, "_FIRST_PAUSE_S", 0.001)
        patch.setattr(link, "_LONGEST_PAUSE_S", 0.01)
        yield


def block(number: int, samples: int = 80) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.full(samples, number, np.int16)


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


async def resumed(client: AsyncClient) -> ServerMessage:
    """Check the warning of the lost connection; return the message after it."""
    warning = await client.receive()
    assert isinstance(warning, WarningMessage)
    assert warning.code == "connection_lost"
    return await client.receive()


def expected_answers(blocks: int) -> list[ServerMessage]:
    return [
        *(answer(number + 1) for number in range(blocks)),
        TerminationMessage(blocks + 1, 1.0, "close"),
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
    async with server.listening() as url, AsyncClient(url, MONO) as client:
        await client.push_audio(block(0))
        assert await client.receive() == answer(1)
        server.drop()
        assert await resumed(client) == ResumedMessage("s", 1)
        await client.push_audio(block(1))
        assert await client.receive() == answer(2)
    assert server.received == expected_wires(2)


async def test_frames_that_the_server_left_out_are_counted_as_received() -> None:
    server = ResumingServer()
    async with server.listening() as url, AsyncClient(url, MONO) as client:
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
    async with server.listening() as url, AsyncClient(url, MONO) as client:
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
    async with (
        server.listening() as url,
        AsyncClient(url, MONO, reconnect_s=1) as client,
        asyncio.timeout(PATIENCE_S),
    ):
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
    async with server.listening() as url, AsyncClient(url, MONO, reconnect_s=1) as client:
        sending = asyncio.create_task(client.push_audio(long))
        async with asyncio.timeout(PATIENCE_S):
            while len(server.received) < 11:  # the client hears the answers and keeps them all
                server.got.clear()
                await server.got.wait()
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
    async with server.listening() as url, AsyncClient(url, MONO) as client:
        await server.save(5)
        with pytest.raises(ServerError, match="expected saved with at most 0 messages, got 5"):
            await client.receive()


async def test_audio_goes_on_through_an_outage() -> None:
    server = ResumingServer()
    async with server.listening() as url, AsyncClient(url, MONO) as client:
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
    async with server.listening() as url, AsyncClient(url, MONO) as client:
        for number in range(50):
            await client.push_audio(block(number))
        while len(server.received) < 50:
            server.got.clear()
            await server.got.wait()
        server.drop()
        await server.tried.wait()
        await client.close()
        messages = [message async for message in client]
    assert without_resumed(messages) == expected_answers(50)


# ---- bounds ----


async def test_a_sender_that_is_too_fast_is_made_to_wait() -> None:
    server = ResumingServer()
    long = np.zeros(8000 * 30, np.int16)  # five times the bound of what may wait
    async with server.listening() as url, AsyncClient(url, MONO, reconnect_s=1) as client:
        server.hearing.clear()
        sending = asyncio.create_task(client.push_audio(long))
        done, _ = await asyncio.wait([sending], timeout=0.2)
        assert not done
        server.hearing.set()
        async with asyncio.timeout(PATIENCE_S):
            await sending
    assert b"".join(wire for wire in server.received if isinstance(wire, bytes)) == long.tobytes()


async def test_a_server_that_takes_nothing_is_given_up() -> None:
    server = ResumingServer()
    async with server.listening() as url:
        client = await AsyncClient(url, MONO, reconnect_s=1, timeout_s=0.2).__aenter__()
        server.hearing.clear()
        with pytest.raises(
            ServerError,
            match=(
                r"expected the server to take more; read its messages while you send; waited 0\.2 "
                "s"
            ),
        ) as failure:
            await client.push_audio(np.zeros(8000 * 30, np.int16))
        await client.__aexit__(ServerError)
    assert failure.value.code == "timeout"


async def test_a_client_that_has_nothing_to_say_keeps_the_session_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "_KEEP_ALIVE_S", 0.02)
    server = ResumingServer()
    async with server.listening() as url, AsyncClient(url, MONO), asyncio.timeout(PATIENCE_S):
        while len(server.received) < 2:
            server.got.clear()
            await server.got.wait()
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


# ---- what cannot be resumed ----


@pytest.mark.parametrize("status", [HTTPStatus.GONE, HTTPStatus.UNAUTHORIZED])
async def test_a_session_that_the_server_no_longer_has_is_lost_at_once(status: HTTPStatus) -> None:
    server = ResumingServer(refusal=status)
    async with server.listening() as url, AsyncClient(url, MONO) as client:
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
    async with server.listening() as url, AsyncClient(url, MONO, reconnect_s=reconnect_s) as client:
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
    async with server.listening() as url, AsyncClient(url, MONO, reconnect_s=0) as client:
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
    async with (
        server.listening() as url,
        AsyncClient(url, MONO) as client,
        asyncio.timeout(PATIENCE_S),
    ):
        assert server.connection is not None
        await server.connection.close(code)
        assert await resumed(client) == ResumedMessage("s", 0)


@pytest.mark.parametrize("code", [1000, 1001, 1008])
async def test_a_close_in_due_form_ends_the_session(code: int) -> None:
    server = ResumingServer()
    async with (
        server.listening() as url,
        AsyncClient(url, MONO) as client,
        asyncio.timeout(PATIENCE_S),
    ):
        assert server.connection is not None
        await server.connection.close(code)
        with pytest.raises(ServerError) as lost:
            await client.receive()
    assert (lost.value.code, server.attempts) == ("connection_lost", 0)


async def test_a_session_that_was_resumed_elsewhere_is_left_there() -> None:
    server = ResumingServer()
    async with server.listening() as url, AsyncClient(url, MONO) as client:
        assert server.connection is not None
        await server.connection.close(
            1008, "resumed_elsewhere: another connection continues this session"
        )
        with pytest.raises(ServerError, match="another connection continues this session") as lost:
            await client.receive()
    assert (lost.value.code, server.attempts) == ("resumed_elsewhere", 0)


async def test_a_server_that_claims_messages_it_cannot_have_is_not_believed() -> None:
    server = ResumingServer(received=[b""] * 7)
    async with server.listening() as url, AsyncClient(url, MONO) as client:
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
    async with server.listening() as url, AsyncClient(url, MONO) as client:
        await client.close()
        assert [message async for message in client] == expected_answers(0)
        with pytest.raises(
            ServerError, match=r"expected an open session, got one that has ended \(close\)"
        ) as ended:
            await client.push_audio(block(0))
    assert ended.value.code == "session_ended"
