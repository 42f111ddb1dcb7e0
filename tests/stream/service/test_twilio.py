"""The paths for telephone calls: a bot that forwards, and Twilio itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import numpy as np
import pytest
from websockets.frames import Frame, Opcode

from turnstream.stream.engine import Engine
from turnstream.stream.errors import ProtocolError
from turnstream.stream.pcm import decode_pcm, to_float32
from turnstream.stream.policy_settings import Policies
from turnstream.stream.service.inbox import Inbox
from turnstream.stream.service.server import Server
from turnstream.stream.service.twilio import parse_relay_query

from ..serving import (
    PATIENCE_S,
    RawClient,
    dialogue,
    frames_of,
    of_type,
    offline,
    quick_limits,
    raw_client,
    still_serves,
    talk,
)
from ..telephony import twilio
from ..telephony.twilio import CALL_SID, CHUNK, STREAM_SID, bundled_call, interleaved
from .twilio_clients import listener_of, opened, refusal

AUDIO = b"\x10" * CHUNK
# No frame is left out, however busy the machine is.
WHOLE = {"max_outgoing_messages": 4096, "max_kept_messages": 4096}


@pytest.fixture(scope="module")
def bundled() -> Engine:
    """Return the bundled model, which hears turns where the tests' random one does not."""
    return Engine()


async def send_all(client: RawClient, messages: Iterable[str]) -> None:
    for message in messages:
        await client.send(message)


async def native(server: Server, audio: bytes) -> list[Any]:
    """Return what a client of PROTOCOL.md gets for the same mu-law audio."""
    query = "sample_rate=8000&channels=2&encoding=mulaw"
    async with raw_client(server, query) as client:
        return await talk(client, np.frombuffer(audio, np.uint8), 640)


def events_of(messages: list[Any]) -> list[Any]:
    return [message for message in messages if "turn_index" in message]


# ---- a bot that forwards ----


async def test_a_forwarded_call_gives_what_its_audio_gives_by_the_native_protocol(
    bundled: Engine,
) -> None:
    inbound, outbound = bundled_call(13, 8)
    async with Server(bundled, port=0, limits=quick_limits(**WHOLE)) as server:
        async with opened(server, "/v1/twilio?frames=all") as client:
            reader = asyncio.create_task(client.rest())
            await send_all(client, twilio.both_tracks(inbound, outbound))
            messages = await reader
        expected = await native(server, interleaved(inbound, outbound))
    assert client.close_code == 1000
    assert frames_of(messages) == frames_of(expected)
    assert events_of(messages) == events_of(expected)
    assert {event["type"] for event in events_of(messages)} >= {"start_of_turn", "end_of_turn"}
    assert of_type(messages, "termination") == [
        {"type": "termination", "frames": 650, "seconds": 13.0, "reason": "close"}
    ]


async def test_the_forwarded_speech_of_the_bot_is_the_second_channel(bundled: Engine) -> None:
    inbound, spoken = bundled_call(4, 12)
    async with Server(bundled, port=0, limits=quick_limits(**WHOLE)) as server:
        async with opened(server, "/v1/twilio?frames=all") as client:
            reader = asyncio.create_task(client.rest())
            await send_all(client, [twilio.start(), twilio.speech(spoken), twilio.mark("said")])
            await send_all(client, (twilio.media(s, t) for t, s in twilio.chunks(inbound)))
            await send_all(client, [twilio.echo("said"), twilio.stop()])
            messages = await reader
        assert frames_of(messages) == frames_of(await native(server, interleaved(inbound, spoken)))


