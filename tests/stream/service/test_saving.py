"""When a session is saved, and what happens while the store fails or is slow."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.service import saving
from turnstream.stream.service.conversation import Conversation
from turnstream.stream.service.packed_conversation import PackedConversation
from turnstream.stream.service.saving import Saver

from ..serving import dialogue, frames_of, offline
from .conversation_desk import CLOSE, Desk, FakeConnection, settle
from .memory_store import MemoryStore


class SavingDesk(Desk):
    """A desk whose conversations are saved."""

    def __init__(self, engine: Engine, **bounds: Any) -> None:
        super().__init__(engine, **bounds)
        self.store = MemoryStore()
        self.saver = Saver(self.store, self.limits, self.clock)
        self.shutting_down = False

    def on_end(self, conversation: Conversation) -> None:
        super().on_end(conversation)
        self.saver.remove(conversation, keep=self.shutting_down)

    async def begin(self) -> tuple[Conversation, FakeConnection]:
        conversation, connection = self.open(saves=True)
        self.saver.add(conversation)
        await settle()
        return conversation, connection

    async def tick(self, seconds: float = 0.25) -> None:
        self.clock.now_s += seconds
        self.saver.tick(self.clock())
        await settle()

    @property
    def received(self) -> int:
        """Messages of the client that the saved state contains."""
        return PackedConversation.from_bytes(self.store.entries["token"][1]).received


@pytest.fixture
def desk(engine: Engine) -> SavingDesk:
    return SavingDesk(engine)


async def test_a_session_is_saved_when_it_begins_and_its_client_is_told(desk: SavingDesk) -> None:
    _, connection = await desk.begin()
    assert desk.received == 0
    assert connection.messages[1:] == [{"type": "saved", "received": 0}]


async def test_a_session_is_saved_every_two_seconds_and_only_if_something_changed(
    desk: SavingDesk,
) -> None:
    conversation, connection = await desk.begin()
    for _ in range(20):  # 5 s
        await desk.tick()
    assert desk.store.saves == 1
    conversation.on_message('{"type":"keep_alive"}')
    await desk.tick()
    assert (desk.store.saves, desk.received) == (2, 1)
    for _ in range(16):  # 4 s, with a message in each quarter of a second
        conversation.on_message('{"type":"keep_alive"}')
        await desk.tick()
    assert desk.store.saves == 4
    assert connection.messages[-1] == {"type": "saved", "received": desk.received}


async def test_a_session_in_which_nothing_happens_is_saved_before_it_expires(
    engine: Engine,
) -> None:
    desk = SavingDesk(engine, resume_s=30)
    await desk.begin()
    await desk.tick(14)
    assert desk.store.saves == 1
    await desk.tick(2)
    assert desk.store.saves == 2


async def test_a_session_is_saved_as_soon_as_its_client_is_lost(desk: SavingDesk) -> None:
    conversation, _ = await desk.begin()
    conversation.on_message('{"type":"keep_alive"}')
    conversation.on_disconnect(lost=True)
    await desk.tick()
    assert desk.received == 1


async def test_much_audio_at_once_is_saved_before_the_time(desk: SavingDesk) -> None:
    conversation, _ = await desk.begin()
    conversation.on_message(dialogue(6, seed=1).tobytes())
    for _ in range(10):
        await settle()
    await desk.tick()
    assert desk.received == 1


async def test_a_session_that_ends_is_deleted(desk: SavingDesk) -> None:
    conversation, _ = await desk.begin()
    conversation.on_message(CLOSE)
    await settle()
    conversation.on_disconnect(lost=False)
    await settle()
    assert desk.store.entries == {}


async def test_a_session_that_ends_while_it_is_saved_is_deleted_after_that(
    desk: SavingDesk,
) -> None:
    conversation, _ = await desk.begin()
    desk.store.open.clear()
    conversation.on_message('{"type":"keep_alive"}')
    await desk.tick(2)
    conversation.on_disconnect(lost=False)
    await settle()
    assert list(desk.store.entries) == ["token"]
    desk.store.open.set()
    await settle()
    assert desk.store.entries == {}


async def test_when_the_server_stops_a_session_without_a_client_stays_in_the_store(
    desk: SavingDesk,
) -> None:
    conversation, _ = await desk.begin()
    conversation.on_message('{"type":"keep_alive"}')
    conversation.on_disconnect(lost=True)
    desk.shutting_down = True
    conversation.shut_down()
    await desk.saver.close()
    assert desk.received == 1


async def test_a_session_that_another_process_has_claimed_ends_here(desk: SavingDesk) -> None:
    conversation, connection = await desk.begin()
    await desk.store.claim("token")
    conversation.on_message('{"type":"keep_alive"}')
    await desk.tick(2)
    assert desk.ended == ["resumed_elsewhere"]
    assert connection.closed is not None
    assert connection.closed[0] == 1008
    assert desk.store.entries["token"][0] == 2
    assert desk.saver.ready


async def test_a_save_that_was_overtaken_by_the_own_claim_ends_nothing(desk: SavingDesk) -> None:
    conversation, _ = await desk.begin()
    desk.store.open.clear()
    conversation.on_message('{"type":"keep_alive"}')
    await desk.tick(2)
    desk.store.entries["token"] = 2, b""  # the claim
    conversation.epoch = 2
    desk.store.open.set()
    await settle()
    assert desk.ended == []
    await desk.tick(2)
    assert desk.received == 1


# ---- a store that fails ----


async def test_while_the_store_fails_sessions_go_on_and_are_saved_when_it_is_back(
    engine: Engine, desk: SavingDesk, caplog: pytest.LogCaptureFixture
) -> None:
    samples = dialogue(2, seed=2)
    conversation, connection = await desk.begin()
    desk.store.error = ConnectionError("no route")
    caplog.set_level(logging.WARNING)
    for start in range(0, 32000, 3200):
        await desk.live(conversation, samples[start : start + 3200])
        await desk.tick(1)
    assert not desk.saver.ready
    assert caplog.messages == ["the session store fails, sessions are not saved: no route"]
    assert frames_of(connection.messages) == offline(engine, samples)[0]
    assert connection.types.count("saved") == 1
    desk.store.error = None
    caplog.clear()
    for _ in range(4):
        await desk.tick(1)
    assert desk.saver.ready
    assert caplog.messages == ["the session store is back, sessions are saved again"]
    assert connection.messages[-1] == {"type": "saved", "received": 100}


async def test_a_store_that_fails_is_asked_by_one_probe_and_not_for_every_session(
    desk: SavingDesk,
) -> None:
    desk.store.error = ConnectionError("no route")
    await desk.tick(2)
    calls = 0

    async def count() -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError("no route")

    desk.store._answer = count  # type: ignore[method-assign]
    for _ in range(50):
        await desk.begin()
    for _ in range(8):  # 2 s
        await desk.tick()
    assert calls == 1


async def test_a_server_without_sessions_notices_that_its_store_fails(desk: SavingDesk) -> None:
    desk.store.error = ConnectionError("no route")
    await desk.tick(2)
    assert not desk.saver.ready
    desk.store.error = None
    await desk.tick(2)
    assert desk.saver.ready


async def test_no_prediction_waits_for_a_slow_store(engine: Engine, desk: SavingDesk) -> None:
    samples = dialogue(2, seed=2)
    conversation, connection = await desk.begin()
    desk.store.open.clear()
    conversation.on_message('{"type":"keep_alive"}')
    await desk.tick(2)
    await desk.live(conversation, samples)
    assert frames_of(connection.messages) == offline(engine, samples)[0]
    assert connection.types.count("saved") == 1
    for _ in range(20):  # the save that waits is the only one of this session
        await desk.tick(2)
    desk.store.open.set()
    await settle()
    assert desk.store.saves == 2


async def test_a_store_that_does_not_answer_in_time_fails(
    desk: SavingDesk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(saving, "_TIMEOUT_S", 0.01)
    desk.store.open.clear()
    with pytest.raises(TimeoutError):
        await desk.saver.claim("token")
    assert not desk.saver.ready
    assert "sessions are not saved: no answer within 0.01 s" in caplog.text


async def test_many_sessions_are_saved_a_few_at_a_time(desk: SavingDesk) -> None:
    desk.store.open.clear()
    waiting = 0

    async def count() -> None:
        nonlocal waiting
        waiting += 1
        await desk.store.open.wait()

    desk.store._answer = count  # type: ignore[method-assign]
    for _ in range(40):
        await desk.begin()
    assert waiting == saving._AT_ONCE
    desk.store.open.set()
    await asyncio.gather(*desk.saver._calls)
    assert desk.store.saves == 40
