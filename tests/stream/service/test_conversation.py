"""One conversation without sockets: order, lost connections, slow readers, stalls, and time limits by a clock that we turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.errors import ProtocolError
from turnstream.stream.service.batcher import Batcher
from turnstream.stream.service.conversation import Conversation
from turnstream.stream.service.limits import Limits
from turnstream.stream.settings import StreamSettings

from ..serving import dialogue, frames_of, of_type, offline


class Clock:
    """Goes on only when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class FakeConnection:
    """Takes what is sent while `writable`, and can answer pings."""

    remote = "test"

    def __init__(self, *, answers: bool = True) -> None:
        self.writable = True
        self.reading = True
        self.wires: list[str | bytes] = []
        self.closed: tuple[int, str] | None = None
        self.aborted = self.hung_up = False
        self.pings: list[bytes] = []
        self.answers = answers
        self.conversation: Conversation

    @property
    def messages(self) -> list[Any]:
        return [json.loads(wire) for wire in self.wires if isinstance(wire, str)]

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def send(self, wires: Iterable[str | bytes]) -> None:
        self.wires += wires

    def ping(self, payload: bytes) -> None:
        self.pings.append(payload)
        if self.answers:
            asyncio.get_running_loop().call_soon(self.conversation.on_pong, payload)

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)

    def hang_up(self, code: int, reason: str) -> None:
        self.hung_up = True
        self.close(code, reason)

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Desk:
    """A batcher with a clock of ours, and what its conversations report."""

    def __init__(self, engine: Engine, **bounds: Any) -> None:
        self.engine = engine
        self.clock = Clock()
        self.batcher = Batcher(engine, clock=self.clock)
        self.limits = Limits(**bounds)
        self.ended: list[str] = []
        self.parked = 0
        self.errors: list[str] = []

    def on_end(self, conversation: Conversation) -> None:
        self.ended.append(conversation.reason)

    def on_park(self, conversation: Conversation) -> None:
        self.parked += 1

    def on_error(self, conversation: Conversation, code: str) -> None:
        self.errors.append(code)

    def open(self, settings: StreamSettings | None = None, *, token: str | None = "token", answers: bool = True) -> tuple[Conversation, FakeConnection]:
        conversation = Conversation(settings or StreamSettings(), self.engine.metadata, self.batcher, self.limits, self, token=token)
        return conversation, attach(conversation, answers=answers)

    async def live(self, conversation: Conversation, samples: np.ndarray[Any, Any], chunk: int = 320) -> None:
        """Send in real time."""
        for start in range(0, len(samples), chunk):
            part = samples[start : start + chunk]
            self.clock.now_s += len(part) / 16000
            conversation.on_message(part.tobytes())
            await settle()


def attach(conversation: Conversation, *, answers: bool = True) -> FakeConnection:
    connection = FakeConnection(answers=answers)
    connection.conversation = conversation
    conversation.attach(connection)  # type: ignore[arg-type]
    return connection


def resume(conversation: Conversation, received: int) -> FakeConnection:
    connection = FakeConnection()
    connection.conversation = conversation
    conversation.resume(connection, received)  # type: ignore[arg-type]
    return connection


async def settle() -> None:
    """Let everything that can be done be done."""
    for _ in range(60):
        await asyncio.sleep(0)


CLOSE = '{"type":"close"}'


# ---- order ----------------------------------------------------------------------------------------------------


async def test_a_message_waits_until_everything_before_it_is_predicted_on(engine: Engine) -> None:
    desk, samples = Desk(engine), dialogue(2, seed=1)
    conversation, connection = desk.open()
    for message in (samples.tobytes(), '{"type":"flush"}', '{"type":"reset"}', samples.tobytes(), CLOSE):
        conversation.on_message(message)
    assert not connection.reading
    for _ in range(10):
        await settle()
    once = offline(engine, samples)[0]
    assert frames_of(connection.messages) == [*once, *once]
    assert connection.closed == (1000, "close")
    assert connection.types[-1] == "termination"
    conversation.on_disconnect(lost=False)
    assert desk.ended == ["close"]


async def test_nothing_is_done_after_an_error(engine: Engine) -> None:
    desk = Desk(engine)
    conversation, connection = desk.open()
    conversation.on_message(b"\x00" * 3)
    conversation.on_message(dialogue(1, seed=1).tobytes())
    await settle()
    assert connection.types == ["begin", "error"]
    assert desk.errors == ["bad_audio"]
    assert connection.closed is not None
    assert connection.closed[0] == 1007


# ---- lost connections -----------------------------------------------------------------------------------------


async def test_a_lost_connection_is_resumed_with_what_was_missed(engine: Engine) -> None:
    desk, samples = Desk(engine), dialogue(3, seed=2)
    conversation, first = desk.open()
    await desk.live(conversation, samples[:16000])
    conversation.on_disconnect(lost=True)
    assert (desk.parked, desk.ended) == (1, [])
    got = first.messages[:31]
    second = resume(conversation, len(got))
    assert second.messages[0] == {"type": "resumed", "session": first.messages[0]["session"], "received": 50, "missed": 0}
    await desk.live(conversation, samples[16000:])
    conversation.on_message(CLOSE)
    await settle()
    frames, events = offline(engine, samples)
    whole = [*got, *second.messages[1:]]
    assert frames_of(whole) == frames
    assert [(message["type"], message["time_s"]) for message in whole if "speaker" in message] == [(event.type, event.time_s) for event in events]


