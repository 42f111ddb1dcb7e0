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
from .redaction import without_quotes

logger = logging.getLogger(__name__)

_RETRY_S = 2  # time that a refused client is asked to wait


def answer(
    content_type: str,
    body: bytes,
    headers: dict[str, str] | None = None,
    status: http.HTTPStatus = http.HTTPStatus.OK,
) -> Response:
    """Return a complete response, after which the connection closes."""
    lines = {
        "Connection": "close",
        "Content-Length": str(len(body)),
        "Content-Type": content_type,
        **(headers or {}),
    }
    return Response(status.value, status.phrase, Headers(lines), body)


def answer_json(content: dict[str, Any], status: http.HTTPStatus = http.HTTPStatus.OK) -> Response:
    """Return a response with one JSON object, which no cache keeps."""
    body = json.dumps(content).encode() + b"\n"
    return answer("application/json", body, {"Cache-Control": "no-store"}, status)


def refuse(
    connection: Connection, metrics: Metrics, status: http.HTTPStatus, text: str, allow: str = ""
) -> None:
    """Answer a request with an error; count and log it.

    Args:
        connection: has sent the request. It closes after the answer.
        metrics: counts the refusal.
        status: HTTP status of the error.
        text: the reason, one line without a newline. The log leaves out what it quotes.
        allow: methods that the path has, for status 405.
    """
    connection.respond(refusal(connection, metrics, status, text, allow))


def refusal(
    connection: Connection, metrics: Metrics, status: http.HTTPStatus, text: str, allow: str = ""
) -> Response:
    """Count and log an error; return the response, which the caller sends. See `refuse`."""
    metrics.refused(status)
    response = connection.plain(status, f"{text}\n")
    if allow:
        response.headers["Allow"] = allow
    if status is http.HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status is http.HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(_RETRY_S)
    logger.info(
        "refused",
        extra={"remote": connection.remote, "status": int(status), "why": without_quotes(text)},
    )
    return response
