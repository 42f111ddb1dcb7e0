"""Two servers with one store: a session goes to whoever its client reaches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from turnstream.stream.engine import Engine
from turnstream.stream.service.server import Server

from ..serving import (
    PATIENCE_S,
    RawClient,
    dialogue,
    frames_of,
    offline,
    quick_limits,
    still_serves,
)
from .memory_store import MemoryStore
from .test_server_admission import refusal

SAMPLES, FRAMES = dialogue(4, seed=6), 200
CHUNK = 320


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def servers(engine: Engine, store: MemoryStore) -> AsyncIterator[list[Server]]:
    limits = quick_limits(save_interval_s=0.05)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Server(engine, port=0, limits=limits, store=store))
            for _ in range(2)
        ]


class Caller:
    """A client that counts and keeps its messages as PROTOCOL.md says."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.token = ""
        self.messages: list[dict[str, object]] = []
        self.sent = 0
        self.client: RawClient

    async def begin(self, server: Server, query: str = "") -> None:
        await self._connect(server, query)
        self.messages.append(await self.client.receive())
        self.token = str(self.messages[0]["resume_token"])

    async def resume(self, server: Server, query: str = "") -> None:
        await self._connect(server, f"resume={self.token}&received={len(self.messages)}{query}")
        resumed = await self.client.receive()
        assert resumed["type"] == "resumed"
        self.sent = resumed["received"]

    async def _connect(self, server: Server, query: str) -> None:
        connection = await self._stack.enter_async_context(
            connect(f"{server.url}?{query}", compression=None, proxy=None)
        )
        self.client = RawClient(connection)

    async def send(self, until: int) -> None:
        """Send frames of audio up to a number, and receive until the last one is predicted on."""
        for number in range(self.sent, until):
            part = SAMPLES[number * CHUNK : (number + 1) * CHUNK]
            await self.client.send(part.tobytes())
        self.sent = max(until, self.sent)
        while not any(message.get("frame") == until - 1 for message in self.messages):
            await self.hear()

    async def hear(self) -> dict[str, object]:
        message = await self.client.receive()
        if message["type"] not in {"saved", "warning"}:
            self.messages.append(message)
        return message

    async def finish(self) -> None:
        await self.client.send({"type": "close"})
        while self.messages[-1]["type"] != "termination":
            await self.hear()


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        yield Caller(stack)


def assert_exact(caller: Caller, engine: Engine) -> None:
    frames, events = offline(engine, SAMPLES)
    assert frames_of(caller.messages) == frames
    heard = [
        (message["type"], message["time_s"]) for message in caller.messages if "speaker" in message
    ]
    assert heard == [(event.type, event.time_s) for event in events]
    assert events[-1].time_s > 1
    assert caller.messages[-1]["frames"] == len(frames)


async def gone(server: Server) -> None:
    while server.sessions:
        await asyncio.sleep(0)


async def test_a_session_is_resumed_at_another_server_without_a_difference(
    engine: Engine, servers: list[Server], caller: Caller
) -> None:
    await caller.begin(servers[0])
    for number, until in enumerate((20, 50, 70)):
        await caller.send(until)
        await caller.resume(servers[(number + 1) % 2])
    await caller.send(FRAMES)
    await caller.finish()
    assert_exact(caller, engine)


async def test_an_older_state_is_repeated_without_what_the_client_has(
    engine: Engine, store: MemoryStore, servers: list[Server], caller: Caller
) -> None:
    await caller.begin(servers[0])
    while (await caller.hear())["type"] != "saved":
        pass
    store.open.clear()  # nothing is saved from here on
    await caller.send(60)
    begun = store.entries[caller.token]
    store.open.set()
    store.entries[caller.token] = (5, begun[1])  # the first server cannot save any more
    await caller.resume(servers[1])
    assert caller.sent == 0
    await caller.send(61)
    await caller.send(FRAMES)
    await caller.finish()
    assert_exact(caller, engine)


async def test_the_server_that_lost_a_session_closes_its_connection(
    servers: list[Server], caller: Caller
) -> None:
    await caller.begin(servers[0])
    await caller.send(20)
    old = caller.client
    await caller.resume(servers[1])
    await old.send(b"")  # something changes, so that the server saves
    await old.rest()
    assert old.close_code == 1008
    assert str(old.connection.close_reason).startswith("resumed_elsewhere: ")
    await gone(servers[0])
    assert servers[1].sessions == 1


