"""One conversation without sockets: the order of messages, and lost connections."""

from __future__ import annotations

import asyncio
import pickle

import msgspec
import numpy as np
import pytest

from turnstream.stream.clients.asynchronous import encode_pcm
from turnstream.stream.engine import Engine
from turnstream.stream.errors import ProtocolError, SnapshotError
from turnstream.stream.pcm import ENCODINGS, Encoding
from turnstream.stream.settings import LatentChoice, StreamSettings

from ..serving import dialogue, frames_of, offline
from .conversation_desk import CLOSE, Desk, resume, settle

# ---- order ----


async def test_a_message_waits_until_everything_before_it_is_predicted_on(engine: Engine) -> None:
    desk, samples = Desk(engine), dialogue(2, seed=1)
    conversation, connection = desk.open()
    for message in (
        samples.tobytes(),
        '{"type":"flush"}',
        '{"type":"reset"}',
        samples.tobytes(),
        CLOSE,
    ):
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


# ---- lost connections ----


async def test_a_lost_connection_is_resumed_with_what_was_missed(engine: Engine) -> None:
    desk, samples = Desk(engine), dialogue(3, seed=2)
    conversation, first = desk.open()
    await desk.live(conversation, samples[:16000])
    conversation.on_disconnect(lost=True)
    assert (desk.parked, desk.ended) == (1, [])
    got = first.messages[:31]
    second = resume(conversation, 31)
    assert second.messages[0] == {
        "type": "resumed",
        "session": first.messages[0]["session"],
        "received": 50,
    }
    await desk.live(conversation, samples[16000:])
    conversation.on_message(CLOSE)
    await settle()
    frames, events = offline(engine, samples)
    whole = [*got, *second.messages[1:]]
    assert frames_of(whole) == frames
    assert [(message["type"], message["time_s"]) for message in whole if "speaker" in message] == [
        (event.type, event.time_s) for event in events
    ]


async def test_audio_that_came_before_the_loss_is_predicted_on_after_it(engine: Engine) -> None:
    desk, samples = Desk(engine), dialogue(1, seed=3)
    conversation, first = desk.open()
    conversation.on_message(samples.tobytes())
    conversation.on_message(CLOSE)
    conversation.on_disconnect(lost=True)
    for _ in range(5):
        await settle()
    second = resume(conversation, first.counted)
    assert frames_of([*first.messages, *second.messages]) == offline(engine, samples)[0]
    assert second.types[-1] == "termination"
    assert second.closed == (1000, "close")


async def test_a_new_connection_takes_over_one_that_only_seems_alive(engine: Engine) -> None:
    desk = Desk(engine)
    conversation, first = desk.open()
    await desk.live(conversation, dialogue(0.2, seed=1))
    second = resume(conversation, 1)
    assert first.hung_up
    assert first.closed == (
        1008,
        "resumed_elsewhere: the session continues over another connection",
    )
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
async def test_a_client_that_leaves_in_due_form_or_cannot_come_back_ends_the_session(
    engine: Engine, lost: bool, token: str | None
) -> None:
    desk = Desk(engine)
    conversation, connection = desk.open(token=token)
    assert (connection.messages[0]["resume_token"], connection.messages[0]["resume_s"]) == (
        (token, 30) if token else (None, 0)
    )
    conversation.on_disconnect(lost=lost)
    assert (desk.ended, desk.parked) == (["the client left"], 0)


async def test_a_count_that_cannot_be_is_refused(engine: Engine) -> None:
    desk = Desk(engine)
    conversation, _ = desk.open()
    with pytest.raises(ProtocolError, match="received: expected from 0 to 1 messages, got 2"):
        conversation.check_resume(2)


# ---- another process ----


async def test_a_packed_conversation_resumes_elsewhere_with_the_same_numbers(
    engine: Engine,
) -> None:
    desk, other, samples = Desk(engine), Desk(engine), dialogue(3, seed=4)
    conversation, first = desk.open(saves=True)
    await desk.live(conversation, samples[:16000], 555)
    # A part of the audio still waits when the session is saved.
    conversation.on_message(samples[16000:30000].tobytes())
    packed, received = conversation.pack(), first.counted
    moved = other.unpack(packed, received)
    assert (other.parked, moved.parked_s) == (1, other.clock())
    second = resume(moved, received)
    moved.on_message(samples[30000:].tobytes())
    moved.on_message(CLOSE)
    for _ in range(5):
        await settle()
    whole = [*first.messages[:received], *second.messages[1:]]
    assert frames_of(whole) == offline(engine, samples)[0]
    assert whole[-1] == {"type": "termination", "frames": 150, "seconds": 3.0, "reason": "close"}


