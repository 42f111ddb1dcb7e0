"""A stream's settings: its query string, what `configure` changes, and the policy they choose."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from turnstream.stream.errors import ProtocolError
from turnstream.stream.policy_settings import PRESETS, Policies, PolicySettings
from turnstream.stream.protocol import Configure
from turnstream.stream.settings import Resume, StreamSettings, parse_query


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


def test_the_token_is_no_setting() -> None:
    assert parse_query("token=secret&channels=1") == StreamSettings(channels=1)


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
            r"expected timeout_secs >= end_silence_secs (0.4), got 0.1",
        ),
    ],
)
def test_a_policy_that_cannot_be_is_refused(asked: StreamSettings, complaint: str) -> None:
    with pytest.raises(ProtocolError, match=re.escape(complaint)) as refusal:
        asked.resolved(Policies())
    assert refusal.value.code == "bad_setting"
