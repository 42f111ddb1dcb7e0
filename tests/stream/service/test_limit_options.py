"""Limit options: each limit has an option, with a help text and a check of its range."""

from __future__ import annotations

import argparse
from dataclasses import fields

import pytest

from turnstream import ConfigError, Limits
from turnstream.stream.service.limit_options import add_limit_options, described, limits_from


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_limit_options(made)
    return made


def test_without_options_the_limits_are_the_defaults() -> None:
    assert limits_from(parser().parse_args([])) == Limits()


@pytest.mark.parametrize("name", [bound.name for bound in fields(Limits)])
def test_every_limit_can_be_set(name: str) -> None:
    option = f"--{name.replace('_', '-')}"
    assert getattr(limits_from(parser().parse_args([option, "7"])), name) == 7


def test_every_limit_is_described() -> None:
    assert list(described()) == [bound.name for bound in fields(Limits)]
    assert all(described().values())


def test_help_tells_units_and_defaults() -> None:
    text = " ".join(parser().format_help().split())
    assert f"--max-message-bytes BYTES {described()['max_message_bytes']} (default 1048576)" in text
    assert f"--close-timeout-s SECONDS {described()['close_timeout_s']} (default 5.0)" in text


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
        limits_from(parser().parse_args(["--max-batch", "0"]))