async def test_a_session_that_comes_back_is_not_taken_from_an_old_copy(
    engine: Engine, servers: list[Server], caller: Caller
) -> None:
    await caller.begin(servers[0])
    await caller.send(20)
    await caller.resume(servers[1])
    await caller.send(60)
    await caller.resume(servers[0])
    await caller.send(FRAMES)
    await caller.finish()
    assert_exact(caller, engine)


async def test_of_two_servers_that_are_asked_at_the_same_moment_one_keeps_the_session(
    engine: Engine, servers: list[Server], caller: Caller
) -> None:
    await caller.begin(servers[0])
    await caller.send(30)
    caller.client.connection.transport.abort()
    async with AsyncExitStack() as stack:
        both = [Caller(stack) for _ in servers]
        for one in both:
            one.token, one.messages = caller.token, list(caller.messages)
        await asyncio.gather(*(one.resume(s) for one, s in zip(both, servers, strict=True)))
        ends = await asyncio.gather(
            *(talk_on(one) for one in both),
        )
        assert sorted(ends) == ["kept", "resumed_elsewhere"]
        winner = both[ends.index("kept")]
        assert_exact(winner, engine)


async def talk_on(caller: Caller) -> str:
    """Send until the end, slowly enough that the server saves; return how it went."""
    try:
        for until in range(max(caller.sent, 30) + 1, FRAMES + 1):
            await caller.send(until)
            while until % 20 == 0 and (await caller.hear())["type"] != "saved":
                pass
        await caller.finish()
    except ConnectionClosed:
        return str(caller.client.connection.close_reason).partition(":")[0]
    return "kept"


# ---- a store that fails ----


async def test_while_the_store_fails_a_session_begins_and_is_resumed_where_it_is(
    engine: Engine, store: MemoryStore, servers: list[Server], caller: Caller
) -> None:
    store.error = ConnectionError("no route")
    await caller.begin(servers[0])
    assert caller.messages[0]["saves"]
    while servers[0].store_ready or servers[1].store_ready:
        await asyncio.sleep(0)
    await caller.send(30)
    url = f"{servers[1].url}?resume={caller.token}&received=1"
    assert await refusal(url) == (
        503,
        "the session is not here, and the store of sessions fails; try again\n",
    )
    await caller.resume(servers[0])
    await caller.send(FRAMES)
    await caller.finish()
    assert_exact(caller, engine)


async def test_a_session_that_is_not_saved_yet_can_be_asked_for_again(
    engine: Engine, store: MemoryStore, servers: list[Server], caller: Caller
) -> None:
    store.save_error = ConnectionError("made to fail")
    await caller.begin(servers[0])
    url = f"{servers[1].url}?resume={caller.token}&received=1"
    assert await refusal(url) == (
        503,
        "the session is not here, and it was not saved yet; try again\n",
    )
    old = f"{caller.token.rpartition('.')[0]}.{int(time.time()) - 60}"
    assert (await refusal(f"{servers[1].url}?resume={old}&received=1"))[0] == 410


async def test_without_a_store_the_client_is_told_that_nothing_is_saved(
    server: Server, caller: Caller
) -> None:
    await caller.begin(server)
    assert not caller.messages[0]["saves"]
    assert server.store_ready
    assert await refusal(f"{server.url}?resume=unknown&received=1") == (
        410,
        "no such session: it has ended, or its client came back too late\n",
    )


async def test_bytes_that_are_no_session_are_refused_and_logged(
    engine: Engine, store: MemoryStore, servers: list[Server], caplog: pytest.LogCaptureFixture
) -> None:
    store.entries["token"] = 1, b"cos\nsystem\n(S'true'\ntR."
    assert await refusal(f"{servers[0].url}?resume=token&received=1") == (
        410,
        "no such session: it has ended, or its client came back too late\n",
    )
    await still_serves(servers[0], engine)
    assert (
        "a saved session is lost: expected a packed conversation, got 23 bytes that are not one"
        in caplog.text
    )


async def test_the_longest_wait_that_can_be_set_does_not_keep_a_session_from_moving(
    engine: Engine, store: MemoryStore, caller: Caller
) -> None:
    limits = quick_limits(save_interval_s=0.05, max_waiting_s=60)
    async with (
        Server(engine, port=0, limits=limits, store=store) as first,
        Server(engine, port=0, limits=limits, store=store) as second,
    ):
        await caller.begin(first)
        await caller.send(20)
        await caller.resume(second)
        await caller.send(FRAMES)
        await caller.finish()
    assert_exact(caller, engine)
