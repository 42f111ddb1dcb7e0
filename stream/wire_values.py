"""Values of the wire, checked: every refusal names the field, what was got and what was expected.

Used by `settings.py` and `protocol.py`; knows no message.
"""

from __future__ import annotations

import json
import reprlib
from typing import Any, cast

from .errors import ProtocolError
from .prediction import Pair

_SHORT = reprlib.Repr()  # bounded in depth, whatever was sent
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def show(got: object) -> str:
    """What was got, short and printable, for an error message."""
    shown = _SHORT.repr(got)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def check_range(name: str, value: object, low: int, high: int) -> None:
    """Refuse (bad_setting) what is not a whole number from low to high."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        expected = f"{low} or {high}" if high - low == 1 else f"a whole number from {low} to {high}"
        raise ProtocolError("bad_setting", f"{name}: expected {expected}, got {show(value)}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse (bad_setting) what is not one of the choices."""
    if value not in choices:
        raise ProtocolError(
            "bad_setting", f"{name}: expected one of {', '.join(choices)}; got {show(value)}"
        )


def to_json(words: dict[str, object]) -> str:
    """Compact ASCII JSON."""
    return json.dumps(words, separators=(",", ":"), allow_nan=False)


def parse_object(text: str, code: str) -> dict[str, object]:
    """Read a JSON object; refuse, with that error code, anything else, fields given twice, and NaN."""

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
    """A field of a message that must be text."""
    value = words.get(name)
    if not isinstance(value, str):
        raise _wrong(name, "text", value)
    return value


def count_field(words: dict[str, object], name: str) -> int:
    """A field of a message that must be a whole number from 0."""
    value = words.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _wrong(name, "a whole number from 0", value)
    return value


def _as_number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not -1e300 < value < 1e300:
        raise _wrong(name, "a number", value)
    return float(value)


def number_field(words: dict[str, object], name: str) -> float:
    """A field of a message that must be a finite number."""
    return _as_number(name, words.get(name))


def pair_field(words: dict[str, object], name: str) -> Pair:
    """A field of a message that must be a list of two numbers."""
    value = words.get(name)
    values = cast(list[object], value) if isinstance(value, list) else []
    if len(values) != 2:
        raise _wrong(name, "two numbers", words.get(name))
    user, other = values
    return _as_number(name, user), _as_number(name, other)


def object_field(words: dict[str, object], name: str) -> dict[str, object]:
    """A field of a message that must be an object."""
    value = words.get(name)
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    return cast(dict[str, object], value)
