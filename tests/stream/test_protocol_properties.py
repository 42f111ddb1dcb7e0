"""The wire format with random values: what is written is read, and nothing else is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.stream.errors import ProtocolError
from turnstream.stream.latent_message import LatentMessage, latents_to_bytes
from turnstream.stream.pcm import ENCODINGS
from turnstream.stream.policy_settings import PRESETS
from turnstream.stream.prediction import EVENT_TYPES, FrameMessage, Trigger, TurnEvent
from turnstream.stream.protocol import (
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
    message_to_json,
    parse_control,
    parse_message,
)
from turnstream.stream.settings import LatentChoice, StreamSettings, parse_query

from .test_protocol import CONTROL_TYPES

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


# ---- round trips ----


@given(stream_settings)
def test_settings_survive_the_query_string(asked: StreamSettings) -> None:
    assert parse_query(asked.to_query()) == asked


@given(controls)
def test_controls_survive_json(control: Control) -> None:
    assert parse_control(control_to_json(control)) == (control, "")


@settings(max_examples=500)
@given(messages)
def test_messages_survive_json(message: Any) -> None:
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
        *("type", "frames", "latents", "policy", "end_threshold", "code", "message"),
        *("frame", "time_s", "holder", "vad", "speaker", "settings", "model"),
    ]
)
field_values = json_values | st.sampled_from(
    [
        *(*CONTROL_TYPES, *EVENT_TYPES, 5),
        *("begin", "resumed", "frame", "error", "termination", "all", "none"),
    ]
)
near_misses = st.dictionaries(field_names, field_values, max_size=6).map(json.dumps)


def refuses_clearly(parse: Callable[[Any], object], wire: str | bytes) -> None:
    """Any exception but a ProtocolError fails the test."""
    refusal = ""
    try:
        parse(wire)
    except ProtocolError as error:
        refusal = str(error)
    assert len(refusal.encode()) < 400


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
