"""Presets: those of a file, and the choice of a command or a server."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from turnstream.stream.errors import PolicyError
from turnstream.stream.options import add_policy_options, asked_policy, policies_from
from turnstream.stream.policy_settings import (
    PRESETS,
    Policies,
    PolicySettings,
    read_presets,
)

GERMAN = {"end_threshold": 0.5}
DICTATION = {"policy": "patient", "timeout_secs": 8}


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"german": GERMAN, "dictation": DICTATION}))
    return path


def options(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_policy_options(parser)
    return parser.parse_args([str(word) for word in words])


def test_a_file_holds_presets_that_start_from_others(presets: Path) -> None:
    assert read_presets(presets) == {
        "german": PolicySettings(end_threshold=0.5),
        "dictation": replace(PRESETS["patient"], timeout_secs=8),
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no", "expected a JSON file of policies, name: settings, got"),
        ("[]", "expected a JSON object, got []"),
        ("{}", "expected at least one policy in"),
        ('{"a": 1}', "'a': expected an object, got 1"),
        ('{"a": {}, "a": {}}', "a field is given twice"),
        ('{"a": {"end": 1}}', "'a': expected values of a policy (end_threshold, "),
        ('{"a": {"end": 1}}', "got 'end'"),
        ('{"a": {"end_threshold": 2}}', "'a': end_threshold: expected a number from 0 to 1, got 2"),
        ('{"a": {"end_threshold": "1"}}', "expected a number from 0 to 1, got '1'"),
        ('{"a": {"policy": "bold"}}', "'a': policy: expected one of fast, balanced, patient; got"),
        ('{"a": {"policy": []}}', "expected one of fast, balanced, patient; got '[]'"),
        ('{"a": {"end_threshold": 0.1}}', "'a': expected eager values of at most"),
    ],
)
def test_a_bad_file_of_presets_is_refused_with_the_file_and_the_preset(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "own.json"
    path.write_text(text)
    with pytest.raises(PolicyError) as refused:
        read_presets(path)
    assert complaint in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="No such file"):
        read_presets(tmp_path / "none.json")


def test_the_options_choose_a_preset_and_replace_its_values() -> None:
    assert policies_from(options()) == Policies()
    chosen = policies_from(options("--policy", "patient", "--timeout-secs", 4))
    assert chosen.settings(None, {}) == replace(PRESETS["patient"], timeout_secs=4)
    assert chosen.settings(None, {"timeout_secs": 5.0}).timeout_secs == 5
    assert chosen.settings("fast", {}) == PRESETS["fast"]


def test_the_first_preset_of_a_file_is_the_default_or_the_one_that_is_named(presets: Path) -> None:
    first = policies_from(options("--policy", presets))
    assert (first.default, [*first.presets]) == ("german", [*PRESETS, "german", "dictation"])
    named = policies_from(options("--policy", f"{presets}:dictation", "--start-secs", 0.2))
    assert named.settings(None, {}) == replace(PRESETS["patient"], timeout_secs=8, start_secs=0.2)
    with pytest.raises(PolicyError, match=r"policy: expected one of fast, .*dictation; got 'bold'"):
        policies_from(options("--policy", f"{presets}:bold"))


def test_a_client_asks_by_name_or_with_all_values_of_a_preset_of_its_own(presets: Path) -> None:
    assert asked_policy(options()) == (None, {})
    assert asked_policy(options("--policy", "german", "--end-threshold", 0.7)) == (
        "german",
        {"end_threshold": 0.7},
    )
    assert asked_policy(options("--policy", presets)) == (
        None,
        asdict(PolicySettings(end_threshold=0.5)),
    )