async def test_audio_that_came_before_the_loss_is_predicted_on_after_it(engine: Engine) -> None:
    desk, samples = Desk(engine), dialogue(1, seed=3)
    conversation, first = desk.open()
    conversation.on_message(samples.tobytes())
    conversation.on_message(CLOSE)
    conversation.on_disconnect(lost=True)
    for _ in range(5):
        await settle()
    second = resume(conversation, len(first.messages))
    assert frames_of([*first.messages, *second.messages]) == offline(engine, samples)[0]
    assert second.types[-1] == "termination"
    assert second.closed == (1000, "close")


async def test_a_new_connection_takes_over_one_that_only_seems_alive(engine: Engine) -> None:
    desk = Desk(engine)
    conversation, first = desk.open()
    await desk.live(conversation, dialogue(0.2, seed=1))
    second = resume(conversation, 1)
    assert first.hung_up
    assert first.closed == (1008, "resumed_elsewhere: the session goes on over another connection")
    assert second.types == ["resumed", *first.types[1:]]


async def test_a_session_waits_for_its_client_for_a_time_and_no_longer(engine: Engine) -> None:
    desk = Desk(engine, resume_s=30)
    conversation, _ = desk.open()
    conversation.on_disconnect(lost=True)
    desk.clock.now_s += 29
    conversation.tick(desk.clock())
    assert desk.ended == []
    desk.clock.now_s += 2
    conversation.tick(desk.clock())
    assert desk.ended == ["the client was lost"]


@pytest.mark.parametrize(("lost", "token"), [(False, "token"), (True, None)])
async def test_a_client_that_leaves_in_due_form_or_cannot_come_back_ends_the_session(engine: Engine, lost: bool, token: str | None) -> None:
    desk = Desk(engine)
    conversation, connection = desk.open(token=token)
    assert (connection.messages[0]["resume_token"], connection.messages[0]["resume_s"]) == ((token, 30) if token else (None, 0))
    conversation.on_disconnect(lost=lost)
    assert (desk.ended, desk.parked) == (["the client left"], 0)


async def test_a_count_that_cannot_be_is_refused(engine: Engine) -> None:
    desk = Desk(engine)
    conversation, _ = desk.open()
    with pytest.raises(ProtocolError, match="received: expected from 0 to 1 messages, got 2"):
        conversation.check_resume(2)


async def test_a_packed_conversation_goes_on_elsewhere_with_the_same_numbers(engine: Engine) -> None:
    desk, other, samples = Desk(engine), Desk(engine), dialogue(3, seed=4)
    conversation, first = desk.open()
    await desk.live(conversation, samples[:16000], 555)
    conversation.on_message(samples[16000:30000].tobytes())  # part of which still waits when it moves
    packed = conversation.pack()
    assert desk.ended == ["moved"]
    assert first.hung_up
    moved = Conversation.unpack(packed, engine.metadata, other.batcher, other.limits, other, token="token")
    assert (other.parked, moved.parked_s) == (1, other.clock())
    second = resume(moved, len(first.messages))
    moved.on_message(samples[30000:].tobytes())
    moved.on_message(CLOSE)
    for _ in range(5):
        await settle()
    whole = [*first.messages, *second.messages[1:]]
    assert frames_of(whole) == offline(engine, samples)[0]
    assert whole[-1] == {"type": "termination", "frames": 150, "seconds": 3.0, "reason": "close"}


# ---- slow readers ---------------------------------------------------------------------------------------------


async def test_a_file_waits_for_a_slow_reader_and_loses_nothing(engine: Engine) -> None:
    desk, samples = Desk(engine, max_outgoing_messages=40), dialogue(8, seed=5)
    conversation, connection = desk.open()
    connection.writable = False
    conversation.on_message(samples.tobytes())
    conversation.on_message(CLOSE)
    for _ in range(10):
        await settle()
    assert conversation.frames < 100
    while connection.closed is None:
        connection.writable = True
        conversation.on_writable()
        await settle()
    assert frames_of(connection.messages) == offline(engine, samples)[0]
    assert of_type(connection.messages, "warning") == []


async def test_a_live_client_that_reads_slowly_misses_frames_but_no_event(engine: Engine) -> None:
    desk, samples = Desk(engine, max_outgoing_messages=40), dialogue(12, seed=6)
    conversation, connection = desk.open(answers=False)
    await desk.live(conversation, samples[: 8 * 16000])
    assert [message["code"] for message in of_type(connection.messages, "warning")] == ["thinned"]
    connection.answers = True
    conversation.on_pong(connection.pings[-1])
    await desk.live(conversation, samples[8 * 16000 :])
    conversation.on_message(CLOSE)
    await settle()
    frames, events = offline(engine, samples)
    heard = [(message["type"], message["time_s"]) for message in connection.messages if "speaker" in message]
    assert heard == [(event.type, event.time_s) for event in events]
    assert len(frames_of(connection.messages)) < len(frames)
    assert connection.messages[-1]["frames"] == len(frames)


