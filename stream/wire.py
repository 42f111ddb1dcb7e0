"""Checks of values from outside, by msgspec. Every error names the field, and what was got.

A struct declares the type of each field, and the description of the type says what was expected.
msgspec's own errors do not name the value, so `check_fields` writes the text. This module knows
nothing about particular messages.
"""

from __future__ import annotations

import inspect
import json
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Meta

from .errors import ProtocolError

Text = Annotated[str, Meta(description="text")]
Count = Annotated[int, Meta(ge=0, description="a whole number from 0")]
Number = Annotated[float, Meta(gt=-1e300, lt=1e300, description="a number")]
Object = Annotated[dict[str, Any], Meta(description="an object")]

PROTOCOL_VERSION = 2  # of PROTOCOL.md

S = TypeVar("S", bound=msgspec.Struct)

_UNFIT = (msgspec.ValidationError, UnicodeEncodeError)  # the latter for half a surrogate pair

_SHORT = reprlib.Repr()  # limits the depth and length of its text, whatever a client sends
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


class ShortSignature(msgspec.StructMeta):
    """Metaclass of a struct whose `help()` names the types of its fields as they are written here.

    The signature that msgspec makes spells out every limit of every value.
    """

    @property
    def __signature__(self) -> inspect.Signature:
        types: dict[str, Any] = {}
        for base in reversed(self.__mro__):
            types |= inspect.get_annotations(base)
        return inspect.Signature(
            [
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD,
                    default=inspect.Parameter.empty if field.required else field.default,
                    annotation=types[field.name],
                )
                for field in msgspec.structs.fields(cast(type[msgspec.Struct], self))
            ]
        )


def whole_number(low: int, high: int) -> Meta:
    """Returns the limits of a whole number from low to high."""
    expected = f"{low} or {high}" if high - low == 1 else f"a whole number from {low} to {high}"
    return Meta(ge=low, le=high, description=expected)


def show(got: object) -> str:
    """Returns a value as printable text of at most 60 characters, for an error message."""
    shown = _SHORT.repr(got)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def parse_object(text: str, code: str) -> dict[str, object]:
    """Parse a JSON object.

    This is the standard library's parser, because msgspec accepts a field that is given twice.

    Args:
        text: the JSON text.
        code: error code for the error.

    Raises:
        ProtocolError: with this code; the text is not a JSON object, has a field twice, or contains
            NaN, infinity or half a surrogate pair.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        words = dict(pairs)
        if len(words) != len(pairs):
            raise ValueError("a field is given twice")
        return words

    def refuse_constant(word: str) -> Any:
        raise ValueError(f"{word} is not a JSON number")

    try:
        text.encode()
        parsed: object = json.loads(text, object_pairs_hook=unique, parse_constant=refuse_constant)
        if "\\u" in text:
            json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ProtocolError(code, f"expected a JSON object, got {show(text)}: {error}") from None
    if not isinstance(parsed, dict):
        raise ProtocolError(code, f"expected a JSON object, got {show(parsed)}")
    return cast(dict[str, object], parsed)


def read_struct(kind: type[S], words: Mapping[str, object], code: str) -> S:
    """Returns a struct from a JSON object's fields. Unknown fields are ignored.

    Raises:
        ProtocolError: with this code; a field is missing or wrong.
    """
    try:
        return msgspec.convert(words, kind)
    except _UNFIT as error:
        check_fields(kind, words, code)
        raise ProtocolError(code, f"expected {kind.__name__}: {error}") from None


def check_fields(kind: type[msgspec.Struct], words: Mapping[str, object], code: str) -> None:
    """Check values for the fields of a struct, by their names on the wire.

    Raises:
        ProtocolError: with this code, for the first field that is missing or wrong.
    """
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        if name not in words and not field.required:
            continue
        value = words.get(name)
        if name in words and _is(value, field.type):
            continue
        expected = _expected(field.type)
        but = ";" if "," in expected else ","
        raise ProtocolError(code, f"{name}: expected {expected}{but} got {show(value)}")


def _is(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except _UNFIT:
        return False
    return True


def _expected(kind: Any) -> str:
    """Returns a field's type in words: its description, or its choices."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    described = [meta.description for meta in getattr(kind, "__metadata__", ())]
    return described[0] if described else _expected(get_args(kind)[0])  # without "or None"
