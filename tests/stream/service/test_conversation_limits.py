"""One conversation without sockets: slow readers, stalls and time limits.

The test moves the clock.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.stream.engine import Engine
from turnstream.stream.resample import StreamingResampler
from turnstream.stream.settings import StreamSettings

from ..serving import dialogue, frames_of, of_type, offline
from .conversation_desk import CLOSE, Desk, resume, settle

# ---- slow readers ----


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
    warnings = of_type(connection.messages, "warning")
    assert {message["code"] for message in warnings} == {"thinned"}
    assert warnings[0]["message"] == (
        f"{warnings[0]['missed']} messages were left out, because too many waited for you; "
        "events never are"
    )
    connection.answers = True
    conversation.on_pong(connection.pings[-1])
    await desk.live(conversation, samples[8 * 16000 :])
    conversation.on_message(CLOSE)
    await settle()
    frames, events = offline(engine, samples)
    heard = [
        (message["type"], message["time_s"])
        for message in connection.messages
        if "speaker" in message
    ]
    assert heard == [(event.type, event.time_s) for event in events]
    missed = sum(message["missed"] for message in of_type(connection.messages, "warning"))
    assert missed > 0
    assert len(frames_of(connection.messages)) + missed == len(frames)
    assert connection.counted == 1 + len(frames) + len(events) + 1
    assert connection.messages[-1]["frames"] == len(frames)


async def test_unknown_controls_of_a_client_that_does_not_read_wait(engine: Engine) -> None:
    desk = Desk(engine, max_outgoing_messages=8)
    conversation, connection = desk.open()
    connection.writable = False
    for _ in range(100):
        conversation.on_message('{"type":"stop"}')
    assert not connection.reading
    connection.writable = True
    conversation.on_writable()
    assert connection.types.count("warning") == 100
    assert connection.reading


async def test_a_client_that_answers_no_ping_gets_no_endless_answers(engine: Engine) -> None:
    desk = Desk(engine, max_kept_messages=10)
    conversation, connection = desk.open(answers=False)
    for _ in range(100):
        conversation.on_message('{"type":"configure"}')
    assert connection.types[-1] == "error"
    assert connection.closed is not None
    assert connection.closed[1].startswith("slow_reader: expected answers to pings, got none; 20 ")


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


async def test_a_client_that_does_not_take_the_last_messages_is_closed_in_time(
    engine: Engine,
) -> None:
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


async def test_a_file_is_resampled_a_frame_at_a_time_between_the_steps(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, samples = Desk(engine), dialogue(6, seed=5, rate_hz=48000)
    conversation, connection = desk.open(StreamSettings(sample_rate_hz=48000))
    pushed: list[int] = []
    push = StreamingResampler.push

    def push_and_note(self: StreamingResampler, block: NDArray[np.float32]) -> NDArray[np.float32]:
        pushed.append(len(block))
        return push(self, block)

    monkeypatch.setattr(StreamingResampler, "push", push_and_note)
    conversation.on_message(samples.tobytes()[: 1 << 20])
    conversation.on_message(CLOSE)
    while connection.closed is None:
        await settle()
    assert max(pushed[:5]) == 12_000  # it may still be live audio that came late
    assert max(pushed[20:]) == 960
    assert connection.messages[-1]["frames"] == len(frames_of(connection.messages)) == 274


# ---- time limits ----


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
    assert connection.closed == (
        1008,
        "idle: expected audio or keep_alive at least every 60 s, got nothing",
    )


async def test_a_connection_that_answers_no_ping_is_dropped(engine: Engine) -> None:
    desk = Desk(engine, ping_interval_s=5, ping_timeout_s=20)
    conversation, connection = desk.open(answers=False)
    for _ in range(28):
        desk.clock.now_s += 1
        conversation.tick(desk.clock())
    assert connection.pings == [b"2"]  # a ping carries the message count: begin, stall warning
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


async def test_a_shutdown_still_reads_the_answer_to_a_close(engine: Engine) -> None:
    desk = Desk(engine)
    conversation, connection = desk.open()
    conversation.on_message(CLOSE)
    await settle()
    assert connection.closed == (1000, "close")
    conversation.shut_down()
    assert connection.reading


async def test_a_shutdown_does_not_wait_for_lost_clients(engine: Engine) -> None:
    desk = Desk(engine)
    conversation, _ = desk.open()
    conversation.on_disconnect(lost=True)
    conversation.shut_down()
    assert desk.ended == ["shutdown"]


async def test_a_client_that_answers_no_ping_is_dropped_whatever_else_it_sends(
    engine: Engine,
) -> None:
    desk = Desk(engine, ping_interval_s=5, ping_timeout_s=20, slow_reader_timeout_s=1000)
    conversation, connection = desk.open(answers=False)
    for second in range(70):
        conversation.on_message('{"type":"keep_alive"}')
        desk.clock.now_s += 1
        conversation.tick(desk.clock())
        assert connection.aborted == (second > 65)  # three times 20 s after the ping at 6 s
    assert desk.errors == []


async def test_a_session_without_any_audio_ends_in_time_although_it_is_kept_alive(
    engine: Engine,
) -> None:
    desk = Desk(engine, first_audio_timeout_s=100)
    for sends_audio in (True, False):
        conversation, _ = desk.open()
        if sends_audio:
            await desk.live(conversation, dialogue(0.02, seed=1))
        for _ in range(11):
            assert desk.errors == []
            conversation.on_message('{"type":"keep_alive"}')
            desk.clock.now_s += 10
            conversation.tick(desk.clock())
            await settle()
    assert desk.errors == ["no_audio"]


async def test_an_unfinished_message_ends_the_session_in_time(engine: Engine) -> None:
    desk = Desk(engine, message_timeout_s=30)
    conversation, connection = desk.open()
    connection.unfinished_since_s = desk.clock()
    desk.clock.now_s += 30
    conversation.tick(desk.clock())
    assert desk.errors == []
    desk.clock.now_s += 1
    conversation.tick(desk.clock())
    assert desk.errors == ["unfinished_message"]


async def test_messages_that_cannot_be_discarded_are_bounded_too(engine: Engine) -> None:
    desk = Desk(engine, max_kept_messages=10, stall_s=1, slow_reader_timeout_s=1000)
    conversation, connection = desk.open(answers=False)
    for _ in range(30):  # each stall has its warning, which must arrive
        await desk.live(conversation, dialogue(0.01, seed=1))
        desk.clock.now_s += 1.5
        conversation.tick(desk.clock())
    assert desk.errors == ["slow_reader"]
    assert connection.messages[-1]["message"] == (
        "expected at most 20 messages that you have not confirmed by answers to pings, got 21"
    )
    assert connection.closed is not None
    assert connection.closed[0] == 1008
