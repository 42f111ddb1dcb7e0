"""Reads Praat's TextGrid files, long and short text form.

Both forms hold the same values in the same order. As in Praat, only quoted strings, stand-alone
numbers and <flags> are values. All other text ("xmin =", "intervals [2]:") is for human readers,
and the short form omits it.
Source: Praat manual, "TextGrid file formats".
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...stream.errors import DialogueError

Interval = tuple[float, float, str]  # start and end in seconds, and text

_VALUE = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)')
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Tier:
    """An interval tier.

    Attributes:
        name: "" where the file gives none.
        intervals: the intervals with text, in order.
    """

    name: str
    intervals: list[Interval]


def read_textgrid(path: Path) -> list[Interval]:
    """Every interval with text, tier after tier.

    Raises:
        DialogueError: the file is not a TextGrid in text form, or is cut short.
    """
    return [interval for tier in read_tiers(path) for interval in tier.intervals]


def read_tiers(path: Path) -> list[Tier]:
    """All interval tiers. Point tiers are skipped.

    Raises:
        DialogueError: the file is not a TextGrid in text form, or is cut short.
    """
    text = _decoded(path)
    values = iter(
        [
            float(number) if number else said.replace('""', '"')
            for said, number in _VALUE.findall(text)
        ]
    )
    if not (
        text.lstrip().startswith(("File type", '"ooTextFile'))
        and "TextGrid" in (next(values, ""), next(values, ""))
    ):
        raise DialogueError(f"{path}: expected a TextGrid in text form, got {text[:40]!r}")
    tiers: list[Tier] = []
    expected = "tiers"
    try:
        # Start, end and number of tiers. _VALUE does not match the flag before the number.
        _, _, count = [_number(next(values)) for _ in range(3)]
        for number in range(1, int(count) + 1):
            expected = f"name and every entry of tier {number}"
            kind = _string(next(values))
            if kind not in ("IntervalTier", "TextTier"):
                raise ValueError(f"expected IntervalTier or TextTier, got {kind!r}")
            name, entries = _tier_head(values)
            if kind == "IntervalTier":
                tiers.append(Tier(name, _intervals(values, entries)))
            else:
                _skip_points(values, entries)
    except (StopIteration, ValueError) as error:
        got = str(error) or "a file that is cut short"
        raise DialogueError(f"{path}: expected {expected}, got: {got}") from None
    return tiers


def _decoded(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DialogueError(f"{path}: expected a TextGrid, got: {error.strerror}") from None
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if raw.startswith(mark)), "utf-8")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # older versions of Praat wrote Latin-1


def _intervals(values: Iterator[str | float], count: int) -> list[Interval]:
    found = [
        (_number(next(values)), _number(next(values)), _string(next(values)).strip())
        for _ in range(count)
    ]
    return [interval for interval in found if interval[2]]


def _skip_points(values: Iterator[str | float], count: int) -> None:
    for _ in range(count):
        _number(next(values))
        _string(next(values))


def _tier_head(values: Iterator[str | float]) -> tuple[str, int]:
    """Name and number of entries of a tier; its start and end, between them, are skipped."""
    name = _string(next(values))
    _, _, count = [_number(next(values)) for _ in range(3)]
    return name, int(count)


def _number(value: str | float) -> float:
    if not isinstance(value, float):
        raise ValueError(f"expected a number, got {value!r}")
    return value


def _string(value: str | float) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {value!r}")
    return value
