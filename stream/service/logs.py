"""The log of a server process: one line per entry, as text or JSON, on standard error.

Our own entries never contain audio, latents or tokens. A library may quote a request in an error.
Therefore `redaction.py` removes the tokens from every line.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Literal

from .redaction import redact

Form = Literal["text", "json"]
FORMS: tuple[Form, ...] = ("text", "json")

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(form: Form, *, quiet: bool = False) -> None:
    """Set up the log of this process, unless the surrounding program has done so already.

    Args:
        form: "text" or "json".
        quiet: log warnings and errors only.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, handlers=[handler])
    # Its "connection open" repeats our own entries.
    logging.getLogger("websockets").setLevel(logging.WARNING)


class TextFormatter(logging.Formatter):
    """Formats an entry as time, level, logger, message and the `extra` fields as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = "".join(f" {name}={value}" for name, value in _extra(record).items())
        return super().formatMessage(record) + fields

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(_without_foreign_trace(record)))


class JsonFormatter(logging.Formatter):
    """Formats an entry as one JSON object.

    Its keys are `time` (ISO 8601, UTC), `level`, `logger`, `pid` and `message`, then the `extra`
    fields, then `trace` if there is an exception.
    """

    def format(self, record: logging.LogRecord) -> str:
        record = _without_foreign_trace(record)
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        # Before the JSON is made, which may write a token in other letters.
        return json.dumps({name: _redacted(value) for name, value in entry.items()})


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}


def _without_foreign_trace(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record of `websockets` with the exception's message in place of its traceback.

    `websockets` logs a traceback through its own code for every client that sends nonsense. Other
    records are returned unchanged.
    """
    if (
        not record.name.startswith("websockets")
        or not record.exc_info
        or record.exc_info[1] is None
    ):
        return record
    error = record.exc_info[1]
    short = logging.makeLogRecord(vars(record))
    short.msg, short.args = f"{record.getMessage()}: {error.__cause__ or error}", ()
    short.exc_info = short.exc_text = None
    return short


def _redacted(value: object) -> object:
    return value if isinstance(value, int | float | None) else redact(str(value))
