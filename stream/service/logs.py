"""How a server's process writes its log: one line an entry, as text or JSON, on standard error.

An entry is never given audio, latents or tokens. As libraries may quote a request in an error, what follows `token=`, `resume=` or
`Bearer` is blotted out of every line besides.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any, Literal

Form = Literal["text", "json"]
FORMS: tuple[Form, ...] = ("text", "json")

_SECRET = re.compile(r"((?:token|resume)=|bearer\s+)[^\s&'\"\\]+", re.IGNORECASE)
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(form: Form, *, quiet: bool = False) -> None:
    """Set up this process's log, unless the program that we are part of has done so.

    Args:
        form: "text" or "json".
        quiet: warnings and errors only.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, handlers=[handler])
    logging.getLogger("websockets").setLevel(
        logging.WARNING
    )  # its "connection open" says nothing that ours does not


class TextFormatter(logging.Formatter):
    """Time, level, logger and message, then the fields given by `extra`, as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = "".join(f" {name}={value}" for name, value in _extra(record).items())
        return super().formatMessage(record) + fields

    def format(self, record: logging.LogRecord) -> str:
        return _without_secrets(super().format(_without_foreign_trace(record)))


class JsonFormatter(logging.Formatter):
    """One JSON object: `time` (ISO 8601, UTC), `level`, `logger`, `pid`, `message`, the fields given by `extra`, and `trace` of an exception."""

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
        return _without_secrets(json.dumps(entry, default=str))


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}


def _without_foreign_trace(record: logging.LogRecord) -> logging.LogRecord:
    """websockets logs a trace of its own lines for whoever talks nonsense to the port; the exception in words is enough."""
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


def _without_secrets(line: str) -> str:
    return _SECRET.sub(r"\1...", line)
