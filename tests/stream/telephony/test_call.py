"""A call from the messages of a Twilio stream, of both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.stream.errors import ProtocolError
from turnstream.stream.telephony.call import Call
from turnstream.stream.telephony.messages import clear_message, mark_message, media_message
from turnstream.stream.telephony.tracks import SILENCE

from . import twilio
from .twilio import CHUNK, STREAM_SID, bundled_call, interleaved

AUDIO = b"\x10" * CHUNK
FORMAT = "mediaFormat.{}: expected {}, got {}"


def started(*tracks: str) -> Call:
    call = Call()
    for message in (twilio.connected(), twilio.start(*tracks)):
        assert call.receive(message) == b""
    return call


def test_both_tracks_of_twilio_are_the_two_channels() -> None:
    inbound, outbound = bundled_call(5, 12)
    call = Call()
    heard = b"".join(map(call.receive, twilio.both_tracks(inbound, outbound)))
    assert heard == interleaved(inbound, outbound)
    assert call.stopped


def test_the_bots_speech_is_the_second_channel_of_an_inbound_stream() -> None:
    inbound, spoken = bundled_call(1, 12)
    call = started()
    call.receive(twilio.speech(spoken[:800]))
    call.receive(twilio.speech(spoken[800:1600]))
    heard = b"".join(
        call.receive(twilio.media(samples, time_ms)) for time_ms, samples in twilio.chunks(inbound)
    )
    assert heard == interleaved(inbound, spoken[:1600] + SILENCE * 6400)


def test_the_bots_speech_is_not_heard_twice_where_twilio_sends_its_track() -> None:
    call = started("inbound", "outbound")
    call.receive(twilio.speech(b"\x77" * CHUNK))
    call.receive(twilio.media(AUDIO, 0))
    assert call.receive(twilio.media(b"\x20" * CHUNK, 0, "outbound")) == interleaved(
        AUDIO, b"\x20" * CHUNK
    )


def test_a_mark_of_the_bot_and_its_echo_are_told_apart() -> None:
    call = started()
    call.receive(twilio.speech(AUDIO))
    call.receive(twilio.mark("said"))
    assert call.voice.waiting == CHUNK
    call.receive(twilio.echo("said"))
    assert (call.voice.waiting, call.voice.heard) == (0, CHUNK)


def test_what_the_bot_clears_is_not_heard() -> None:
    call = started()
    call.receive(twilio.speech(AUDIO))
    call.receive(twilio.clear())
    assert call.receive(twilio.media(AUDIO, 0)) == interleaved(AUDIO, SILENCE * CHUNK)


def test_digits_and_messages_that_twilio_may_add_have_no_effect() -> None:
    call = started()
    for message in (twilio.dtmf("5"), '{"event": "transcription", "streamSid": "x"}'):
        assert call.receive(message) == b""


def test_after_the_stop_nothing_has_an_effect() -> None:
    call = started()
    call.receive(twilio.stop())
    for message in (twilio.media(AUDIO, 0), twilio.speech(AUDIO), twilio.start()):
        assert call.receive(message) == b""
    assert call.voice.waiting == 0


def test_the_stop_gives_out_what_waited_for_the_other_track() -> None:
    call = started("inbound", "outbound")
    assert call.receive(twilio.media(AUDIO, 0)) == b""
    assert call.receive(twilio.stop()) == interleaved(AUDIO, SILENCE * CHUNK)


@pytest.mark.parametrize(
    ("message", "code", "complaint"),
    [
        (b"\x00\x01", "bad_control", "expected a text message of Twilio, got 2 bytes of binary"),
        ("{", "bad_control", "expected a JSON object, got '{'"),
        ("[]", "bad_control", "expected a JSON object, got []"),
        ("{}", "bad_control", "event: expected text, got None"),
        ('{"event": "media"}', "bad_control", "media: expected an object, got None"),
        (twilio.start(), "bad_control", "start: expected once, got it twice"),
        (twilio.media(AUDIO, 0, "both"), "bad_audio", "track: expected one of inbound, outbound"),
        (twilio.media(AUDIO, 0, payload="a$b="), "bad_audio", "payload: expected base64, got 'a$b"),
        (twilio.media(AUDIO, 0, payload="abc"), "bad_audio", "payload: expected base64, got 'abc'"),
        (twilio.media(AUDIO, 0, payload=5), "bad_audio", "payload: expected text, got 5"),
        (twilio.media(AUDIO, 0, payload="é"), "bad_audio", "payload: expected base64, got 'é'"),
        (twilio.media(AUDIO, -5), "bad_audio", "from 0 to 999999999; got '-5'"),
        (twilio.media(AUDIO, 10**9), "bad_audio", "timestamp: expected milliseconds"),
        (twilio.media(AUDIO, 0, timestamp=None), "bad_audio", "got None"),
        (twilio.media(AUDIO, 0, timestamp=1.5), "bad_audio", "got 1.5"),
        (twilio.media(AUDIO, 99_999), "bad_audio", "at most 60 s from 20 ms, got 99999 ms"),
        (
            twilio.media(AUDIO, 0).replace(STREAM_SID, "MZ5"),
            "bad_control",
            f"streamSid: expected '{STREAM_SID}', got 'MZ5'",
        ),
        (twilio.mark("m" * 257), "bad_control", "name: expected text of at most 256 characters"),
        (clear_message(""), "bad_control", f"streamSid: expected '{STREAM_SID}', got ''"),
    ],
)
def test_a_bad_message_is_one_clear_error_and_has_no_effect(
    message: str | bytes, code: str, complaint: str
) -> None:
    call = started()
    assert call.receive(twilio.media(AUDIO, 0)) == interleaved(AUDIO, SILENCE * CHUNK)
    with pytest.raises(ProtocolError) as error:
        call.receive(message)
    assert error.value.code == code
    assert complaint in str(error.value)
    assert len(str(error.value)) < 200
    assert call.receive(twilio.media(AUDIO, 20)) == interleaved(AUDIO, SILENCE * CHUNK)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"encoding": "audio/opus"}, FORMAT.format("encoding", "audio/x-mulaw", "'audio/opus'")),
        ({"sampleRate": 16000}, FORMAT.format("sampleRate", 8000, 16000)),
        ({"channels": 2}, FORMAT.format("channels", 1, 2)),
    ],
)
def test_another_format_than_mu_law_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ProtocolError) as error:
        Call().receive(twilio.start(format_change=change))
    assert (error.value.code, str(error.value)) == ("bad_audio", complaint)


def test_what_a_start_keeps_in_memory_is_bounded() -> None:
    with pytest.raises(ProtocolError, match="start: expected at most 65536 characters, got 65"):
        Call().receive(twilio.start("inbound", note="n" * 65536))
    with pytest.raises(ProtocolError, match="streamSid: expected text of at most 64 characters"):
        Call().receive(twilio.start().replace(STREAM_SID, "M" * 65))


@pytest.mark.parametrize(
    "message",
    [twilio.media(AUDIO, 0), twilio.speech(AUDIO), twilio.mark("m"), twilio.stop(), twilio.clear()],
)
def test_nothing_comes_before_the_start(message: str) -> None:
    name = json.loads(message)["event"]
    with pytest.raises(ProtocolError, match=f"expected start before any other message, got {name}"):
        Call().receive(message)


def test_written_messages_are_those_that_twilio_takes() -> None:
    assert [
        json.loads(message)
        for message in (
            media_message("MZ1", b"\x00\xff"),
            mark_message("MZ1", "a"),
            clear_message("MZ1"),
        )
    ] == [
        {"event": "media", "streamSid": "MZ1", "media": {"payload": "AP8="}},
        {"event": "mark", "streamSid": "MZ1", "mark": {"name": "a"}},
        {"event": "clear", "streamSid": "MZ1"},
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("AAAA"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["payload", "track", "timestamp", "name", "streamSid"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"event": st.sampled_from(["start", "media", "mark", "clear", "stop", "x"])},
            optional={
                "streamSid": st.just(STREAM_SID) | json_values,
                "media": json_values,
                "mark": json_values,
                "start": json_values,
            },
        ),
        max_size=8,
    )
)
def test_whatever_comes_is_heard_or_refused(messages: list[dict[str, Any]]) -> None:
    call = started()
    for message in messages:
        try:
            heard = call.receive(json.dumps(message))
        except ProtocolError:
            continue
        assert len(heard) % 2 == 0
