"""Logs: one line an entry in either form, with the given fields.

They contain no secrets and no foreign tracebacks.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timedelta

import pytest

from turnstream.stream.service import logs
from turnstream.stream.service.logs import JsonFormatter, TextFormatter


def record(
    message: str,
    *args: object,
    name: str = "turnstream.stream.service.server",
    error: bool = False,
    **extra: object,
) -> logging.LogRecord:
    made = logging.LogRecord(
        name, logging.INFO, "file.py", 1, message, args, sys.exc_info() if error else None
    )
    vars(made).update(extra)
    return made


def test_a_json_entry_has_time_level_logger_message_and_the_given_fields() -> None:
    line = JsonFormatter().format(
        record("session %s ended", "9f86", session="9f86", frames=12, seconds=0.24)
    )
    assert "\n" not in line
    entry = json.loads(line)
    time = datetime.fromisoformat(entry.pop("time"))
    assert time.utcoffset() == timedelta(0)
    assert entry.pop("pid") > 0
    assert entry == {
        "level": "INFO",
        "logger": "turnstream.stream.service.server",
        "message": "session 9f86 ended",
        "session": "9f86",
        "frames": 12,
        "seconds": 0.24,
    }


def test_a_text_entry_ends_with_the_given_fields() -> None:
    line = TextFormatter().format(record("worker serves", worker=1))
    assert line.endswith(" INFO turnstream.stream.service.server: worker serves worker=1")


def test_a_line_break_in_a_message_does_not_break_a_json_line() -> None:
    assert json.loads(JsonFormatter().format(record("a\nb")))["message"] == "a\nb"


def test_a_field_that_json_does_not_know_is_written_as_text() -> None:
    assert json.loads(JsonFormatter().format(record("x", model=logging)))["model"].startswith(
        "<module"
    )


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
@pytest.mark.parametrize(
    "message",
    [
        "GET /v1/stream?channels=1&token=SECRET HTTP/1.0",
        "GET /v1/stream?resume=0-SECRET&received=3",
        "Authorization: Bearer SECRET",
        "authorization: bearer   SECRET",
        "token=SECRET",
        'b"GET /?TOKEN=SECRET"',
        "token=s\u00e9-SECRET",
    ],
)
def test_tokens_are_blotted_out(formatter: logging.Formatter, message: str) -> None:
    for made in (record("refused: %s", message), record("refused", request=message)):
        line = formatter.format(made)
        assert "SECRET" not in line
        assert "..." in line


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_an_error_of_ours_keeps_its_trace_without_tokens(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("bad request: /?token=SECRET")
    except ValueError:
        line = formatter.format(record("failed", error=True))
    assert "Traceback" in line
    assert "ValueError: bad request: /?token=..." in line


def test_nonsense_sent_to_the_port_is_one_line() -> None:
    try:
        try:
            raise ValueError("invalid HTTP request line: GET /?token=SECRET")
        except ValueError as cause:
            raise EOFError("did not receive a valid HTTP request") from cause
    except EOFError:
        made = record("opening handshake failed", name="websockets.server", error=True)
    line = TextFormatter().format(made)
    assert line.endswith(
        "INFO websockets.server: opening handshake failed: invalid HTTP request line: GET "
        "/?token=..."
    )
    assert made.exc_info is not None, "other handlers get the record as it was"


@pytest.mark.parametrize(("form", "formatter"), [("text", TextFormatter), ("json", JsonFormatter)])
@pytest.mark.parametrize(("quiet", "level"), [(False, logging.INFO), (True, logging.WARNING)])
def test_the_process_is_set_up_once(
    monkeypatch: pytest.MonkeyPatch,
    form: logs.Form,
    formatter: type[logging.Formatter],
    quiet: bool,
    level: int,
) -> None:
    root = logging.RootLogger(logging.ERROR)
    monkeypatch.setattr(logging, "root", root)
    logs.configure(form, quiet=quiet)
    logs.configure(form, quiet=quiet)
    (handler,) = root.handlers
    assert isinstance(handler.formatter, formatter)
    assert root.level == level
