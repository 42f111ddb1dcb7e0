"""The adapter for Twilio, on a local predictor and on a client, with the bundled call."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream import (
    EVENT_TYPES,
    AsyncClient,
    AudioFormatError,
    Engine,
    PolicySettings,
    ProtocolError,
    StreamSettings,
    TurnEvent,
    TurnPredictor,
)
from turnstream.stream.adapters.twilio import TwilioCall
from turnstream.stream.pcm import decode_pcm
from turnstream.stream.service.server import Server

from ..serving import quick_limits
from ..telephony import twilio
from ..telephony.twilio import CALL_SID, CHUNK, STREAM_SID, bundled_call, interleaved

AUDIO = b"\x10" * CHUNK
TONE = (0.3 * np.sin(np.arange(24000) / 5)).astype(np.float32)  # 1 s at 24 kHz


def predictor(engine: Engine, policy: str | PolicySettings = "balanced") -> TurnPredictor:
    return TurnPredictor(engine, sample_rate_hz=8000, policy=policy)


def started() -> TwilioCall:
    call = TwilioCall()
    call.receive(twilio.start("inbound", name="Ada"))
    return call


def played(messages: Sequence[str]) -> NDArray[np.float32]:
    """Return what Twilio plays for these messages, (N,)."""
    words = [json.loads(message) for message in messages]
    speech = [base64.b64decode(w["media"]["payload"]) for w in words if w["event"] == "media"]
    return decode_pcm(b"".join(speech), "mulaw", 1)[:, 0]


def event(kind: str, speaker: int = 0) -> TurnEvent:
    return TurnEvent(kind, speaker, 1.0, 0.9)  # type: ignore[arg-type]


async def test_events_are_those_of_the_same_audio_on_a_predictor_and_on_a_client(
    engine: Engine,
) -> None:
    inbound, outbound = bundled_call(13, 8)
    local, call = predictor(engine), TwilioCall()
    found = [
        event
        for message in twilio.both_tracks(inbound, outbound)
        for prediction in local.push_audio(call.receive(message))
        for event in prediction.events
    ]
    audio = decode_pcm(interleaved(inbound, outbound), "mulaw", 2)
    expected = [e for p in predictor(engine).push_audio(audio) for e in p.events]
    assert len(expected) > 3
    assert found == expected
    assert call.stopped

    settings, call = StreamSettings(sample_rate_hz=8000, encoding="mulaw"), TwilioCall()
    remote: list[TurnEvent] = []
    async with (
        Server(engine, port=0, limits=quick_limits(), pause_model=local.pause_model) as server,
        AsyncClient(server.url, settings) as client,
    ):
        for kind in EVENT_TYPES:
            client.on(kind, remote.append)
        for message in twilio.both_tracks(inbound, outbound):
            await client.push_audio(call.receive(message))
    assert [(e.type, e.time_s, e.speaker) for e in remote] == [
        (e.type, e.time_s, e.speaker) for e in expected
    ]


def test_what_the_bot_says_is_resampled_and_heard_on_the_second_channel() -> None:
    call = started()
    messages = [*call.say(TONE[:9999], 24000), *call.say(TONE[9999:], 24000), *call.mark("said")]
    assert {json.loads(message)["streamSid"] for message in messages} == {STREAM_SID}
    assert json.loads(messages[-1]) == {
        "event": "mark",
        "streamSid": STREAM_SID,
        "mark": {"name": "said"},
    }
    speech = played(messages)
    assert len(speech) == 8000
    assert np.abs(speech - TONE[::3]).max() < 0.05
    heard = np.concatenate([call.receive(twilio.media(AUDIO, 20 * n)) for n in range(60)])
    assert np.array_equal(heard[:8000, 1], speech)
    assert not heard[8000:, 1].any()
    assert (call.heard_s, call.speaking) == (1.0, False)


def test_a_bot_that_writes_its_own_messages_tells_of_them() -> None:
    call = started()
    call.sent(twilio.speech(AUDIO))
    call.sent(twilio.mark("said"))
    assert call.speaking
    call.receive(twilio.echo("said"))
    assert (call.speaking, call.heard_s) == (False, 0.02)


@pytest.mark.parametrize("kind", ["interruption", "start_of_turn"])
def test_the_caller_cuts_in_and_the_rest_is_never_heard(kind: str) -> None:
    call = started()
    call.say(TONE, 24000)
    call.receive(twilio.media(AUDIO, 0))
    clear = call.barge_in(event(kind))
    assert clear is not None
    assert json.loads(clear) == {"event": "clear", "streamSid": STREAM_SID}
    assert call.heard_s == 0.02
    assert call.dropped_s == pytest.approx(1 - 0.02, abs=0.01)
    assert not call.receive(twilio.media(AUDIO, 20))[:, 1].any()


@pytest.mark.parametrize(
    "kept", [event("backchannel"), event("end_of_turn"), event("interruption", speaker=1)]
)
def test_nothing_else_stops_the_bot(kept: TurnEvent) -> None:
    call = started()
    assert call.barge_in(event("interruption")) is None  # it does not speak
    call.say(TONE, 24000)
    assert call.barge_in(kept) is None
    assert call.speaking


def test_the_call_is_known_once_it_has_started() -> None:
    call = TwilioCall()
    assert not call.started
    for use in (lambda: call.call_sid, lambda: call.say([0.5] * 160), call.clear):
        with pytest.raises(ProtocolError, match="expected Twilio's start before this, got none"):
            use()
    call.receive(twilio.start("inbound", name="Ada"))
    assert (call.call_sid, call.stream_sid) == (CALL_SID, STREAM_SID)
    assert call.parameters == {"name": "Ada"}


def test_bad_audio_of_the_bot_is_refused() -> None:
    call = started()
    with pytest.raises(AudioFormatError, match="expected float samples in"):
        call.say(np.full(160, 9000.0))
    with pytest.raises(AudioFormatError, match="sample rate that is an integer"):
        call.say(TONE, 4000)
    assert not call.speaking


@pytest.mark.parametrize("rate_hz", [8000, 24000])
def test_speech_that_is_too_long_has_no_effect(rate_hz: int) -> None:
    call = started()
    with pytest.raises(ProtocolError, match=r"at most 300 s .* that waits, got 30"):
        call.say(np.full(301 * rate_hz, 0.5, np.float32), rate_hz)
    assert not call.speaking
    assert not played(call.say(np.zeros(rate_hz), rate_hz)).any()


def test_calls_do_not_share_anything(engine: Engine) -> None:
    """Two calls at once give what each gives alone."""
    streams = [list(twilio.both_tracks(*bundled_call(5, start_s))) for start_s in (8, 30)]

    def alone(messages: Sequence[str]) -> list[float | None]:
        one, call = predictor(engine), TwilioCall()
        return [p.p_shift for m in messages for p in one.push_audio(call.receive(m))]

    async def together() -> list[list[float | None]]:
        return await asyncio.gather(*(asyncio.to_thread(alone, stream) for stream in streams))

    assert asyncio.run(together()) == [alone(stream) for stream in streams]
