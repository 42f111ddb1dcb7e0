"""Redaction: no spelling of a token's name keeps its value in a text."""

from __future__ import annotations

import pytest

from turnstream.stream.service.redaction import redact, without_quotes


@pytest.mark.parametrize(
    "text",
    [
        "GET /v1/stream?%74oken=SECRET HTTP/1.1",
        "GET /v1/stream?%54%4f%4B%45%6e=SECRET",
        "GET /v1/stream?%2574oken%253DSECRET",
        "GET /v1/stream?Token=SECRET",
        "GET /v1/stream?access_token=SECRET",
        "GET /v1/stream?tokens=SECRET",
        "GET /token=SECRET/v1/stream",
        "GET /v1/stream#token=SECRET",
        "GET /v1/stream?%72esume=0-SECRET&received=1",
        "GET /v1/stream?token=%53SECRET",
        "GET /twilio/SECRET HTTP/1.1",
        "authorization: SECRET",
        "Authorization: Basic SECRET",
        "('Authorization', 'Bearer SECRET')",
        "Bearer+SECRET",
        "token=a'b\"c\\SECRET",
    ],
)
def test_no_spelling_saves_a_token(text: str) -> None:
    assert "SECRET" not in redact(text)
    assert "..." in redact(text)


def test_what_is_no_secret_stays() -> None:
    text = "session began session=9f86 settings=sample_rate=16000&policy=balanced"
    assert redact(text) == text
    assert redact("?token=SECRET&channels=1") == "?token=...&channels=1"


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        ("frames: got 'my-secret-token-01'", "frames: got '...'"),
        ('unknown setting "it\'s-my-secret-token"; expected', "unknown setting '...'; expected"),
        ("got 'it\\'s-my-secret-token' there", "got '...' there"),
        ("encoding: got 'mp3'", "encoding: got 'mp3'"),
        ("(--origin), got 'http://evil.page:80'", "(--origin), got 'http://evil.page:80'"),
        ("got 'http://evil.page/?my-secret-token'", "got '...'"),
    ],
)
def test_what_a_client_wrote_is_left_out_unless_it_is_short_or_an_origin(
    text: str, logged: str
) -> None:
    assert without_quotes(text) == logged
