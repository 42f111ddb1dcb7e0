"""Access: the token is accepted in both places, and the origin must be allowed.

The server's own pages are allowed, other pages are not.
"""

from __future__ import annotations

import http

import pytest
from websockets.datastructures import Headers

from turnstream import ConfigError
from turnstream.stream.service import tokens
from turnstream.stream.service.access import Access

OWN = "127.0.0.1:8765"


def status(rule: Access, query: str = "", **headers: str) -> int | None:
    refusal = rule.refusal(Headers({"Host": OWN, **headers}), query)
    return None if refusal is None else int(refusal[0])


def test_without_tokens_everyone_is_admitted() -> None:
    assert status(Access()) is None
    assert status(Access(), "token=any", Authorization="Bearer any") is None


@pytest.mark.parametrize("token", ["first", "second", "s\u00e9cr\u00e8t", "a-b_c~d.e"])
def test_any_token_admits_in_either_place(token: str) -> None:
    rule = Access(["first", "second", "s\u00e9cr\u00e8t", "a-b_c~d.e"])
    assert status(rule, Authorization=f"Bearer {token}") is None
    assert status(rule, Authorization=f"bearer  {token} ") is None
    assert status(rule, f"channels=1&token={token}") is None
    assert status(rule, "token=wrong", Authorization=f"Bearer {token}") is None


@pytest.mark.parametrize(
    "shown", ["", "firs", "firstt", "First", "first,second", "first second", "\u00e9"]
)
def test_another_token_does_not_admit(shown: str) -> None:
    rule = Access(["first", "second"])
    assert status(rule, f"token={shown}") == 401
    assert status(rule, Authorization=f"Bearer {shown}") == 401


@pytest.mark.parametrize("header", ["first", "Basic first", "Bearer", ""])
def test_only_a_bearer_token_counts(header: str) -> None:
    assert status(Access(["first"]), Authorization=header) == 401


def test_a_refusal_says_what_was_expected_and_no_token() -> None:
    refusal = Access(["first"]).refusal(Headers(), "token=mine")
    assert refusal == (
        http.HTTPStatus.UNAUTHORIZED,
        "expected a valid token, as 'Authorization: Bearer TOKEN' or ?token=TOKEN",
    )


def test_every_token_is_compared_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def remember(shown: bytes, token: bytes) -> bool:
        compared.append((shown, token))
        return shown == token

    monkeypatch.setattr(tokens.hmac, "compare_digest", remember)
    assert status(Access(["a", "b", "c"]), "token=a", Authorization="Bearer x") is None
    assert compared == [(shown, token) for shown in (b"x", b"a") for token in (b"a", b"b", b"c")]


def test_a_flood_of_tokens_is_not_compared() -> None:
    assert status(Access(["right"]), "&".join(["token=wrong"] * 1000 + ["token=right"])) == 401


@pytest.mark.parametrize("tokens", [[""], [" "], ["a", ""]])
def test_an_empty_token_is_refused(tokens: list[str]) -> None:
    with pytest.raises(ConfigError, match="got an empty one"):
        Access(tokens)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("localhost:8765", "http://localhost:8765"),
        ("LOCALHOST:8765", "HTTP://LocalHost:8765"),
        ("[::1]:8765", "http://[::1]:8765"),
        ("192.168.0.7", "http://192.168.0.7"),
        ("192.168.0.7:443", "https://192.168.0.7"),
        ("192.168.0.7", "https://192.168.0.7"),
    ],
)
def test_this_servers_own_page_is_admitted(host: str, origin: str) -> None:
    assert status(Access(), Host=host, Origin=origin) is None
    assert status(Access(origins=["https://other.page"]), Host=host, Origin=origin) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.page",
        "https://127.0.0.1",
        "http://127.0.0.1:8766",
        "http://localhost:8765",
        "http://127.0.0.1:8765.evil.page",
        "null",
        "",
        "x",
    ],
)
def test_a_foreign_page_is_refused(origin: str) -> None:
    refusal = Access().refusal(Headers({"Host": OWN, "Origin": origin}), "")
    assert refusal is not None
    assert refusal[0] is http.HTTPStatus.FORBIDDEN
    assert refusal[1].startswith(
        "expected a web page of this server, or of an origin that it was started with (--origin), "
        "got "
    )
    assert repr(origin) in refusal[1]