async def test_a_client_that_takes_nothing_gets_an_error(engine: Engine) -> None:
    desk = Desk(engine, max_outgoing_messages=20, slow_reader_timeout_s=10)
    conversation, connection = desk.open(answers=False)
    await desk.live(conversation, dialogue(1, seed=7))
    conversation.tick(desk.clock())
    await desk.live(conversation, dialogue(8.5, seed=7))
    conversation.tick(desk.clock())
    assert desk.errors == []
    await desk.live(conversation, dialogue(1, seed=7))
    conversation.tick(desk.clock())
    assert desk.errors == ["slow_reader"]
    assert connection.closed is not None
    assert connection.closed[0] == 1008


async def test_a_slow_but_steady_reader_is_kept(engine: Engine) -> None:
    desk = Desk(engine, max_outgoing_messages=20, slow_reader_timeout_s=10)
    conversation, connection = desk.open(answers=False)
    for _ in range(5):
        await desk.live(conversation, dialogue(8, seed=8))
        conversation.tick(desk.clock())
        if connection.pings:
            conversation.on_pong(connection.pings[-1])
    assert desk.errors == []


async def test_a_client_that_does_not_take_the_last_messages_is_closed_in_time(engine: Engine) -> None:
    desk = Desk(engine, slow_reader_timeout_s=10)
    conversation, connection = desk.open()
    connection.writable = False
    conversation.on_message(dialogue(1, seed=7).tobytes())
    conversation.on_message(CLOSE)
    await settle()
    for _ in range(12):
        assert connection.closed is None
        desk.clock.now_s += 1
        conversation.tick(desk.clock())
        if desk.clock.now_s > 1010:
            break
    assert connection.closed == (1000, "close")


async def test_the_last_messages_can_be_fetched_after_the_close_was_sent(engine: Engine) -> None:
    desk, samples = Desk(engine), dialogue(1, seed=7)
    conversation, first = desk.open()
    conversation.on_message(samples.tobytes())
    conversation.on_message(CLOSE)
    await settle()
    assert first.closed == (1000, "close")
    conversation.on_disconnect(lost=True)
    second = resume(conversation, 1)
    assert frames_of(second.messages) == offline(engine, samples)[0]
    assert second.closed == (1000, "close")


# ---- time limits ----------------------------------------------------------------------------------------------


async def test_a_session_that_stalls_is_told_so_once_for_each_stall(engine: Engine) -> None:
    desk = Desk(engine, stall_s=2, idle_timeout_s=1000)
    conversation, connection = desk.open()
    for _ in range(2):
        await desk.live(conversation, dialogue(0.1, seed=1))
        for _ in range(10):
            desk.clock.now_s += 1
            conversation.tick(desk.clock())
    warnings = of_type(connection.messages, "warning")
    assert [warning["code"] for warning in warnings] == ["stalled", "stalled"]
    assert warnings[0]["message"] == "no audio for 2 s; predictions wait for it"


async def test_a_client_that_says_nothing_is_let_go_and_keep_alive_keeps_it(engine: Engine) -> None:
    desk = Desk(engine, idle_timeout_s=60)
    conversation, connection = desk.open()
    for _ in range(5):
        desk.clock.now_s += 50
        conversation.on_message('{"type":"keep_alive"}')
        conversation.tick(desk.clock())
        await settle()
    assert desk.errors == []
    desk.clock.now_s += 61
    conversation.tick(desk.clock())
    assert desk.errors == ["idle"]
    assert connection.closed == (1008, "idle: expected audio or keep_alive at least every 60 s, got nothing")


async def test_a_connection_that_answers_no_ping_is_dropped(engine: Engine) -> None:
    desk = Desk(engine, ping_interval_s=5, ping_timeout_s=20)
    conversation, connection = desk.open(answers=False)
    for _ in range(28):
        desk.clock.now_s += 1
        conversation.tick(desk.clock())
    assert connection.pings == [b"2"]  # begin, and that it stalls
    assert connection.aborted


async def test_a_shutdown_predicts_on_what_has_come_and_says_so(engine: Engine) -> None:
    desk, samples = Desk(engine), dialogue(1, seed=9)
    conversation, connection = desk.open()
    conversation.on_message(samples.tobytes())
    conversation.shut_down()
    for _ in range(3):
        await settle()
    assert frames_of(connection.messages) == offline(engine, samples)[0]
    assert connection.messages[-1]["reason"] == "shutdown"
    assert connection.closed == (1001, "shutdown")


async def test_a_shutdown_does_not_wait_for_lost_clients(engine: Engine) -> None:
    desk = Desk(engine)
    conversation, _ = desk.open()
    conversation.on_disconnect(lost=True)
    conversation.shut_down()
    assert desk.ended == ["shutdown"]
