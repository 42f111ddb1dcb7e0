"""The demo page's files, as the server gives them: an address to type, bytes and headers. No I/O but reading package data.

Only addresses in a fixed table are answered, so no address can reach another file. The page may load nothing from elsewhere; it may
open a websocket to another host, because `?server=` lets it show a server that runs there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from ..policy import PRESETS

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_JSON = "application/json"
_PLANE = "/plane.json"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self' blob:",
        "connect-src 'self' ws: wss:",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address may hold a token
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}
_MODULE_HEADERS = {"Access-Control-Allow-Origin": "*"}  # other sites may use the client module, too
_ASK_AGAIN, _FOR_A_DAY = "no-cache", "public, max-age=86400"


@dataclass(frozen=True, slots=True)
class Page:
    """One answer, status 200; `headers` are those besides Content-Type and Content-Length."""

    content_type: str
    body: bytes
    headers: dict[str, str]


def find_page(path: str, plane: bytes | None = None) -> Page | None:
    """What is at an address.

    Args:
        path: of the request, without query; `/` is the demo page.
        plane: a saved projection, which the page draws in instead of the bundled plane.
    Returns:
        None if there is nothing.
    """
    if plane is not None and path == _PLANE:
        return Page(_JSON, plane, {"Cache-Control": _ASK_AGAIN, **_HEADERS})
    found = _addresses().get(path)
    return found() if found is not None else None


def presets_json() -> bytes:
    """The policy's presets with their thresholds, which the page draws: {"fast": {"end_threshold": ...}, ...}."""
    return json.dumps({name: asdict(settings) for name, settings in PRESETS.items()}).encode()


@lru_cache(maxsize=1)
def _addresses() -> dict[str, Callable[[], Page]]:
    """Every address there is, and what makes its answer."""

    def file(
        entry: Traversable, content_type: str, lifetime: str = _ASK_AGAIN
    ) -> Callable[[], Page]:
        extra = {_TYPES[".html"]: _PAGE_HEADERS, _TYPES[".js"]: _MODULE_HEADERS}.get(
            content_type, {}
        )
        return lambda: Page(
            content_type, entry.read_bytes(), {"Cache-Control": lifetime, **_HEADERS, **extra}
        )

    runtime, weights = files("turnstream.stream"), files("turnstream.models.weights")
    web = runtime / "service" / "web"
    table = {
        f"/{entry.name}": file(entry, _TYPES[suffix])
        for entry in web.iterdir()
        for suffix in _TYPES
        if entry.name.endswith(suffix)
    }
    table["/"] = table["/index.html"]
    table[_PLANE] = file(weights / "plane.json", _JSON)
    table["/sample.flac"] = file(runtime / "sample" / "call.flac", "audio/flac", _FOR_A_DAY)
    table["/v1/presets"] = lambda: Page(
        _JSON, presets_json(), {"Cache-Control": _ASK_AGAIN, **_HEADERS}
    )
    return table