def test_a_name_that_points_here_makes_no_page_ours_unless_a_token_does() -> None:
    rebound = {"Host": "evil.page:8765", "Origin": "http://evil.page:8765"}
    assert status(Access(), **rebound) == 403
    assert status(Access(["secret"]), **rebound) == 401
    assert status(Access(["secret"]), "token=secret", **rebound) is None
    assert status(Access(origins=["http://evil.page:8765"]), **rebound) is None


@pytest.mark.parametrize(
    "host",
    [OWN, "localhost", "LOCALHOST:1", "[::1]:8765", "10.0.0.7", "my.page:8765", "MY.PAGE"],
)
def test_a_host_that_no_foreign_page_has_may_be_read_from(host: str) -> None:
    assert Access(origins=["https://my.page"]).host_refusal(Headers({"Host": host})) is None


@pytest.mark.parametrize("host", ["evil.page:8765", "localhost.evil.page", "", "[", "my.page@x"])
def test_a_host_that_may_be_a_foreign_pages_is_refused_unless_there_are_tokens(host: str) -> None:
    headers = Headers({"Host": host})
    refusal = Access(origins=["https://my.page"]).host_refusal(headers)
    assert refusal is not None
    assert refusal[0] is http.HTTPStatus.FORBIDDEN
    assert refusal[1].endswith(f"in the Host header, got {host!r}")
    assert Access(["secret"]).host_refusal(headers) is None
    assert Access(origins=["*"]).host_refusal(headers) is None


def test_a_request_without_a_host_comes_from_no_page() -> None:
    assert Access().host_refusal(Headers()) is None


def test_a_header_in_utf_8_shows_a_token_with_accents() -> None:
    on_the_wire = "Bearer s\u00e9cr\u00e8t".encode().decode("latin-1")
    assert status(Access(["s\u00e9cr\u00e8t"]), Authorization=on_the_wire) is None
    assert status(Access(["s\u00e9cr\u00e9t"]), Authorization=on_the_wire) == 401


@pytest.mark.parametrize("host", ["", "[", "127.0.0.1:x", "127.0.0.1:99999", "other:8765"])
def test_a_host_that_cannot_be_read_makes_no_page_ours(host: str) -> None:
    assert status(Access(), Host=host, Origin="http://127.0.0.1:8765") == 403


def test_several_headers_of_a_kind_admit_no_more_than_each_does() -> None:
    headers = Headers({"Host": OWN})
    headers["Origin"] = "http://127.0.0.1:8765"
    headers["Origin"] = "http://evil.page"
    refusal = Access().refusal(headers, "")
    assert refusal is not None
    assert "http://evil.page" in refusal[1]
    hosts = Headers({"Host": OWN, "Origin": "http://evil.page"})
    hosts["Host"] = "evil.page"
    assert Access(["a"]).refusal(hosts, "token=a") is not None


def test_listed_origins_are_admitted() -> None:
    rule = Access(origins=["https://my.page", "http://localhost:3000/"])
    for origin in ("https://my.page", "https://MY.page:443", "http://localhost:3000"):
        assert status(rule, Origin=origin) is None
    for origin in ("http://my.page", "https://my.page:8443", "https://not.my.page", "null"):
        assert status(rule, Origin=origin) == 403


def test_a_star_admits_every_page_and_null_those_without_an_origin() -> None:
    for origin in ("https://any.page", "null", "nonsense"):
        assert status(Access(origins=["*"]), Origin=origin) is None
    assert status(Access(origins=["null"]), Origin="null") is None
    assert status(Access(origins=["null"]), Origin="https://any.page") == 403


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "my.page",
        "https://",
        "https://my.page/path",
        "https://my.page?x",
        "https://a@my.page",
        "https://my.page:x",
        "https://[",
        "https://*.page:99999",
    ],
)
def test_what_is_no_origin_is_a_config_error(origin: str) -> None:
    with pytest.raises(ConfigError, match=r"expected an origin such as https://my\.page"):
        Access(origins=[origin])
