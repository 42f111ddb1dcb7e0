"""The access tokens of a server: reads them from a file and the environment, and compares them.

A file holds one token a line. Space around a token, empty lines and lines that begin with `#` are
ignored. No error and no log line contains a token; a bad one is named by its line or number.
"""

from __future__ import annotations

import codecs
import hmac
import logging
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import ConfigError

logger = logging.getLogger(__name__)

TOKENS_VARIABLE = "TURNSTREAM_TOKENS"
MIN_TOKEN_LETTERS = 16

_MAX_FILE_BYTES = 1 << 16


class Tokens:
    """The tokens of a server; they can be replaced while it runs.

    Args:
        words: tokens, each of which admits a client; without any, no token is needed.
    Raises:
        ConfigError: a token is empty.
    """

    def __init__(self, words: Sequence[str] = ()) -> None:
        self._tokens: list[bytes] = []
        self.replace(words)

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def words(self) -> list[str]:
        """The tokens as text; never to be logged."""
        return [token.decode() for token in self._tokens]

    def replace(self, words: Sequence[str]) -> None:
        """Admit these tokens from now on, and no others.

        Raises:
            ConfigError: a token is empty; the present tokens stay.
        """
        if not all(word.strip() for word in words):
            raise ConfigError(
                "expected access tokens that are not empty, got an empty one, "
                "which would admit everyone"
            )
        self._tokens = [word.encode() for word in words]

    def match(self, shown: Iterable[bytes]) -> bytes | None:
        """Return the first of the shown words that is a token, or None."""
        # Compare every pair in full: the time must not tell how close a guess is.
        matches = [
            token for word in shown for token in self._tokens if hmac.compare_digest(word, token)
        ]
        return matches[0] if matches else None


def read_tokens(path: Path | None) -> tuple[str, ...]:
    """Return the tokens of the environment variable and of the file.

    Args:
        path: file of tokens; None reads the environment alone.
    Raises:
        ConfigError: the file or the variable contains no token (this would admit everyone) or a
            bad one, or the file cannot be read.
    """
    given = os.environ.get(TOKENS_VARIABLE)
    tokens = [word.strip() for word in (given or "").split(",") if word.strip()]
    if given is not None and not tokens:
        raise ConfigError(
            f"expected access tokens in {TOKENS_VARIABLE}, separated by commas, got none; "
            "unset it to admit everyone"
        )
    for number, token in enumerate(tokens, 1):
        _check(token, f"token {number} of {TOKENS_VARIABLE}")
    return (*tokens, *(() if path is None else _file_tokens(path)))


def reread_tokens(tokens: Tokens, path: Path) -> bool:
    """Replace the tokens by those that the file and the environment contain now.

    A file that cannot be used is logged, and the present tokens stay.

    Returns:
        Whether the tokens were replaced.
    """
    try:
        if not path.is_file():  # to open a pipe could wait for ever
            raise ConfigError(f"expected a file of tokens, one a line, got none: {str(path)!r}")
        tokens.replace(read_tokens(path))
    except ConfigError as error:
        logger.error("the access tokens stay as they are: %s", error)
        return False
    logger.info("the access tokens were read again", extra={"count": len(tokens)})
    return True


def _file_tokens(path: Path) -> list[str]:
    expected = "expected a file of tokens, one a line"
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_FILE_BYTES + 1).removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise ConfigError(f"{expected}, got {str(path)!r}: {error}") from None
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigError(
            f"{expected}, of at most {_MAX_FILE_BYTES} bytes, got a larger one: {str(path)!r}"
        )
    if os.name == "posix" and stat.S_ISREG(mode) and mode & stat.S_IROTH:
        logger.warning(
            "every user of this machine can read the access tokens in %r; to forbid it: chmod 600",
            str(path),
        )
    tokens: list[str] = []
    for number, line in enumerate(content.split(b"\n"), 1):
        where = f"line {number} of {str(path)!r}"
        try:
            token = line.decode().strip()
        except UnicodeDecodeError:
            raise ConfigError(f"{expected}, in UTF-8, got other bytes in {where}") from None
        if token and not token.startswith("#"):
            _check(token, where)
            tokens.append(token)
    if not tokens:
        raise ConfigError(f"{expected}, got an empty one: {str(path)!r}")
    return tokens


def _check(token: str, where: str) -> None:
    """Refuse a token that is easy to guess, or that no client could show as it is.

    Raises:
        ConfigError: with the token's place instead of the token.
    """
    if any(letter.isspace() or not letter.isprintable() for letter in token):
        raise ConfigError(
            "expected an access token without white space or control characters inside, "
            f"got one with them in {where}"
        )
    if len(token) < MIN_TOKEN_LETTERS:
        raise ConfigError(
            f"expected access tokens of at least {MIN_TOKEN_LETTERS} characters, "
            f"got {len(token)} in {where}"
        )
