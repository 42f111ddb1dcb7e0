"""The limit options of `turnstream serve`: each limit has one, with a help and a check."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields

import pytest

from turnstream import ConfigError, Limits
from turnstream.stream.service.serve import add_arguments, settings_from

NAMES = [bound.name for bound in fields(Limits)]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_arguments(made)
    return made


def limits(*words: str) -> Limits:
    return settings_from(parser().parse_args([*words])).limits


def test_without_options_the_limits_are_the_defaults() -> None:
    assert limits() == Limits()


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_can_be_set(name: str) -> None:
    assert getattr(limits(f"--{name.replace('_', '-')}", "7"), name) == 7


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_has_a_help_with_its_unit_and_default(name: str) -> None:
    option = f"--{name.replace('_', '-')}"
    found = re.search(
        rf"^  {option} ([A-Z]+)\s+(\S.*(?:\n {{10,}}.*)*)", parser().format_help(), re.MULTILINE
    )
    assert found is not None
    words = found[2].split()
    assert len(words) > 8
    assert words[-3:-1] == ["(default", f"{getattr(Limits(), name)})"]


@pytest.mark.parametrize(
    ("option", "word", "expected"),
    [
        ("--max-batch", "2.5", "a whole number"),
        ("--max-batch", "many", "a whole number"),
        ("--idle-timeout-s", "nan", "a number"),
        ("--idle-timeout-s", "inf", "a number"),
    ],
)
def test_what_is_no_number_is_refused(
    capsys: pytest.CaptureFixture[str], option: str, word: str, expected: str
) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([option, word])
    assert f"argument {option}: expected {expected}, got {word!r}" in capsys.readouterr().err


def test_a_number_out_of_range_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="max_batch: expected more than 0, got 0"):
        limits("--max-batch", "0")


def test_a_wait_with_which_a_saved_session_could_not_be_restored_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_waiting_s: expected at most 60, got 61\.0"):
        limits("--max-waiting-s", "61")
