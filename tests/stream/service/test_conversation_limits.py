"""One conversation without sockets: slow readers, stalls and time limits.

The test moves the clock.
"""

from __future__ import annotations

from turnstream.stream.engine import Engine

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


async def test_a_shutdown_does_not_wait_for_lost_clients(engine: Engine) -> None:
    desk = Desk(engine)
    conversation, _ = desk.open()
    conversation.on_disconnect(lost=True)
    conversation.shut_down()
    assert desk.ended == ["shutdown"]