@pytest.mark.parametrize("latents", ["none", "all"])
async def test_what_was_sent_after_the_last_save_is_not_sent_again(
    engine: Engine, latents: LatentChoice
) -> None:
    desk, other, samples = Desk(engine), Desk(engine), dialogue(4, seed=4)
    settings = StreamSettings(latents=latents)
    conversation, first = desk.open(settings, saves=True)
    await desk.live(conversation, samples[:16000])
    packed = conversation.pack()
    await desk.live(conversation, samples[16000:48000])  # lost with the process, but answered
    received = len(first.wires)
    moved = other.unpack(packed, received)
    second = resume(moved, received)
    assert [message["received"] for message in second.messages] == [50, 50]
    assert second.types == ["resumed", "saved"]
    moved.on_message(samples[16000:].tobytes())
    moved.on_message(CLOSE)
    for _ in range(8):
        await settle()
    alone, unbroken = Desk(engine).open(settings)
    alone.on_message(samples.tobytes())
    alone.on_message(CLOSE)
    for _ in range(8):
        await settle()
    assert [*first.wires, *second.wires[2:]][1:] == unbroken.wires[1:]


async def test_a_client_with_fewer_messages_than_it_confirmed_is_refused(engine: Engine) -> None:
    desk = Desk(engine)
    conversation, _ = desk.open(saves=True)
    await desk.live(conversation, dialogue(2, seed=4))
    moved = Desk(engine).unpack(conversation.pack(), 3)
    with pytest.raises(ProtocolError, match=r"received: expected from \d\d to \d+ messages, got 3"):
        moved.check_resume(3)


async def test_the_client_is_told_what_is_saved_and_told_again_when_it_comes_back(
    engine: Engine,
) -> None:
    conversation, first = Desk(engine).open(saves=True)
    assert first.messages[0]["saves"]
    conversation.on_message(dialogue(0.1, seed=1).tobytes())
    await settle()
    conversation.on_saved(1)
    assert first.messages[-1] == {"type": "saved", "received": 1}
    second = resume(conversation, first.counted)
    assert second.messages[1:] == [{"type": "saved", "received": 1}]


async def test_a_conversation_that_was_claimed_elsewhere_lets_its_client_go(engine: Engine) -> None:
    desk = Desk(engine)
    conversation, connection = desk.open(saves=True)
    conversation.leave()
    assert connection.closed == (
        1008,
        "resumed_elsewhere: the session continues over another connection",
    )
    assert desk.ended == ["resumed_elsewhere"]


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_audio_that_is_processed_in_part_moves_without_a_gap(
    engine: Engine, encoding: Encoding
) -> None:
    desk, other = Desk(engine), Desk(engine)
    samples = encode_pcm(dialogue(3, seed=5) / np.float32(32768), encoding)
    conversation, first = desk.open(StreamSettings(encoding=encoding))
    conversation.on_message(samples)
    conversation.on_message('{"type":"configure","policy":"fast"}')
    await asyncio.sleep(0)
    packed, received = conversation.pack(), first.counted
    conversation.leave()
    assert desk.batcher.largest_batch > 0
    second = resume(other.unpack(packed, received), received)
    for _ in range(10):
        await settle()
    whole, (alone, unbroken) = (
        [*first.messages, *second.messages[1:]],
        desk.open(StreamSettings(encoding=encoding)),
    )
    alone.on_message(samples)
    for _ in range(10):
        await settle()
    assert len(frames_of(whole)) == 150
    assert frames_of(whole) == frames_of(unbroken.messages)


async def test_a_conversation_that_has_ended_moves_with_its_last_messages(engine: Engine) -> None:
    desk, other, samples = Desk(engine), Desk(engine), dialogue(1, seed=6)
    conversation, first = desk.open()
    first.writable = False
    conversation.on_message(samples.tobytes())
    conversation.on_message(CLOSE)
    for _ in range(5):
        await settle()
    second = resume(other.unpack(conversation.pack(), 0), 0)
    assert frames_of(second.messages) == offline(engine, samples)[0]
    assert second.types[-1] == "termination"
    assert second.closed == (1000, "close")


async def test_damaged_bytes_are_one_error_and_count_no_session(engine: Engine) -> None:
    desk, other = Desk(engine), Desk(engine)
    conversation, _ = desk.open()
    conversation.on_message(dialogue(1, seed=7).tobytes())
    packed = conversation.pack()
    foreign = msgspec.msgpack.encode(
        msgspec.msgpack.decode(packed) | {"session": b"not a snapshot"}
    )
    for damaged in (foreign, packed[:-1], pickle.dumps({"session": b""})):
        with pytest.raises(SnapshotError, match=r"expected a (snapshot|packed conversation)"):
            other.unpack(damaged, 1)
    assert b"turnstream_sessions_opened_total 0.0" in other.exposition()[1]
    assert b"turnstream_sessions 0.0" in other.exposition()[1]


async def test_live_audio_that_the_server_is_late_to_predict_stays_live(engine: Engine) -> None:
    desk = Desk(engine)
    live, connection = desk.open()
    late = dialogue(1.5, seed=1).tobytes()  # more than the session's buffer holds
    desk.clock.now_s += 1.5
    live.on_message(late)
    assert not connection.reading
    assert live.is_live
    file, _ = desk.open()
    file.on_message(dialogue(4, seed=1).tobytes())
    for _ in range(3):
        await settle()
    assert not file.is_live
