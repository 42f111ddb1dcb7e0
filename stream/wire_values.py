"""Checks of values from the wire. Every error names the field, the value and the expected value.

`settings.py` and `protocol.py` use it. It knows nothing about particular messages.
"""

from __future__ import annotations

import json
import reprlib
from typing import Any, cast

from .errors import ProtocolError
from .prediction import Pair

_SHORT = reprlib.Repr()  # limits the depth and length of its text, whatever a client sends
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def show(got: object) -> str:
    """Returns a value as printable text of at most 60 characters, for an error message."""
    shown = _SHORT.repr(got)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def check_range(name: str, value: object, low: int, high: int) -> None:
    """Check that a setting is a whole number from low to high.

    Raises:
        ProtocolError: bad_setting; it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        expected = f"{low} or {high}" if high - low == 1 else f"a whole number from {low} to {high}"
        raise ProtocolError("bad_setting", f"{name}: expected {expected}, got {show(value)}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Check that a setting is one of the choices.

    Raises:
        ProtocolError: bad_setting; it is not.
    """
    if value not in choices:
        raise ProtocolError(
            "bad_setting", f"{name}: expected one of {', '.join(choices)}; got {show(value)}"
        )


def to_json(words: dict[str, object]) -> str:
    """Returns compact ASCII JSON."""
    return json.dumps(words, separators=(",", ":"), allow_nan=False)


def parse_object(text: str, code: str) -> dict[str, object]:
    """Parse a JSON object.

    Args:
        text: the JSON text.
        code: error code for the error.

    Raises:
        ProtocolError: with this code; the text is not a JSON object, has a field twice, or contains
            NaN or infinity.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        words = dict(pairs)
        if len(words) != len(pairs):
            raise ValueError("a field is given twice")
        return words

    def refuse_constant(word: str) -> Any:
        raise ValueError(f"{word} is not a JSON number")

    try:
        parsed: object = json.loads(text, object_pairs_hook=unique, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(code, f"expected a JSON object, got {show(text)}: {error}") from None
    if not isinstance(parsed, dict):
        raise ProtocolError(code, f"expected a JSON object, got {show(parsed)}")
    return cast(dict[str, object], parsed)


def _wrong(name: str, expected: str, value: object) -> ProtocolError:
    return ProtocolError("bad_message", f"{name}: expected {expected}, got {show(value)}")


def text_field(words: dict[str, object], name: str) -> str:
    """Returns a field that must be text, or raises ProtocolError (bad_message)."""
    value = words.get(name)
    if not isinstance(value, str):
        raise _wrong(name, "text", value)
    return value


def count_field(words: dict[str, object], name: str) -> int:
    """Returns a field that must be a whole number from 0, or raises ProtocolError."""
    value = words.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _wrong(name, "a whole number from 0", value)
    return value


def _as_number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not -1e300 < value < 1e300:
        raise _wrong(name, "a number", value)
    return float(value)


def number_field(words: dict[str, object], name: str) -> float:
    """Returns a field that must be a finite number, or raises ProtocolError."""
    return _as_number(name, words.get(name))


def pair_field(words: dict[str, object], name: str) -> Pair:
    """Returns a field that must be a list of two numbers, or raises ProtocolError."""
    value = words.get(name)
    values = cast(list[object], value) if isinstance(value, list) else []
    if len(values) != 2:
        raise _wrong(name, "two numbers", words.get(name))
    user, other = values
    return _as_number(name, user), _as_number(name, other)


def object_field(words: dict[str, object], name: str) -> dict[str, object]:
    """Returns a field that must be an object, or raises ProtocolError."""
    value = words.get(name)
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    return cast(dict[str, object], value)
