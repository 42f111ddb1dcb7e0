import json
import re
from dataclasses import fields
from importlib.resources import files

import pytest

from turnstream import ConfigError
from turnstream.stream.policy import PRESETS, PolicySettings
from turnstream.stream.saved_embedding import bundled_plane
from turnstream.stream.service.web_pages import Page, find_page, page_servers_of, presets_json
from turnstream.stream.settings import StreamSettings
from turnstream.stream.sources import bundled_sample


def page(path: str) -> Page:
    found = find_page(path)
    assert found is not None, path
    return found


@pytest.mark.parametrize(
    ("path", "content_type", "beginning"),
    [
        ("/", "text/html; charset=utf-8", b"<!doctype html>"),
        ("/index.html", "text/html; charset=utf-8", b"<!doctype html>"),
        ("/style.css", "text/css; charset=utf-8", b"/*"),
        ("/turnstream.js", "text/javascript; charset=utf-8", b"//"),
        ("/capture.worklet.js", "text/javascript; charset=utf-8", b"//"),
        ("/icon.svg", "image/svg+xml", b"<svg"),
        ("/sample.flac", "audio/flac", b"fLaC"),
        ("/plane.json", "application/json", b"{"),
        ("/v1/presets", "application/json", b"{"),
    ],
)
def test_every_file_has_its_type(path: str, content_type: str, beginning: bytes) -> None:
    found = page(path)
    assert found.content_type == content_type
    assert found.body.startswith(beginning)
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert found.headers["Cache-Control"] == (
        "public, max-age=86400" if path == "/sample.flac" else "no-cache"
    )


def test_every_file_of_the_page_is_served_and_every_name_in_it_is_a_file() -> None:
    runtime = files("turnstream.stream")
    names = {entry.name for entry in (runtime / "service" / "web").iterdir()}
    assert names >= {"index.html", "style.css", "page.js", "capture.worklet.js"}
    package = {e.name for e in (runtime / "js").iterdir() if e.name.endswith(".js")}
    assert package >= {"turnstream.js", "predictor.js"}
    names |= package
    for name in names:
        text = page(f"/{name}").body.decode()
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), name
        assert "https://" not in text, name
    imported = {
        line.split('"./')[1].split('"')[0]
        for name in names
        for line in page(f"/{name}").body.decode().splitlines()
        if 'from "./' in line
    }
    assert imported <= names


def test_both_clients_have_the_same_defaults() -> None:
    (defaults,) = re.findall(
        r"constructor\(url, \{\n(.+?)\} = \{\}\)", page("/turnstream.js").body.decode(), re.DOTALL
    )
    javascript = dict(re.findall(r'(\w+) = "?(\w+)"?', defaults))
    python = StreamSettings().to_wire()
    assert javascript.pop("sampleRate") == str(python.pop("sample_rate"))
    assert {name: javascript[name] for name in python} == {k: str(v) for k, v in python.items()}


def test_the_sample_is_the_bundled_call() -> None:
    assert page("/sample.flac").body == bundled_sample().read_bytes()


def test_another_plane_takes_the_place_of_the_bundled_one_and_of_nothing_else() -> None:
    given = find_page("/plane.json", b'{"mine": 1}')
    assert given is not None
    assert (given.content_type, given.body, given.headers) == (
        "application/json",
        b'{"mine": 1}',
        page("/plane.json").headers,
    )
    assert find_page("/", b"{}") == page("/")
    assert page("/plane.json").body == bundled_plane().read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "",
        "//",
        "/../engine.py",
        "/web/../engine.py",
        "/..%2fengine.py",
        "/%2e%2e/policy.py",
        "/web",
        "/index.html/",
        "/INDEX.HTML",
        "/engine.py",
        "/\0",
        "index.html",
    ],
)
def test_nothing_else_is_served(path: str) -> None:
    assert find_page(path) is None


def test_the_page_may_load_nothing_from_elsewhere() -> None:
    policy = dict(
        part.split(" ", 1) for part in page("/").headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert not any("unsafe" in sources or "http" in sources for sources in policy.values())
    assert page("/").headers["Referrer-Policy"] == "no-referrer"


def test_the_page_may_connect_to_the_servers_that_the_operator_names_and_knows_them() -> None:
    servers = page_servers_of(["WSS://My.Host", "ws://127.0.0.1:8765/"])
    assert servers == ("wss://my.host", "ws://127.0.0.1:8765")
    found, listed = find_page("/", servers=servers), find_page("/v1/servers", servers=servers)
    assert found is not None
    assert listed is not None
    policy = found.headers["Content-Security-Policy"]
    assert "; connect-src 'self' wss://my.host ws://127.0.0.1:8765; " in policy
    assert json.loads(listed.body) == list(servers)
    assert page("/v1/servers").body == b"[]"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "my.host",
        "https://my.host",
        "wss://",
        "wss://*",
        "wss://a b",
        "wss://a;script-src *",
        "wss://my.host/path",
        "wss://user@my.host",
        "ws://[::1]:8765",
        "ws://my.host:123456",
    ],
)
def test_what_is_no_server_for_the_page_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a server for the page such as wss://my\.host"):
        page_servers_of([url])


def test_other_sites_may_use_the_modules_and_nothing_else() -> None:
    assert page("/turnstream.js").headers["Access-Control-Allow-Origin"] == "*"
    assert not any(
        "Access-Control-Allow-Origin" in page(path).headers
        for path in ("/", "/style.css", "/plane.json", "/sample.flac", "/v1/presets")
    )


def colours(style: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", style))


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [
            share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
            for share in shares
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_in_light_and_dark(dark: bool) -> None:
    light_style, _, dark_style = (
        page("/style.css").body.decode().partition("(prefers-color-scheme: dark)")
    )
    colour = colours(light_style) | (colours(dark_style) if dark else {})
    for text in ("text", "quiet", "user-text", "other-text", "alarm", "thinking", "done"):
        for paper in ("paper", "panel"):
            assert contrast(colour[text], colour[paper]) >= 4.5, (text, paper)
    assert contrast(colour["on-action"], colour["action"]) >= 4.5
    assert contrast(colour["alarm"], colour["alarm-paper"]) >= 4.5


def test_the_presets_are_those_of_the_policy() -> None:
    presets = json.loads(presets_json(PRESETS))
    assert {name: PolicySettings(**settings) for name, settings in presets.items()} == PRESETS
    assert all(
        set(settings) == {field.name for field in fields(PolicySettings)}
        for settings in presets.values()
    )
    assert page("/v1/presets").body == presets_json(PRESETS)
    own = find_page("/v1/presets", presets={"german": PolicySettings()})
    assert own is not None
    assert [*json.loads(own.body)] == ["german"]
