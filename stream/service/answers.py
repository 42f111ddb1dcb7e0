"""The HTTP answers of the server: the responses that are not a websocket."""

from __future__ import annotations

import http
import json
import logging
from typing import Any

from websockets.datastructures import Headers
from websockets.http11 import Response

from .connection import Connection
from .metrics import Metrics

logger = logging.getLogger(__name__)

_RETRY_S = 2  # time that a refused client is asked to wait


def ok(content_type: str, body: bytes, headers: dict[str, str] | None = None) -> Response:
    """Return a complete response of status 200, after which the connection closes."""
    lines = {
        "Connection": "close",
        "Content-Length": str(len(body)),
        "Content-Type": content_type,
        **(headers or {}),
    }
    return Response(http.HTTPStatus.OK.value, http.HTTPStatus.OK.phrase, Headers(lines), body)


def ok_json(content: dict[str, Any]) -> Response:
    """Return a response of status 200 with one JSON object."""
    return ok("application/json", json.dumps(content).encode() + b"\n")


def refuse(connection: Connection, metrics: Metrics, status: http.HTTPStatus, text: str) -> None:
    """Answer a request with an error; count and log it.

    Args:
        connection: has sent the request. It closes after the answer.
        metrics: counts the refusal.
        status: HTTP status of the error.
        text: the reason, one line without a newline.
    """
    metrics.refused(status)
    response = connection.plain(status, f"{text}\n")
    if status is http.HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status is http.HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(_RETRY_S)
    logger.info("refused", extra={"remote": connection.remote, "status": int(status), "why": text})
    connection.respond(response)
