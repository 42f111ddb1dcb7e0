"""Decides who may open a stream or read the metrics: a client with a token, no foreign page.

A browser lets any page open a websocket to any server, also to a local one. It names the page in
the `Origin` header. Other programs send no `Origin`.

A page that this server has served is recognised because its origin equals the address of the
request. If the server has no tokens, that address must be numeric or `localhost`. Otherwise a
foreign page could point its own host name at this machine (DNS rebinding), and its origin would
equal the address too. A page that reads its own address sends no `Origin`: for such a request the
`Host` header is checked instead.
"""

from __future__ import annotations

import contextlib
import http
import ipaddress
from collections.abc import Sequence
from urllib.parse import SplitResult, parse_qs, urlsplit

from websockets.datastructures import Headers

from ..errors import ConfigError
from .tokens import Tokens

_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXPECTED = "expected an origin such as https://my.page or http://localhost:3000, '*' or 'null'"
_MAX_TOKENS = 4  # tokens of one request that are compared


class Access:
    """Admits or refuses the requests to one server.

    Args:
        tokens: access tokens, each of which admits a client. Without any, no token is needed.
            `Tokens` can be replaced later.
        origins: origins of web pages, such as "https://my.page:8443", that are admitted besides
            the server's own. "*" admits all pages; "null" admits pages without an origin (files,
            sandboxes). A request without an `Origin` header comes from no web page and is not
            checked against them.
    Raises:
        ConfigError: an origin is malformed, or a token is empty.
    """

    def __init__(self, tokens: Sequence[str] | Tokens = (), origins: Sequence[str] = ()) -> None:
        self._tokens = tokens if isinstance(tokens, Tokens) else Tokens(tokens)
        self._any_origin = "*" in origins
        self._null_origin = "null" in origins
        self._origins = {_parse_origin(origin) for origin in origins if origin not in {"*", "null"}}

    def refusal(self, headers: Headers, query: str) -> tuple[http.HTTPStatus, str] | None:
        """Return None to admit a request, or the HTTP status and the reason to refuse it.

        The reason is one line, without a newline.

        Args:
            headers: headers of the request.
            query: query of its address, after the "?".
        """
        if self._tokens and self.token(headers, query) is None:
            return (
                http.HTTPStatus.UNAUTHORIZED,
                "expected a valid token, as 'Authorization: Bearer TOKEN' or ?token=TOKEN",
            )
        for origin in headers.get_all("Origin"):
            if not self._knows_origin(origin, headers):
                shown = ascii(origin[:100])
                return (
                    http.HTTPStatus.FORBIDDEN,
                    "expected a web page of this server, or of an origin that it was started with "
                    f"(--origin), got {shown}",
                )
        return None

    def host_refusal(self, headers: Headers) -> tuple[http.HTTPStatus, str] | None:
        """Return None to admit a request by its `Host` header, or status and reason to refuse it.

        A browser sends no `Origin` when a page reads from its own address. A foreign page whose
        host name points at this machine is recognised by that name. A token makes the check
        needless, because such a page has none.

        Args:
            headers: headers of the request.
        """
        if self._tokens or self._any_origin:
            return None
        names = {host for _, host, _ in self._origins}
        for host in headers.get_all("Host"):
            try:
                name = urlsplit(f"//{host}").hostname or ""
            except ValueError:
                name = ""
            if not (name in names or name == "localhost" or _is_numeric(name)):
                return (
                    http.HTTPStatus.FORBIDDEN,
                    "expected localhost, a numeric address, or the host of an origin that the "
                    f"server was started with (--origin) in the Host header, "
                    f"got {host[:100]!a}",
                )
        return None

    def token(self, headers: Headers, query: str) -> bytes | None:
        """Return the access token with which a request comes, or None if it has no valid one.

        Args:
            headers, query: see `refusal`.
        """
        shown = [
            word
            for header in headers.get_all("Authorization")
            for scheme, _, word in [header.partition(" ")]
            if scheme.lower() == "bearer"
        ]
        shown += parse_qs(query).get("token", [])
        return self._tokens.match(
            spelling for word in shown[:_MAX_TOKENS] for spelling in _spellings(word.strip())
        )

    def _knows_origin(self, origin: str, headers: Headers) -> bool:
        if self._any_origin:
            return True
        if origin == "null":
            return self._null_origin
        try:
            parsed = _parse_origin(origin)
        except ConfigError:
            return False
        return parsed in self._origins or self._is_own(parsed, headers)

    def _is_own(self, origin: tuple[str, str, int | None], headers: Headers) -> bool:
        """Return whether the page came from the address that this request went to.

        The scheme may differ, because a proxy may add TLS.
        """
        scheme, host, port = origin
        hosts = headers.get_all("Host")
        if len(hosts) != 1:
            return False
        try:
            asked = urlsplit(f"//{hosts[0]}")
            same = (asked.hostname, _port_of(asked, scheme)) == (host, port)
        except ValueError:
            return False
        return same and (bool(self._tokens) or host == "localhost" or _is_numeric(host))


def _spellings(word: str) -> list[bytes]:
    """Return a shown token as UTF-8, also if it arrived as the Latin-1 text of UTF-8 bytes.

    So a header of most clients arrives.
    """
    plain = word.encode(errors="replace")
    with contextlib.suppress(UnicodeEncodeError):
        if (raw := word.encode("latin-1")) != plain:
            return [plain, raw]
    return [plain]


def _parse_origin(origin: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of an origin.

    Raises:
        ConfigError: the origin is malformed.
    """
    try:
        url = urlsplit(origin.lower())
        port = _port_of(url, url.scheme)
    except ValueError as error:
        raise ConfigError(f"{_EXPECTED}, got {origin!r}: {error}") from None
    if (
        not (url.scheme and url.hostname)
        or url.path not in {"", "/"}
        or url.query
        or url.fragment
        or "@" in url.netloc
    ):
        raise ConfigError(f"{_EXPECTED}, got {origin!r}")
    return url.scheme, url.hostname, port


def _port_of(url: SplitResult, scheme: str) -> int | None:
    return url.port if url.port is not None else _DEFAULT_PORTS.get(scheme)


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
