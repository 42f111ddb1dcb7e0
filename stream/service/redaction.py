"""Removes secrets from texts that may quote a client's request, before they are logged."""

from __future__ import annotations

import re

_SHORT = 12  # letters; tokens are longer
_ORIGIN = re.compile(r"https?://[\w.:\[\]-]{1,90}", re.ASCII)  # where no token is given by mistake
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


def _spelled(word: str) -> str:
    """Return a pattern for a word of which any letter may be percent-encoded, also repeatedly."""
    return "".join(
        rf"(?:{re.escape(letter)}|%(?:25)*(?:{ord(letter):02x}|{ord(letter.upper()):02x}))"
        for letter in word
    )


_EQUALS = rf"s?{_spelled('=')}"
_SECRET = re.compile(
    rf"(?P<name>(?:{_spelled('token')}|{_spelled('resume')}){_EQUALS}|/twilio/)[^\s&]+"
    r"|(?P<header>(?:authorization\W+(?:basic\s+)?(?:bearer\s+)?|bearer(?:\s+|\+|%20)))\S+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return a text with "..." in place of what follows `token=`, `resume=`, `/twilio/`, `Bearer`.

    The names are found in any spelling: in capitals, percent-encoded, or inside a longer name.
    """
    return _SECRET.sub(lambda found: f"{found['name'] or found['header']}...", text)


def without_quotes(text: str) -> str:
    """Return an error text with "'...'" in place of what it quotes from a request.

    A client may have put its token anywhere by mistake, such as into another setting. Quoted words
    of a few letters and origins stay, because they help whoever reads the log.
    """

    def shown(found: re.Match[str]) -> str:
        word = found[0][1:-1]
        return found[0] if len(word) < _SHORT or _ORIGIN.fullmatch(word) else "'...'"

    return _QUOTED.sub(shown, text)
