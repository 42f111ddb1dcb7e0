"""The files of the demo page as HTTP responses: content type, body and headers for each path.

Only the paths of a fixed table are answered, so no path can reach another file. The page may load
nothing from other hosts. It may open a websocket to another host, because `?server=` lets it show a
server there. The only I/O is reading package data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from ..policy_settings import PRESETS, PolicySettings

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_JSON = "application/json"
_PLANE = "/plane.json"
_PRESETS = "/v1/presets"
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
    "Referrer-Policy": "no-referrer",  # the URL may contain a token
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}
_MODULE_HEADERS = {"Access-Control-Allow-Origin": "*"}  # other sites may use the client module
_ASK_AGAIN, _FOR_A_DAY = "no-cache", "public, max-age=86400"


@dataclass(frozen=True, slots=True)
class Page:
    """One response of status 200; `headers` are without Content-Type and Content-Length."""

    content_type: str
    body: bytes
    headers: dict[str, str]


def find_page(
    path: str,
    plane: bytes | None = None,
    presets: Mapping[str, PolicySettings] = PRESETS,
) -> Page | None:
    """Return the page at a path, or None if there is none.

    Args:
        path: path of the request, without query; `/` is the demo page.
        plane: content of a file with a saved 2-D embedding; None is the bundled embedding.
        presets: the policies that a session can ask for.
    """
    if path == _PRESETS:
        return Page(_JSON, presets_json(presets), {"Cache-Control": _ASK_AGAIN, **_HEADERS})
    if plane is not None and path == _PLANE:
        return Page(_JSON, plane, {"Cache-Control": _ASK_AGAIN, **_HEADERS})
    found = _addresses().get(path)
    return found() if found is not None else None


def presets_json(presets: Mapping[str, PolicySettings]) -> bytes:
    """Return the policy's presets as JSON: {"fast": {"end_threshold": ...}, ...}.

    The page draws their thresholds.
    """
    return json.dumps({name: asdict(settings) for name, settings in presets.items()}).encode()


@lru_cache(maxsize=1)
def _addresses() -> dict[str, Callable[[], Page]]:
    """Return a function for each path that makes its page."""

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
    return table
