"""Answers the requests that open no stream: health, metrics, pages, and what is no request.

What a client writes may hold a secret at a wrong place. So the log never quotes a request.
"""

from __future__ import annotations

import http
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult

from websockets.exceptions import InvalidMessage
from websockets.http11 import Request, Response

from ..protocol import STREAM_PATH
from .access import Access
from .answers import answer, answer_json, refusal, refuse
from .connection import Connection
from .flux import FLUX_PATH
from .metrics import Metrics
from .twilio import CALLS_PATH, RELAY_PATH, TWILIO_PATH
from .web_pages import Page

logger = logging.getLogger(__name__)

_READ = ("GET", "HEAD")
_MOST_LINES = 5  # about malformed requests, in a second


class PlainRequests:
    """Answers the plain requests to one server.

    Args:
        access: says who may read the metrics.
        metrics: what /metrics shows.
        health: returns what /healthz shows.
        unready: returns why no new session would be admitted, as a short status and a reason, or
            None if it would be.
        find_page: returns the page at a path, or None.
        clock: monotonic clock, in seconds.
    """

    def __init__(
        self,
        access: Access,
        metrics: Metrics,
        health: Callable[[], dict[str, Any]],
        unready: Callable[[], tuple[str, str] | None],
        find_page: Callable[[str], Page | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._metrics = metrics
        self._health = health
        self._unready = unready
        self._find_page = find_page
        self._malformed_log = _MalformedLog(clock)

    def answer(self, connection: Connection, request: Request, url: SplitResult) -> None:
        """Answer one request."""
        if request.method not in _READ:
            connection.respond(self._method_refusal(connection, request.method))
        elif url.path in {"/healthz", "/livez"}:
            connection.respond(answer_json(self._health()))
        elif url.path == "/readyz":
            self._answer_ready(connection)
        elif url.path == "/metrics":
            headers = request.headers
            refused = self._access.refusal(headers, url.query) or self._access.host_refusal(headers)
            if refused is None:
                connection.respond(answer(*self._metrics.exposition()))
            else:
                refuse(connection, self._metrics, *refused)
        elif (page := self._find_page(url.path)) is not None:
            connection.respond(answer(page.content_type, page.body, page.headers))
        else:
            refuse(
                connection,
                self._metrics,
                http.HTTPStatus.NOT_FOUND,
                f"no such path; expected {STREAM_PATH}, {FLUX_PATH}, {RELAY_PATH}, {TWILIO_PATH}, "
                f"{CALLS_PATH}/SID, /healthz, /livez, /readyz, /metrics or /",
            )

    def answer_unreadable(self, connection: Connection, method: str, error: Exception) -> None:
        """Answer what is no request, or a request with a body; see `Application.on_unreadable`."""
        cause = error.__cause__ or error
        reason = str(cause).partition(":")[0]  # after the colon, the request may be quoted
        has_body = isinstance(cause, NotImplementedError) or reason == "unsupported request body"
        if has_body and method not in _READ:
            connection.answer_unreadable(self._method_refusal(connection, method))
            return
        self._metrics.malformed()
        self._malformed_log.note(connection.remote, reason)
        if isinstance(error, InvalidMessage):  # the others have been answered
            text = f"expected an HTTP request without a body: {reason}\n"
            connection.answer_unreadable(connection.plain(http.HTTPStatus.BAD_REQUEST, text))

    def _answer_ready(self, connection: Connection) -> None:
        unready = self._unready()
        if unready is None:
            # Without its store a server still serves, so a balancer need not avoid it.
            store_ready = self._health()["store_ready"]
            connection.respond(answer_json({"status": "ready", "store_ready": store_ready}))
            return
        status, reason = unready
        connection.respond(
            answer_json({"status": status, "reason": reason}, http.HTTPStatus.SERVICE_UNAVAILABLE)
        )

    def _method_refusal(self, connection: Connection, method: str) -> Response:
        return refusal(
            connection,
            self._metrics,
            http.HTTPStatus.METHOD_NOT_ALLOWED,
            f"expected GET or HEAD, got {method[:20]!a}",
            ", ".join(_READ),
        )


class _MalformedLog:
    """Logs malformed requests, but only a few lines a second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began_s = float("-inf")
        self._lines = self._left_out = 0

    def note(self, remote: str, reason: str) -> None:
        """Log a malformed request, unless the lines of this second are used up."""
        now_s = self._clock()
        if now_s - self._began_s >= 1:
            self._began_s, self._lines = now_s, 0
        if self._lines == _MOST_LINES:
            self._left_out += 1
            return
        self._lines += 1
        extra: dict[str, object] = {"remote": remote, "why": reason}
        if self._left_out:
            extra["left_out"], self._left_out = self._left_out, 0
        logger.info("malformed request", extra=extra)
