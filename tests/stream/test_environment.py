"""Every option of `turnstream serve` can come from the environment; the command line wins."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from turnstream.cli import main
from turnstream.stream.environment import offer_variables, parse_arguments, variables
from turnstream.stream.errors import ConfigError
from turnstream.stream.service.serve import add_arguments


def serve_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser


def parsed(words: str = "", **given: str) -> argparse.Namespace:
    given = {f"TURNSTREAM_{name}": word for name, word in given.items()}
    return parse_arguments(serve_parser(), words.split(), given)


def test_without_variables_the_options_are_as_before() -> None:
    assert parsed() == serve_parser().parse_args([])


@pytest.mark.parametrize(
    ("name", "word", "option", "value"),
    [
        ("PORT", "9000", "port", 9000),
        ("HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("MODEL", "int8", "model", Path("int8")),
        ("MAX_LOAD", "0.5", "max_load", 0.5),
        ("MAX_SESSIONS", "7", "max_sessions", 7),
        ("END_THRESHOLD", "0.8", "end_threshold", 0.8),
        ("LOG_FORMAT", "json", "log_format", "json"),
        ("STORE", "redis://:pass,word@host/0", "store", "redis://:pass,word@host/0"),
        ("ORIGIN", "https://a.b, https://c.d,", "origin", ["https://a.b", "https://c.d"]),
        ("OPEN", "true", "open", True),
        ("OPEN", "off", "open", False),
        ("PAUSE_MODEL", "Yes", "pause_model", True),
        ("PAUSE_MODEL", "0", "pause_model", False),
        ("PORT", "", "port", 8765),
    ],
)
def test_a_variable_gives_what_the_option_would(
    name: str, word: str, option: str, value: Any
) -> None:
    assert getattr(parsed(**{name: word}), option) == value


@pytest.mark.parametrize(
    ("name", "word", "words", "option", "value"),
    [
        ("PORT", "9000", "--port 9001", "port", 9001),
        ("PORT", "tcp://10.0.0.1:80", "--port 9001", "port", 9001),
        ("ORIGIN", "https://a.b", "--origin https://c.d", "origin", ["https://c.d"]),
        ("PAUSE_MODEL", "true", "--no-pause-model", "pause_model", False),
        ("OPEN", "false", "--open", "open", True),
    ],
)
def test_the_command_line_wins(name: str, word: str, words: str, option: str, value: Any) -> None:
    assert getattr(parsed(words, **{name: word}), option) == value


@pytest.mark.parametrize(
    ("name", "word", "line"),
    [
        (
            "PORT",
            "tcp://10.0.0.1:80",
            "TURNSTREAM_PORT: expected a port from 0 to 65535, got 'tcp://10.0.0.1:80'",
        ),
        ("MAX_LOAD", "much", "TURNSTREAM_MAX_LOAD: expected a number, got 'much'"),
        ("OPEN", "maybe", "TURNSTREAM_OPEN: expected true or false, got 'maybe'"),
        ("LOG_FORMAT", "xml", "TURNSTREAM_LOG_FORMAT: expected one of text, json; got 'xml'"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(
    name: str,
    word: str,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    complaint: Callable[..., str],
) -> None:
    monkeypatch.setenv(f"TURNSTREAM_{name}", word)
    assert complaint("serve") == line
    with pytest.raises(ConfigError):
        parsed(**{name: word})


def test_the_help_names_the_variable_of_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    shown = "".join(capsys.readouterr().out.split())
    named = variables(serve_parser())
    assert len(named) == len(serve_parser()._actions) - 1  # without --help
    assert {name for name in named if f"[{name}]" not in shown} == set()


def test_a_command_that_offers_no_variables_reads_none() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=1)
    assert parse_arguments(parser, [], {"TURNSTREAM_PORT": "2"}).port == 1
    offer_variables(parser)
    assert parse_arguments(parser, [], {"TURNSTREAM_PORT": "2"}).port == 2
