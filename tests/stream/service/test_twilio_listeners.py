"""Who listens to a telephone call: how many may, and what becomes of those that do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable

import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.service.server import Server
from turnstream.stream.service.twilio import TwilioDialect

from ..serving import (
    PATIENCE_S,
    RawClient,
    of_type,
    quick_limits,
)
from ..telephony import twilio
from ..telephony.twilio import CALL_SID
from .twilio_clients import listener_of, opened, refusal


@pytest.fixture
async def phone(server: Server) -> AsyncIterator[RawClient]:
    """Return Twilio's connection."""
    async with opened(server, "/twilio") as connected:
        yield connected


async def test_a_call_has_eight_listeners_at_most(server: Server, phone: RawClient) -> None:
    await phone.send(twilio.start())
    listeners = [await listener_of(server, CALL_SID) for _ in range(8)]
    status, text = await refusal(server, f"/v1/calls/{CALL_SID}")
    assert (status, text) == (429, "expected at most 8 listeners of a call\n")
    await listeners[0].connection.close()
    listeners[0] = await listener_of(server, CALL_SID)
    await phone.send(twilio.stop())
    for listener in listeners:
        assert of_type(await listener.rest(), "termination")


async def test_all_calls_have_no_more_listeners_than_the_server_has_sessions(
    engine: Engine,
) -> None:
    limits = quick_limits(max_sessions=2, max_opening=2)
    async with (
        Server(engine, port=0, limits=limits) as server,
        opened(server, "/twilio") as phone,
    ):
        await phone.send(twilio.start())
        listeners = [await listener_of(server, CALL_SID) for _ in range(2)]
        status, text = await refusal(server, f"/v1/calls/{CALL_SID}")
        assert (status, text) == (503, "at capacity: 2 listeners of calls; try again later\n")
        # Nor do they take the place of those that are about to open a session.
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with opened(server, "/v1/twilio"):
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
        await listeners[0].connection.close()
        await listener_of(server, CALL_SID)


class FakeConnection:
    """A connection that takes nothing, and notes what is asked of it."""

    writable = False

    def __init__(self) -> None:
        self.closed: list[tuple[int, str]] = []
        self.pings = 0
        self.aborted = False

    def send(self, wires: Iterable[str | bytes]) -> None:
        assert not [*wires]

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def ping(self, payload: bytes) -> None:
        self.pings += 1

    def abort(self) -> None:
        self.aborted = True


def test_a_listener_that_reads_too_slowly_is_closed() -> None:
    call, slow = TwilioDialect({}), FakeConnection()
    call.listen(slow)  # type: ignore[arg-type]
    for _ in range(2):
        assert call.outgoing(json.dumps({"type": "end_of_turn"})) == []
    assert slow.closed == [(1008, "slow_reader: messages of the call waited")]


async def test_a_listener_is_pinged_and_must_answer(server: Server, phone: RawClient) -> None:
    await phone.send(twilio.start())
    listener = await listener_of(server, CALL_SID)
    paths = server._telephone
    silent, alive = FakeConnection(), FakeConnection()
    (talking,) = paths.listeners.values()
    of_silent, of_alive = (
        type(talking)(connection, TwilioDialect({}))  # type: ignore[arg-type]
        for connection in (silent, alive)
    )
    paths.listeners |= {silent: of_silent, alive: of_alive}  # type: ignore[dict-item]
    began_s = server.batcher.clock() + 100
    for seconds in (0, 1, 4.9, 5, 6):
        paths.tick(began_s + seconds)
    assert silent.pings == alive.pings == 2
    for seconds in (10, 15, 20, 25):
        of_alive.on_pong(b"")
        paths.tick(began_s + seconds)
    assert silent.aborted
    assert (alive.aborted, alive.pings) == (False, 6)
    for connection in (silent, alive):
        paths.listeners.pop(connection)  # type: ignore[arg-type]
    await listener.connection.close()
    async with asyncio.timeout(PATIENCE_S):
        while paths.listeners:
            await server._next_end()
