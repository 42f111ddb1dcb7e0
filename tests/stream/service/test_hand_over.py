"""A server that stops leaves its sessions to others of its store, if it was told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import pytest
from websockets.exceptions import ConnectionClosed

from turnstream.stream.engine import Engine
from turnstream.stream.service.server import Server

from ..serving import PATIENCE_S, of_type, quick_limits, raw_client
from .memory_store import MemoryStore
from .test_sessions import FRAMES, Caller, assert_exact


def make_server(
    engine: Engine, store: MemoryStore, *, hand_over: bool = True, resume_s: float = 30.0
) -> Server:
    limits = quick_limits(save_interval_s=0.05, resume_s=resume_s)
    return Server(engine, port=0, limits=limits, store=store, hand_over=hand_over)


async def test_a_session_goes_on_at_another_server_without_a_difference(engine: Engine) -> None:
    store = MemoryStore()
    async with (
        asyncio.timeout(PATIENCE_S),
        AsyncExitStack() as connections,
        make_server(engine, store) as other,
    ):
        caller = Caller(connections)
        async with make_server(engine, store) as stopped:
            await caller.begin(stopped)
            await caller.send(90)
        with suppress(ConnectionClosed):
            while True:
                assert (await caller.hear())["type"] == "saved"
        assert stopped.sessions == 0
        await caller.resume(other)
        assert caller.sent == 90  # the last state was saved
        await caller.send(FRAMES)
        await caller.finish()
    assert_exact(caller, engine)


@pytest.mark.parametrize("case", ["not told to", "the store fails", "it cannot be resumed"])
async def test_other_sessions_end_with_a_reason(engine: Engine, case: str) -> None:
    store = MemoryStore()
    server = make_server(
        engine,
        store,
        hand_over=case != "not told to",
        resume_s=0.0 if case == "it cannot be resumed" else 30.0,
    )
    async with server, raw_client(server) as client:
        await client.send(bytes(1280))
        await client.receive()
        if case == "the store fails":
            store.error = ConnectionError("gone")
            while server.store_ready:
                await client.send(bytes(1280))
                await client.receive()
        await server.close()
        (end,) = of_type(await client.rest(), "termination")
    assert end["reason"] == "shutdown"


def test_without_a_store_that_others_share_nothing_can_be_handed_over(
    complaint: Callable[..., str],
) -> None:
    expected = "expected --store, which other servers share, with --hand-over, got none"
    assert complaint("serve", "--hand-over") == expected
