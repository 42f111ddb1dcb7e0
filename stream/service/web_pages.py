"""The files of the demo page as HTTP responses: content type, body and headers for each path.

Only the paths of a fixed table are answered, so no path can reach another file. The page may load
nothing from other hosts. With `?server=` it opens a websocket to another server, but only to those
that the operator has named. The only I/O is reading package data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from ..errors import ConfigError
from ..policy_settings import PRESETS, PolicySettings

JSON_TYPE, SCRIPT_TYPE = "application/json", "text/javascript; charset=utf-8"
PAGE_FACTS = "/v1/page"  # where the network can run: here, and with what files in the tab
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": SCRIPT_TYPE,
    ".svg": "image/svg+xml",
}
_PLANE = "/plane.json"
_SERVERS = "/v1/servers"
_SERVER = re.compile(r"wss?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?")
_PRESETS = "/v1/presets"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src {scripts}",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self' blob:",
        "connect-src {servers}",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the URL may contain a token
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE_HEADERS = {
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
    servers: Sequence[str] = (),
    presets: Mapping[str, PolicySettings] = PRESETS,
    tab: Mapping[str, Page] | None = None,
) -> Page | None:
    """Return the page at a path, or None if there is none.

    Args:
        path: path of the request, without query; `/` is the demo page.
        plane: content of a file with a saved 2-D embedding; None is the bundled embedding.
        servers: other servers that the page may connect to, from `page_servers_of`.
        presets: the policies that a session can ask for.
        tab: files with which the page runs the network in the browser tab, from `tab_pages`; None:
            it runs on the server only.
    """
    if tab is not None and path in tab:
        return tab[path]
    if path == PAGE_FACTS:
        facts = json.dumps({"server": True, "tab": None}).encode()
        return Page(JSON_TYPE, facts, {"Cache-Control": _ASK_AGAIN, **HEADERS})
    if path == _PRESETS:
        return Page(JSON_TYPE, presets_json(presets), {"Cache-Control": _ASK_AGAIN, **HEADERS})
    if plane is not None and path == _PLANE:
        return Page(JSON_TYPE, plane, {"Cache-Control": _ASK_AGAIN, **HEADERS})
    if path == _SERVERS:
        body = json.dumps(list(servers)).encode()
        return Page(JSON_TYPE, body, {"Cache-Control": _ASK_AGAIN, **HEADERS})
    found = _addresses().get(path)
    if found is None:
        return None
    page = found()
    if page.content_type == _TYPES[".html"]:
        page.headers["Content-Security-Policy"] = page_policy(servers, has_tab=tab is not None)
    return page


def page_paths() -> list[str]:
    """Return the paths of all pages that are files, without those of the tab."""
    return [path for path in (*_addresses(), _PRESETS, _SERVERS) if path != "/"]


def page_policy(servers: Sequence[str], *, has_tab: bool) -> str:
    """Return the content security policy of the page.

    Args:
        servers: other servers that it may connect to.
        has_tab: whether it may run WebAssembly, as the network in the tab does.
    """
    scripts = "'self' 'wasm-unsafe-eval'" if has_tab else "'self'"
    return _POLICY.format(scripts=scripts, servers=" ".join(("'self'", *servers)))


def page_servers_of(urls: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses of other servers in the form that browsers compare.

    Args:
        urls: addresses such as "wss://my.host" or "ws://127.0.0.1:8765/".
    Raises:
        ConfigError: an address is malformed, or has a path. An IPv6 address cannot be named in a
            content security policy.
    """
    servers = tuple(url.lower().removesuffix("/") for url in urls)
    for server, url in zip(servers, urls, strict=True):
        if not _SERVER.fullmatch(server):
            raise ConfigError(
                "expected a server for the page such as wss://my.host or ws://127.0.0.1:8765, "
                f"got {url!r}"
            )
    return servers


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
            content_type, entry.read_bytes(), {"Cache-Control": lifetime, **HEADERS, **extra}
        )

    runtime, weights = files("turnstream.stream"), files("turnstream.models.weights")
    table = {
        f"/{entry.name}": file(entry, _TYPES[suffix])
        for folder in (runtime / "service" / "web", runtime / "js")
        for entry in folder.iterdir()
        for suffix in _TYPES
        if entry.name.endswith(suffix)
    }
    table["/"] = table["/index.html"]
    table[_PLANE] = file(weights / "plane.json", JSON_TYPE)
    table["/sample.flac"] = file(runtime / "sample" / "call.flac", "audio/flac", _FOR_A_DAY)
    return table
