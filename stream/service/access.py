"""Who may open a stream: those with a token, where tokens are asked for, and no foreign web page.

A browser lets any page open a websocket to any server, a local one included, and says in the `Origin` header which page it is; other
programs send none. A page that this server itself served is known by its Origin being the address that the request went to. Where no
token protects the server, that address must be numeric or `localhost`: a foreign page can point a name of its own at this machine
(DNS rebinding), and then Origin and address agree, too.
"""

from __future__ import annotations

import hmac
import http
import ipaddress
from collections.abc import Sequence
from urllib.parse import SplitResult, parse_qs, urlsplit

from websockets.datastructures import Headers

from ..errors import ConfigError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXPECTED = "expected an origin such as https://my.page or http://localhost:3000, '*' or 'null'"
_MOST_SHOWN = 4  # tokens of one request that are looked at


class Access:
    """The rule for one server.

    Args:
        tokens: any of which admits; empty admits without one.
        origins: web pages' origins, such as "https://my.page:8443", that are admitted besides the server's own; "*" admits all, "null" pages
            without an origin (files, sandboxes). Requests without an Origin do not come from web pages and need none of these.
    Raises:
        ConfigError: what cannot be an origin, or an empty token.
    """

    def __init__(self, tokens: Sequence[str] = (), origins: Sequence[str] = ()) -> None:
        if not all(token.strip() for token in tokens):
            raise ConfigError(
                "expected access tokens that are not empty, got an empty one, which would admit everyone"
            )
        self._tokens = [token.encode() for token in tokens]
        self._any_origin = "*" in origins
        self._null_origin = "null" in origins
        self._origins = {_place_of(origin) for origin in origins if origin not in {"*", "null"}}

    def refusal(self, headers: Headers, query: str) -> tuple[http.HTTPStatus, str] | None:
        """None admits; otherwise the status and one line (without its end) that says why not.

        Args:
            headers: of the request.
            query: of its address, after the "?".
        """
        if self._tokens and not self._knows_token(headers, query):
            return (
                http.HTTPStatus.UNAUTHORIZED,
                "expected a valid token, as 'Authorization: Bearer TOKEN' or ?token=TOKEN",
            )
        for origin in headers.get_all("Origin"):
            if not self._knows_origin(origin, headers):
                shown = ascii(origin[:100])
                return (
                    http.HTTPStatus.FORBIDDEN,
                    f"expected a web page of this server, or of an origin that it was started with (--origin), got {shown}",
                )
        return None

    def _knows_token(self, headers: Headers, query: str) -> bool:
        shown = [
            word
            for header in headers.get_all("Authorization")
            for scheme, _, word in [header.partition(" ")]
            if scheme.lower() == "bearer"
        ]
        shown += parse_qs(query).get("token", [])
        # Every pair is compared in full, so that the time taken says nothing about how near a guess is.
        matches = [
            hmac.compare_digest(word.strip().encode(errors="replace"), token)
            for word in shown[:_MOST_SHOWN]
            for token in self._tokens
        ]
        return any(matches)

    def _knows_origin(self, origin: str, headers: Headers) -> bool:
        if self._any_origin:
            return True
        if origin == "null":
            return self._null_origin
        try:
            place = _place_of(origin)
        except ConfigError:
            return False
        return place in self._origins or self._is_own(place, headers)

    def _is_own(self, place: tuple[str, str, int | None], headers: Headers) -> bool:
        """Whether the page came from the address that this request went to; the scheme may differ, where a proxy adds TLS."""
        scheme, host, port = place
        hosts = headers.get_all("Host")
        if len(hosts) != 1:
            return False
        try:
            asked = urlsplit(f"//{hosts[0]}")
            same = (asked.hostname, _port_of(asked, scheme)) == (host, port)
        except ValueError:
            return False
        return same and (bool(self._tokens) or host == "localhost" or _is_numeric(host))


def _place_of(origin: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an origin."""
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
