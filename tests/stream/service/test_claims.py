"""What a session keeps when another server claims it: its policy, its owner, its turn in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake

from turnstream.stream.engine import Engine
from turnstream.stream.policy_settings import PRESETS, Policies, PolicySettings
from turnstream.stream.service import resampling, sessions
from turnstream.stream.service.server import Server

from ..serving import PATIENCE_S, dialogue, frames_of, offline, quick_limits, until
from .memory_store import MemoryStore
from .test_server_admission import refusal
from .test_sessions import Caller

OWN = {**PRESETS, "own": PolicySettings(end_threshold=0.9)}


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        yield Caller(stack)


async def until_saved(caller: Caller) -> None:
    while (await caller.hear())["type"] != "saved":
        pass


async def test_a_session_with_a_preset_of_the_server_can_be_claimed_and_configured(
    engine: Engine, caller: Caller
) -> None:
    store, limits, policies = MemoryStore(), quick_limits(save_interval_s=0.05), Policies(OWN)
    async with (
        Server(engine, port=0, limits=limits, store=store, policies=policies) as first,
        Server(engine, port=0, limits=limits, store=store, policies=policies) as second,
    ):
        await caller.begin(first, "policy=own")
        await until_saved(caller)
        await caller.resume(second)
        await caller.client.send({"type": "configure", "policy": "own", "timeout_secs": 5})
        while (heard := await caller.hear())["type"] != "configured":
            pass
    assert heard["settings"]["policy"] == "own"  # type: ignore[index]
    assert heard["settings"]["end_threshold"] == 0.9  # type: ignore[index]


async def test_a_session_is_claimed_by_a_server_that_does_not_know_its_preset(
    engine: Engine, caller: Caller
) -> None:
    store, limits = MemoryStore(), quick_limits(save_interval_s=0.05)
    async with (
        Server(engine, port=0, limits=limits, store=store, policies=Policies(OWN)) as first,
        Server(engine, port=0, limits=limits, store=store) as second,
    ):
        await caller.begin(first, "policy=own")
        await until_saved(caller)
        await caller.resume(second)
        await caller.send(20)
        await caller.finish()


async def test_a_claimed_session_counts_for_the_token_and_address_that_resume_it(
    engine: Engine, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "address_of", lambda host: host)  # loopback is not exempt
    store = MemoryStore()
    limits = quick_limits(save_interval_s=0.05, max_sessions_per_token=1)
    async with (
        Server(engine, port=0, limits=limits, store=store, tokens=["one"]) as first,
        Server(engine, port=0, limits=limits, store=store, tokens=["one"]) as second,
    ):
        await caller.begin(first, "token=one")
        await until_saved(caller)
        await caller.resume(second, "&token=one")
        assert await refusal(f"{second.url}?token=one") == (
            429,
            "expected at most 1 sessions of one token, got one more\n",
        )


async def test_the_table_of_a_claimed_session_is_made_in_a_thread(
    engine: Engine, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []
    real = resampling.prepare_table

    def prepare_table(input_rate_hz: int, output_rate_hz: int) -> None:
        made.append(threading.current_thread() is threading.main_thread())
        real(input_rate_hz, output_rate_hz)

    monkeypatch.setattr(resampling, "prepare_table", prepare_table)
    store, limits = MemoryStore(), quick_limits(save_interval_s=0.05)
    samples = dialogue(1, seed=5, rate_hz=22053)
    async with (
        Server(engine, port=0, limits=limits, store=store) as first,
        Server(engine, port=0, limits=limits, store=store) as second,
    ):
        await caller.begin(first, "sample_rate=22053")
        await until_saved(caller)
        await caller.resume(second)
        await caller.client.send(samples.tobytes())
        await caller.finish()
    assert frames_of(caller.messages) == offline(engine, samples, rate_hz=22053)[0]
    assert made == [False, False]


async def test_a_client_whose_claim_is_under_way_is_told_of_the_shutdown(
    engine: Engine, caller: Caller
) -> None:
    store = MemoryStore()
    async with Server(engine, port=0, limits=quick_limits(), store=store) as server:
        store.open.clear()
        store.called.clear()
        asked = asyncio.create_task(refusal(f"{server.url}?resume=unknown&received=1"))
        await until(lambda: server._sessions._preparing)
        await server.close()
        assert await asked == (503, "shutting down; try again later\n")


async def test_a_claim_that_fails_drops_its_client_at_once(
    engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(packed: bytes) -> None:
        raise RuntimeError("made to fail")

    monkeypatch.setattr(sessions.PackedConversation, "from_bytes", broken)
    store, limits = MemoryStore(), quick_limits(open_timeout_s=60)
    store.entries["token"] = 1, b""
    async with Server(engine, port=0, limits=limits, store=store) as server:
        with pytest.raises((ConnectionError, InvalidHandshake)):
            async with asyncio.timeout(PATIENCE_S):
                await connect(f"{server.url}?resume=token&received=1", proxy=None)
    assert "made to fail" in caplog.text