async def test_a_bot_that_forwards_gets_events_alone_and_may_send_controls(
    server: Server,
) -> None:
    async with opened(server, "/v1/twilio?policy=patient") as client:
        await send_all(
            client,
            [
                twilio.start("inbound", policy="fast", end_threshold="0.7", campaign="spring"),
                twilio.media(AUDIO, 0),
                '{"type": "configure", "frames": 5}',
                twilio.media(AUDIO * 10, 20),
                twilio.stop(),
            ],
        )
        messages = await client.rest()
    begin, by_parameter, by_control = (
        messages[0]["settings"],
        *(message["settings"] for message in of_type(messages, "configured")),
    )
    assert (begin["policy"], begin["frames"], begin["encoding"]) == ("patient", "none", "mulaw")
    assert (by_parameter["policy"], by_parameter["end_threshold"]) == ("fast", 0.7)
    assert (by_parameter["frames"], by_control["frames"]) == ("none", 5)
    assert [frame["frame"] for frame in of_type(messages, "frame")] == [0, 5, 10]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("sample_rate=16000", "sample_rate: expected no such setting on /v1/twilio"),
        ("frames=all&resume=x&received=1", "resume: expected no such setting on /v1/twilio"),
        ("frames=often", "frames: expected all, none or a whole number"),
        ("latents=final", "latents=final: expected frames=all or a number"),
        ("speed=3", "unknown setting 'speed'"),
    ],
)
def test_a_bad_query_is_refused(query: str, complaint: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_relay_query(query)
    assert refused.value.code == "bad_setting"
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("messages", "code", "complaint"),
    [
        (["{"], "bad_control", "expected a JSON object, got '{'"),
        ([b"\x00" * 160], "bad_control", "expected a text message of Twilio, got 160 bytes"),
        ([twilio.media(AUDIO, 0)], "bad_control", "expected start before any other message"),
        (
            [twilio.start(), twilio.media(AUDIO, 0, payload="!")],
            "bad_audio",
            "payload: expected base64",
        ),
        (
            [twilio.start("inbound", end_threshold="high")],
            "bad_setting",
            "end_threshold: expected a number from 0 to 1, got 'high'",
        ),
        (
            [twilio.start(), *[twilio.speech(b"\x00" * 700_000)] * 4],
            "bad_audio",
            "expected at most 300 s of the bot's speech that waits, got 350.0 s",
        ),
    ],
)
async def test_a_bad_call_ends_with_one_clear_error_and_nobody_else_notices(
    server: Server, engine: Engine, messages: list[str | bytes], code: str, complaint: str
) -> None:
    samples = dialogue(1, seed=11)
    async with raw_client(server) as healthy:
        await healthy.send(samples[:1600].tobytes())
        async with opened(server, "/v1/twilio") as client:
            with contextlib.suppress(ConnectionError):
                for message in messages:
                    await client.send(message)
            received = await client.rest()
        assert [message["type"] for message in received] == ["begin", "error"]
        assert received[1]["code"] == code
        assert complaint in received[1]["message"]
        assert frames_of(await talk(healthy, samples[1600:], 1600)) == offline(engine, samples)[0]
        await still_serves(server, engine)


async def test_a_payload_that_is_too_big_is_one_clear_error(engine: Engine) -> None:
    limits = quick_limits(max_message_bytes=100_000)
    async with Server(engine, port=0, limits=limits) as server:
        async with opened(server, "/v1/twilio") as client:
            await send_all(client, [twilio.start(), twilio.media(AUDIO * 500, 0)])
            (error,) = of_type(await client.rest(), "error")
        assert error["code"] == "message_too_big"
        assert "expected a message of at most 100000 bytes, got 1068" in error["message"]
        await still_serves(server, engine)


async def test_a_live_call_does_not_wait_behind_files(server: Server) -> None:
    """Text messages of a call are audio: they do not count as a flood of controls."""
    async with opened(server, "/v1/twilio") as client:
        await client.send(twilio.start())
        for number in range(100):
            await client.send(twilio.media(AUDIO, 20 * number))
        assert (await client.receive())["type"] == "begin"
        await (await client.connection.ping())
        (connection,) = server._connections
        assert connection._small.is_calm()


# ---- Twilio itself ----


@pytest.fixture
async def phone(server: Server) -> AsyncIterator[RawClient]:
    """Return Twilio's connection."""
    async with opened(server, "/twilio") as connected:
        yield connected


async def test_twilio_gets_no_message_and_a_listener_gets_the_events(bundled: Engine) -> None:
    inbound, outbound = bundled_call(13, 8)
    async with Server(bundled, port=0, limits=quick_limits()) as server:
        async with opened(server, "/twilio") as phone:
            first, *rest = list(twilio.both_tracks(inbound, outbound))[1:]
            await phone.send(first)
            by_call = await listener_of(server, CALL_SID)
            by_stream = await listener_of(server, STREAM_SID)
            readers = [asyncio.create_task(one.rest()) for one in (by_call, by_stream)]
            reader = asyncio.create_task(phone.rest())
            await send_all(phone, rest)
            assert await reader == []
            heard, too = [await one for one in readers]
        policy = offline(bundled, _int16(inbound, outbound), rate_hz=8000)[1]
    assert phone.close_code == by_call.close_code == by_stream.close_code == 1000
    assert heard == too
    assert [message["type"] for message in (heard[0], heard[-1])] == ["begin", "termination"]
    expected = [(event.type, event.time_s, event.speaker) for event in policy]
    assert len(expected) > 3
    assert [(e["type"], e["time_s"], e["speaker"]) for e in events_of(heard)] == expected


def _int16(inbound: bytes, outbound: bytes) -> Any:
    samples = to_float32(decode_pcm(interleaved(inbound, outbound), "mulaw", 2))
    return np.rint(samples * 32768).astype(np.int16)


async def test_parameters_set_the_policy_and_a_later_listener_is_told(
    server: Server, phone: RawClient
) -> None:
    await phone.send(twilio.start("inbound", policy="fast", frames="2"))
    await phone.send(twilio.media(AUDIO, 0))
    await (await phone.connection.ping())
    listener = await listener_of(server, CALL_SID)
    begin, configured = await listener.receive(), await listener.receive()
    assert (begin["type"], begin["settings"]["frames"]) == ("begin", "none")
    assert configured["settings"]["policy"] == "fast"
    await phone.send(twilio.media(AUDIO * 8, 20))
    assert (await listener.receive())["frame"] in (0, 2)
    await phone.connection.close()
    await listener.rest()
    assert listener.close_code == 1000


