"""The wire format: every example of PROTOCOL.md, and refusals. No sockets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import turnstream.stream.protocol
from turnstream.stream.errors import ProtocolError
from turnstream.stream.latent_message import LatentMessage, latents_to_bytes, parse_latents
from turnstream.stream.policy_settings import POLICY_VALUES, PRESETS
from turnstream.stream.prediction import EVENT_TYPES, FrameMessage, Prediction
from turnstream.stream.protocol import (
    CLOSE_CODES,
    Configure,
    Control,
    EndTurn,
    ErrorMessage,
    Flush,
    control_to_json,
    frame_to_json,
    message_to_json,
    parse_control,
    parse_message,
)
from turnstream.stream.settings import Resume, StreamSettings, parse_query

SPECIFICATION = (Path(turnstream.stream.protocol.__file__).parent / "PROTOCOL.md").read_text()
JSON_EXAMPLES = re.findall(r"```json\n(.*?)```", SPECIFICATION, re.DOTALL)
CONTROL_TYPES = ("configure", "end_turn", "flush", "reset", "keep_alive", "close")


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
    assert shown == {*CONTROL_TYPES, *EVENT_TYPES} | {
        *("begin", "configured", "resumed", "saved"),
        *("frame", "warning", "error", "termination"),
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
    assert (message.frame, message.kind) == (161, "latent")
    assert message.values.tolist() == [[0.5], [-2.0]]
    assert latents_to_bytes(message) == wire


def test_the_query_of_the_specification_is_the_default() -> None:
    new, resume = re.findall(r"GET /v1/stream\?(\S+)", SPECIFICATION)
    assert parse_query(new) == StreamSettings() == parse_query("")
    assert parse_query(resume) == Resume("Zk3Q0m9c1tq0nXlJ8b1w7Q2r5s6t", 1630)


def test_the_specification_lists_every_error_code_with_its_close_code() -> None:
    listed = {
        code: int(number)
        for number, code in re.findall(
            r"^\| (\d{4}) \| (?:`error` )?`(\w+)`", SPECIFICATION, re.MULTILINE
        )
        if code != "termination"
    }
    assert listed == CLOSE_CODES


# ---- beyond the examples ----


def test_a_prediction_is_rounded_but_its_time_is_exact() -> None:
    latent = np.zeros((2, 1), np.float32)
    time_s, pair = 7 * 320 / 16000, (1 / 3, 2 / 3)
    prediction = Prediction(
        6, time_s, 1, 1 / 3, 2 / 3, pair, pair, pair, pair, pair, latent, latent, (True, False)
    )
    message = parse_message(frame_to_json(prediction))
    assert isinstance(message, FrameMessage)
    assert message.time_s == time_s
    assert (message.p_shift, message.p_hold, message.vad) == (0.3333, 0.6667, (0.3333, 0.6667))


def test_a_client_skips_fields_that_it_does_not_know() -> None:
    assert parse_message('{"type":"error","code":"a","message":"b","later":1}') == ErrorMessage(
        "a", "b"
    )


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
