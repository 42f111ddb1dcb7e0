"""Token files: what is a token, and which errors name a line without telling the token."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from turnstream import ConfigError
from turnstream.stream.service.tokens import Tokens, read_tokens, reread_tokens

LONG, OTHER = "a-long-token-0001", "a-long-token-0002"


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TURNSTREAM_TOKENS", raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "tokens"
    made.touch(mode=0o600)
    return made


def test_space_comments_empty_lines_and_a_byte_order_mark_are_no_tokens(path: Path) -> None:
    path.write_bytes(
        b"\xef\xbb\xbf# of the team, since May\n\n  " + LONG.encode() + b"\t\r\n   # " + b"x" * 20
    )
    assert read_tokens(path) == (LONG,)


def test_a_token_may_have_any_letters_and_a_number_sign_inside(path: Path) -> None:
    words = ("sécrèt-漢字-0123456", "0123456789abcdef#", "0123456789abcde=")
    path.write_text("\n".join(words), encoding="utf-8")
    assert read_tokens(path) == words


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"two words of a token", "without white space or control characters inside"),
        (b"0123456789\t0123456789", "without white space or control characters inside"),
        (b"0123456789\r0123456789", "without white space or control characters inside"),
        (b"0123456789\x000123456789", "without white space or control characters inside"),
        (b"0123456789abcde", "expected access tokens of at least 16 characters, got 15"),
        (b"0123456789abcdef\xff", "in UTF-8, got other bytes"),
    ],
)
def test_a_bad_token_is_named_by_its_line_and_never_told(
    path: Path, line: bytes, complaint: str
) -> None:
    path.write_bytes(f"# comment\n{LONG}\n".encode() + line + b"\n")
    with pytest.raises(ConfigError, match=complaint) as caught:
        read_tokens(path)
    assert f"line 3 of {str(path)!r}" in str(caught.value)
    assert line.split()[0].decode(errors="ignore")[:8] not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (f"{LONG}, short", "got 5 in token 2 of TURNSTREAM_TOKENS"),
        (f"{LONG} {OTHER}", "got one with them in token 1 of TURNSTREAM_TOKENS"),
    ],
)
def test_the_environment_has_the_same_rules(
    monkeypatch: pytest.MonkeyPatch, given: str, complaint: str
) -> None:
    monkeypatch.setenv("TURNSTREAM_TOKENS", given)
    with pytest.raises(ConfigError, match=complaint) as caught:
        read_tokens(None)
    assert LONG not in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_file_of_any_size_is_not_read_whole(path: Path) -> None:
    path.write_bytes(b"#" * (1 << 16) + b"\n")
    with pytest.raises(ConfigError, match="of at most 65536 bytes, got a larger one"):
        read_tokens(path)


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, False), (0o600, False)])
def test_a_file_that_every_user_can_read_is_warned_of(
    path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    path.write_text(LONG)
    path.chmod(mode)
    assert read_tokens(path) == (LONG,)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * warned


def test_new_tokens_take_the_place_of_the_old(path: Path) -> None:
    tokens = Tokens([LONG])
    path.write_text(OTHER)
    assert reread_tokens(tokens, path)
    assert tokens.match([OTHER.encode()])
    assert not tokens.match([LONG.encode()])


@pytest.mark.parametrize("content", [None, b"", b"short\n", b"\xff\n"])
def test_a_broken_file_is_logged_and_the_old_tokens_stay(
    path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    tokens = Tokens([LONG])
    path.unlink() if content is None else path.write_bytes(content)
    assert not reread_tokens(tokens, path)
    assert tokens.match([LONG.encode()])
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert str(path) in record.getMessage()
    assert "short" not in record.getMessage()