async def test_without_parameters_the_policy_is_the_servers(engine: Engine) -> None:
    policies = Policies(default="patient", values={"end_threshold": 0.8})
    async with (
        Server(engine, port=0, limits=quick_limits(), policies=policies) as server,
        opened(server, "/twilio") as phone,
    ):
        await phone.send(twilio.start())
        listener = await listener_of(server, CALL_SID)
        settings = (await listener.receive())["settings"]
        assert settings["policy"] == "patient"
        assert (settings["end_threshold"], settings["end_silence_secs"]) == (0.8, 0.9)


async def test_an_error_of_twilios_stream_reaches_the_listener(
    server: Server, phone: RawClient, engine: Engine
) -> None:
    await phone.send(twilio.start())
    listener = await listener_of(server, CALL_SID)
    await phone.send(twilio.media(AUDIO, 0, payload="!"))
    assert await phone.rest() == []
    assert phone.close_code == 1007
    assert [message["type"] for message in await listener.rest()] == ["begin", "error"]
    await still_serves(server, engine)


async def test_a_token_is_the_rest_of_twilios_path(engine: Engine) -> None:
    tokens = ["one/two ü", "other"]
    async with Server(engine, port=0, limits=quick_limits(), tokens=tokens) as server:
        for path in ("/twilio", "/twilio/wrong", "/v1/twilio", f"/v1/calls/{CALL_SID}"):
            assert (await refusal(server, path))[0] == 401
        async with opened(server, "/twilio/one%2Ftwo%20%C3%BC") as phone:
            await phone.send(twilio.start())
            listener = await listener_of(server, CALL_SID, "?token=one%2Ftwo%20%C3%BC")
            # Who has another token does not learn that there is such a call.
            status, text = await refusal(server, f"/v1/calls/{CALL_SID}?token=other")
            assert (status, "expected the SID of a call" in text) == (404, True)
        await listener.rest()


async def test_a_call_with_another_token_does_not_take_the_place_of_one_with_its_sid(
    engine: Engine,
) -> None:
    async with (
        Server(engine, port=0, limits=quick_limits(), tokens=["mine", "other"]) as server,
        opened(server, "/twilio/mine") as phone,
        opened(server, "/twilio/other") as stranger,
    ):
        for connection in (phone, stranger):
            await connection.send(twilio.start())
            await (await connection.connection.ping())
        sessions = [
            (await (await listener_of(server, CALL_SID, f"?token={token}")).receive())["session"]
            for token in ("mine", "other")
        ]
        assert len({*sessions}) == 2


async def test_refusals_say_why(server: Server) -> None:
    status, text = await refusal(server, "/twilio?policy=fast")
    assert (status, text) == (
        400,
        "expected <Parameter>s, because Twilio sends no query; got 'policy=fast'\n",
    )
    status, text = await refusal(server, "/v1/twilio?channels=1")
    assert (status, text) == (400, "channels: expected no such setting on /v1/twilio\n")
    status, text = await refusal(server, "/v1/calls/CA5")
    assert status == 404
    assert "connected to /twilio, got 'CA5'" in text
    assert (await refusal(server, "/v1/calls/"))[1].startswith("no such path")


async def test_small_messages_with_long_gaps_do_not_fill_the_memory(
    server: Server, phone: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    added, waiting_s, add = asyncio.Event(), [], Inbox.add

    def note(inbox: Inbox, message: str | bytes) -> None:
        add(inbox, message)
        waiting_s.append(sum(map(len, inbox._waiting)) / 16000)
        added.set()

    monkeypatch.setattr(Inbox, "add", note)
    gaps = [twilio.media(b"", 60_000 * number) for number in range(20)]
    messages = [Frame(Opcode.TEXT, text.encode()) for text in (twilio.start(), *gaps)]
    phone.connection.transport.write(b"".join(frame.serialize(mask=True) for frame in messages))
    async with asyncio.timeout(PATIENCE_S):
        await added.wait()
    phone.connection.transport.abort()
    assert 50 < max(waiting_s) < 200  # the rest is read when these are predicted on


async def test_a_server_that_stops_ends_calls_and_their_listeners(
    server: Server, phone: RawClient
) -> None:
    await send_all(phone, [twilio.start(), twilio.media(AUDIO, 0)])
    listener = await listener_of(server, CALL_SID)
    readers = [asyncio.create_task(one.rest()) for one in (phone, listener)]
    async with asyncio.timeout(10):
        await server.close()
    none, told = [await reader for reader in readers]
    assert none == []
    assert told[-1]["reason"] == "shutdown"
    assert (phone.close_code, listener.close_code) == (1001, 1000)
