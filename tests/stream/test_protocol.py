"""The wire format: every example of PROTOCOL.md, round trips, and refusals. No sockets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import turnstream.stream.protocol
from turnstream.stream.errors import ProtocolError
from turnstream.stream.latent_message import LatentMessage, latents_to_bytes, parse_latents
from turnstream.stream.pcm import ENCODINGS
from turnstream.stream.policy_settings import POLICY_VALUES, PRESETS, Policies, PolicySettings
from turnstream.stream.prediction import (
    EVENT_TYPES,
    FrameMessage,
    Prediction,
    Trigger,
    TurnEvent,
)
from turnstream.stream.protocol import (
    CLOSE_CODES,
    BeginMessage,
    Close,
    Configure,
    ConfiguredMessage,
    Control,
    EndTurn,
    ErrorMessage,
    Flush,
    KeepAlive,
    Reset,
    ResumedMessage,
    SavedMessage,
    TerminationMessage,
    WarningMessage,
    control_to_json,
    frame_to_json,
    message_to_json,
    parse_control,
    parse_message,
)
from turnstream.stream.settings import (
    LatentChoice,
    Resume,
    StreamSettings,
    parse_query,
)

SPECIFICATION = (Path(turnstream.stream.protocol.__file__).parent / "PROTOCOL.md").read_text()
JSON_EXAMPLES = re.findall(r"```json\n(.*?)```", SPECIFICATION, re.DOTALL)
CONTROL_TYPES = ("configure", "end_turn", "flush", "reset", "keep_alive", "close")

probabilities = st.floats(0, 1).map(lambda p: round(p, 4))
pairs = st.tuples(probabilities, probabilities)
texts = st.text(max_size=40)
times_s = st.integers(1, 10**9).map(lambda frame: frame * 320 / 16000)
policy_names = st.none() | st.sampled_from([*PRESETS, "german", "2"])
policy_values = st.fixed_dictionaries(
    {},
    optional={
        "end_threshold": st.floats(0, 1),
        "timeout_secs": st.floats(0, 60),
        "min_level_dbfs": st.floats(-120, 0),
    },
)
stream_settings = st.builds(
    StreamSettings,
    sample_rate_hz=st.integers(8000, 192000),
    channels=st.sampled_from([1, 2]),
    encoding=st.sampled_from(ENCODINGS),
    frames=st.integers(1, 3000),
    latents=st.sampled_from(get_args(LatentChoice)),
    policy=policy_names,
    policy_values=policy_values,
) | st.just(StreamSettings(frames=0))
controls = st.sampled_from(
    [Flush(), Reset(), KeepAlive(), Close(), EndTurn(), EndTurn(1)]
) | st.builds(
    Configure,
    frames=st.none() | st.integers(0, 3000),
    latents=st.none() | st.sampled_from(get_args(LatentChoice)),
    policy=policy_names,
    policy_values=policy_values,
)
frames = st.builds(
    FrameMessage,
    frame=st.integers(0, 2**53),
    time_s=times_s,
    holder=st.sampled_from([0, 1]),
    p_shift=probabilities,
    p_hold=probabilities,
    vad=pairs,
    p_now=pairs,
    p_future=pairs,
    p_next=pairs,
    p_backchannel=pairs,
)
messages = st.one_of(
    frames,
    st.builds(
        TurnEvent,
        type=st.sampled_from(EVENT_TYPES),
        speaker=st.sampled_from([0, 1]),
        time_s=times_s,
        probability=probabilities,
        turn_index=st.integers(0, 2**53),
        trigger=st.none() | st.sampled_from(get_args(Trigger)),
    ),
    st.builds(
        WarningMessage, code=texts, severity=texts, message=texts, missed=st.integers(0, 2**53)
    ),
    st.builds(ErrorMessage, code=texts, message=texts),
    st.builds(TerminationMessage, frames=st.integers(0, 2**53), seconds=times_s, reason=texts),
    st.builds(
        BeginMessage,
        session=texts,
        model_name=texts,
        model_version=texts,
        model_sha256=texts,
        frame_rate_hz=st.floats(1, 1000),
        latent_sizes=st.fixed_dictionaries(
            {"latent": st.integers(1, 4096), "latent_speaker": st.integers(1, 4096)}
        ),
        settings=stream_settings,
        policies=st.lists(texts).map(tuple),
        resume_token=st.none() | texts,
        resume_s=times_s,
        saves=st.booleans(),
    ),
    st.builds(ConfiguredMessage, settings=stream_settings),
    st.builds(SavedMessage, received=st.integers(0, 2**53)),
    st.builds(ResumedMessage, session=texts, received=st.integers(0, 2**53)),
)


# ---- the specification ----


@pytest.mark.parametrize("example", JSON_EXAMPLES)
def test_every_json_example_of_the_specification_is_read_and_written_back(example: str) -> None:
    if json.loads(example)["type"] in CONTROL_TYPES:
        control, remark = parse_control(example)
        assert control is not None
        assert not remark
        written = control_to_json(control)
    else:
        message = parse_message(example)
        assert not isinstance(message, LatentMessage)
        written = message_to_json(message)
    assert json.loads(written) == json.loads(example)


def test_the_specification_shows_every_type_of_message() -> None:
    shown = {json.loads(example)["type"] for example in JSON_EXAMPLES}
    assert shown == {
        *CONTROL_TYPES,
        *EVENT_TYPES,
        "begin",
        "configured",
        "resumed",
        "saved",
        "frame",
        "warning",
        "error",
        "termination",
    }


def test_the_specification_shows_the_presets_with_all_their_values() -> None:
    shown = re.findall(
        r"^\| `(\w+_\w+)` \| (\S+) \| (\S+) \| (\S+) \|", SPECIFICATION, re.MULTILINE
    )
    assert {name: [float(value) for value in values] for name, *values in shown} == {
        name: [getattr(preset, name) for preset in PRESETS.values()] for name in POLICY_VALUES
    }


def test_the_latent_example_of_the_specification_is_read_and_written_back() -> None:
    (example,) = re.findall(r"```hex\n(.*?)```", SPECIFICATION, re.DOTALL)
    wire = bytes.fromhex(example)
    message = parse_latents(wire)
    assert (message.frame, message.kind, message.values.tolist()) == (
        161,
        "latent",
        [[0.5], [-2.0]],
    )
    assert latents_to_bytes(message) == wire


def test_the_query_of_the_specification_is_the_default() -> None:
    new, resume = re.findall(r"GET /v1/stream\?(\S+)", SPECIFICATION)
    assert parse_query(new) == StreamSettings() == parse_query("")
    assert parse_query(resume) == Resume("Zk3Q0m9c1tq0nXlJ8b1w7Q2r5s6t", 1630)


def test_a_resume_survives_the_query_string() -> None:
    resume = Resume("0-Ab_c-1", 4711)
    assert parse_query(f"{resume.to_query()}&token=secret") == resume


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("resume=abc", "resume: expected received and no other setting with it, got none"),
        ("resume=abc&received=5&channels=1", "got channels, received"),
        ("resume=abc&received=many", "received: expected a whole number from 0"),
        ("received=5", "received: expected only together with resume"),
    ],
)
def test_a_resume_stands_alone(query: str, complaint: str) -> None:
    with pytest.raises(ProtocolError, match=complaint) as refused:
        parse_query(query)
    assert refused.value.code == "bad_setting"


def test_the_specification_lists_every_error_code_with_its_close_code() -> None:
    listed = {
        code: int(number)
        for number, code in re.findall(
            r"^\| (\d{4}) \| (?:`error` )?`(\w+)`", SPECIFICATION, re.MULTILINE
        )
        if code != "termination"
    }
    assert listed == CLOSE_CODES


# ---- round trips ----


@given(stream_settings)
def test_settings_survive_the_query_string(asked: StreamSettings) -> None:
    assert parse_query(asked.to_query()) == asked


@given(controls)
def test_controls_survive_json(control: Control) -> None:
    assert parse_control(control_to_json(control)) == (control, "")


@settings(max_examples=500)
@given(messages)
def test_messages_survive_json(
    message: FrameMessage
    | TurnEvent
    | WarningMessage
    | ErrorMessage
    | TerminationMessage
    | BeginMessage
    | ConfiguredMessage,
) -> None:
    assert parse_message(message_to_json(message)) == message


@given(
    frame=st.integers(0, 2**64 - 1),
    kind=st.sampled_from(["latent", "latent_speaker"]),
    columns=st.integers(0, 300),
    seed=st.integers(0, 2**32),
)
def test_latents_survive_bit_for_bit(frame: int, kind: str, columns: int, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((2, columns)).astype(np.float32)
    back = parse_message(latents_to_bytes(LatentMessage(frame, kind, values)))
    assert isinstance(back, LatentMessage)
    assert (back.frame, back.kind) == (frame, kind)
    np.testing.assert_array_equal(back.values, values)


def test_a_prediction_is_rounded_but_its_time_is_exact() -> None:
    latent = np.zeros((2, 1), np.float32)
    third = (1 / 3, 2 / 3)
    prediction = Prediction(
        6,
        7 * 320 / 16000,
        1,
        1 / 3,
        2 / 3,
        third,
        third,
        third,
        third,
        third,
        latent,
        latent,
        (True, False),
    )
    message = parse_message(frame_to_json(prediction))
    assert isinstance(message, FrameMessage)
    assert message.time_s == 7 * 320 / 16000
    assert (message.p_shift, message.p_hold, message.vad) == (0.3333, 0.6667, (0.3333, 0.6667))


def test_a_client_skips_fields_that_it_does_not_know() -> None:
    assert parse_message('{"type":"error","code":"a","message":"b","later":1}') == ErrorMessage(
        "a", "b"
    )


def test_configure_changes_only_what_it_names() -> None:
    asked = StreamSettings(frames=5, latents="final", policy="fast")
    assert asked.configured(Configure(policy="patient")) == StreamSettings(
        frames=5, latents="final", policy="patient"
    )


def test_values_replace_those_of_a_preset() -> None:
    query = parse_query("policy=patient&end_threshold=0.8&timeout_secs=3")
    assert isinstance(query, StreamSettings)
    asked = query.resolved(Policies())
    assert asked.policy == "patient"
    assert asked.policy_settings == replace(PRESETS["patient"], end_threshold=0.8, timeout_secs=3.0)


def test_configure_keeps_the_values_that_it_does_not_name_unless_it_names_a_preset() -> None:
    held = StreamSettings(policy="patient").resolved(Policies())
    changed = held.configured(Configure(policy_values={"timeout_secs": 9}))
    assert changed.policy_settings == replace(PRESETS["patient"], timeout_secs=9)
    fast = changed.configured(Configure(policy="fast", policy_values={"start_secs": 0.2}))
    assert fast.resolved(Policies()).policy_settings == replace(PRESETS["fast"], start_secs=0.2)


def test_who_names_no_policy_gets_the_default_of_the_server() -> None:
    own = Policies({**PRESETS, "german": PolicySettings(end_threshold=0.6)}, "german")
    assert StreamSettings().resolved(own).policy == "german"
    assert StreamSettings().resolved(own).policy_settings.end_threshold == 0.6
    assert StreamSettings(policy="fast").resolved(own).policy_settings == PRESETS["fast"]


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (
            StreamSettings(policy="bold"),
            "policy: expected one of fast, balanced, patient; got 'bold'",
        ),
        (
            StreamSettings(policy_values={"end_threshold": 0.2}),
            "expected eager values of at most end_threshold 0.2",
        ),
        (
            StreamSettings(policy_values={"timeout_secs": 0.1}),
            r"expected timeout_secs >= end_silence_secs (0.6), got 0.1",
        ),
    ],
)
def test_a_policy_that_cannot_be_is_refused(asked: StreamSettings, complaint: str) -> None:
    with pytest.raises(ProtocolError, match=re.escape(complaint)) as refusal:
        asked.resolved(Policies())
    assert refusal.value.code == "bad_setting"


@pytest.mark.parametrize(
    ("text", "control", "remark"),
    [
        (
            "{}",
            None,
            "type: expected one of configure, end_turn, flush, reset, keep_alive, close; got None",
        ),
        ('{"type":"stop"}', None, "got 'stop'"),
        ('{"type":["flush"]}', None, "got ['flush']"),
        ('{"type":"flush","now":true}', Flush(), "flush: expected no other field; got 'now'"),
        ('{"type":"end_turn","who":1}', EndTurn(), "end_turn: expected speaker; got 'who'"),
        (
            '{"type":"configure","channels":1,"policy":"fast","colour":2}',
            Configure(policy="fast"),
            "speech_range_db; got 'channels', 'colour'",
        ),
        ('{"type":"configure"}', Configure(), ""),
    ],
)
def test_what_is_unknown_in_a_control_is_left_out_and_told(
    text: str, control: Control | None, remark: str
) -> None:
    found, told = parse_control(text)
    assert found == control
    assert remark in told
    assert bool(remark) == bool(told)


# ---- refusals ----


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        (
            "sample_rate=fast",
            "sample_rate: expected a whole number from 8000 to 192000, got 'fast'",
        ),
        ("sample_rate=100", "sample_rate: expected a whole number from 8000 to 192000, got 100"),
        (
            "sample_rate=-16000",
            "sample_rate: expected a whole number from 8000 to 192000, got '-16000'",
        ),
        ("channels=3", "channels: expected 1 or 2, got 3"),
        ("channels=", "channels: expected 1 or 2, got ''"),
        ("encoding=mp3", "encoding: expected one of pcm_s16le, pcm_f32le, mulaw, alaw; got 'mp3'"),
        ("frames=0", "frames: expected all, none or a whole number from 1 to 3000; got 0"),
        ("frames=3001", "frames: expected a whole number from 0 to 3000, got 3001"),
        ("frames=some", "frames: expected all, none or a whole number from 1 to 3000; got 'some'"),
        ("latents=first", "latents: expected one of none, final, all; got 'first'"),
        ("latents=all&frames=none", "latents=all: expected frames=all or a number"),
        ("end_threshold=high", "end_threshold: expected a number from 0 to 1, got 'high'"),
        ("end_threshold=1.5", "end_threshold: expected a number from 0 to 1, got 1.5"),
        ("timeout_secs=nan", "timeout_secs: expected a number from 0 to 60, got nan"),
        ("end_treshold=0.5", "unknown setting 'end_treshold'; expected one of sample_rate"),
        ("rate=16000", "unknown setting 'rate'; expected one of sample_rate, channels"),
        ("channels=1&channels=2", "channels: expected once, got it twice"),
        ("channels", "expected a query string like"),
        ("&".join(["channels=1"] * 40), "expected a query string like"),
    ],
)
def test_a_bad_query_is_refused_with_what_was_got_and_expected(query: str, complaint: str) -> None:
    with pytest.raises(ProtocolError) as refusal:
        parse_query(query)
    assert refusal.value.code == "bad_setting"
    assert complaint in str(refusal.value)


def test_the_token_is_no_setting() -> None:
    assert parse_query("token=secret&channels=1") == StreamSettings(channels=1)


@pytest.mark.parametrize(
    ("text", "code", "complaint"),
    [
        ("hello", "bad_control", "expected a JSON object, got 'hello'"),
        ("[1]", "bad_control", "expected a JSON object, got [1]"),
        ('{"type":"flush","type":"close"}', "bad_control", "given twice"),
        (
            '{"type":"configure","end_threshold":"0.5"}',
            "bad_setting",
            "end_threshold: expected a number from 0 to 1, got '0.5'",
        ),
        (
            '{"type":"configure","timeout_secs":null}',
            "bad_setting",
            "timeout_secs: expected a number from 0 to 60, got None",
        ),
        ('{"type":"end_turn","speaker":2}', "bad_setting", "speaker: expected 0 or 1, got 2"),
        (
            '{"type":"configure","frames":true}',
            "bad_setting",
            "frames: expected all, none or a whole number from 1 to 3000; got True",
        ),
        ('{"type":"configure","frames":1e3}', "bad_setting", "frames"),
        ('{"type":"configure","frames":NaN}', "bad_control", "NaN is not a JSON number"),
        ('{"type":"configure","policy":null}', "bad_setting", "policy: expected a value, got null"),
        (
            '{"type":"configure","latents":["all"]}',
            "bad_setting",
            "latents: expected one of none, final, all; got ['all']",
        ),
        ('{"type":"configure","policy":5}', "bad_setting", "policy: expected text, got 5"),
        ("[" * 100_000, "bad_control", "expected a JSON object"),
        ('{"type":' + "9" * 10_000 + "}", "bad_control", "expected a JSON object"),
    ],
)
def test_a_bad_control_is_refused_with_what_was_got_and_expected(
    text: str, code: str, complaint: str
) -> None:
    with pytest.raises(ProtocolError) as refusal:
        parse_control(text)
    assert refusal.value.code == code
    assert complaint in str(refusal.value)


@pytest.mark.parametrize(
    ("wire", "complaint"),
    [
        ('{"type":"news"}', "type: expected one of begin, configured, resumed, saved, frame"),
        ('{"type":"error","code":1,"message":"x"}', "code: expected text, got 1"),
        (
            '{"type":"termination","frames":-1,"seconds":1,"reason":"close"}',
            "frames: expected a whole number from 0, got -1",
        ),
        (
            '{"type":"end_of_turn","speaker":0,"time_s":"1","probability":0.5}',
            "time_s: expected a number, got '1'",
        ),
        (
            '{"type":"end_of_turn","speaker":0,"time_s":1e999,"probability":0.5}',
            "time_s: expected a number, got inf",
        ),
        (
            '{"type":"end_of_turn","speaker":2,"time_s":1,"probability":0.5}',
            "speaker: expected 0 or 1, got 2",
        ),
        (
            '{"type":"frame","frame":0,"time_s":0.02,"p_shift":null,"p_hold":null,'
            '"vad":[0,0],"p_now":[0,0],"p_future":[0,0],"p_next":[0,0],"p_backchannel":[0,0]}',
            "holder: expected 0 or 1, got None",
        ),
        ('{"type":"\\ud800"}', "surrogates not allowed"),
        (b"TSL", "expected a latent header of 20 bytes, got 3 bytes"),
        (b"RIFF" + bytes(16), "expected a latent header that starts with b'TSLT', got b'RIFF'"),
        (
            bytes.fromhex("54534c54020101000000000000000000 0200 0100"),
            "got version 2, kind 1, dtype 1",
        ),
        (
            bytes.fromhex("54534c54010101000000000000000000 0200 0100 0000003f"),
            "expected 28 bytes for latents of shape (2, 1), got 24",
        ),
    ],
)
def test_a_bad_server_message_is_refused_with_what_was_got_and_expected(
    wire: str | bytes, complaint: str
) -> None:
    with pytest.raises(ProtocolError) as refusal:
        parse_message(wire)
    assert refusal.value.code == "bad_message"
    assert complaint in str(refusal.value)


# ---- fuzz ----
# Whatever comes in, the answer is a message or a ProtocolError with a short, printable text.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
field_names = st.sampled_from(
    [
        "type",
        "frames",
        "latents",
        "policy",
        "end_threshold",
        "code",
        "message",
        "frame",
        "time_s",
        "holder",
        "vad",
        "speaker",
        "settings",
        "model",
    ]
)
field_values = json_values | st.sampled_from(
    [
        *CONTROL_TYPES,
        *EVENT_TYPES,
        "begin",
        "resumed",
        "frame",
        "error",
        "termination",
        "all",
        "none",
        5,
    ]
)
near_misses = st.dictionaries(field_names, field_values, max_size=6).map(json.dumps)


def refusal_of(parse: Callable[[Any], object], wire: str | bytes) -> str:
    """Return the text of the refusal, or an empty string for a valid message.

    Any exception but a ProtocolError fails the test.
    """
    try:
        parse(wire)
    except ProtocolError as refusal:
        return str(refusal)
    return ""


def refuses_clearly(parse: Callable[[Any], object], wire: str | bytes) -> None:
    assert len(refusal_of(parse, wire).encode()) < 400


@settings(max_examples=500, deadline=None)
@given(near_misses | st.text(max_size=60))
def test_any_text_is_understood_or_refused_clearly(text: str) -> None:
    refuses_clearly(parse_control, text)
    refuses_clearly(parse_message, text)
    refuses_clearly(parse_query, text)


query_names = st.sampled_from(
    ["sample_rate", "channels", "frames", "latents", "token", "policy", "end_threshold"]
)
query_words = st.sampled_from(["1", "2", "all", "none", "9" * 5000, "é%00"])


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(query_names, query_words)))
def test_any_query_is_understood_or_refused_clearly(pairs: list[tuple[str, str]]) -> None:
    refuses_clearly(parse_query, "&".join(f"{name}={word}" for name, word in pairs))


@settings(max_examples=500, deadline=None)
@given(
    st.binary(max_size=64) | st.binary(max_size=40).map(lambda tail: b"TSLT\x01\x01\x01\x00" + tail)
)
def test_any_bytes_are_understood_or_refused_clearly(wire: bytes) -> None:
    refuses_clearly(parse_message, wire)
