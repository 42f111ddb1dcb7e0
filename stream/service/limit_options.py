"""Command-line options for the fields of `Limits`. Their help texts come from its docstring."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import math
import re
from dataclasses import fields

from .limits import Limits

_UNITS = {
    "_bytes": "BYTES",
    "_s": "SECONDS",
    "_messages": "MESSAGES",
    "max_sessions": "SESSIONS",
    "max_batch": "FRAMES",
    "max_load": "SHARE",
}


def add_limit_options(parser: argparse.ArgumentParser) -> None:
    """Add one option per limit (`--max-sessions` and so on), in a group of their own."""
    group = parser.add_argument_group("limits (of each worker)")
    meanings, defaults = described(), Limits()
    for bound in fields(Limits):
        default = getattr(defaults, bound.name)
        unit = next((word for end, word in _UNITS.items() if bound.name.endswith(end)), "N")
        text = f"{meanings.get(bound.name, '')} (default {default})".strip().replace("%", "%%")
        group.add_argument(
            f"--{bound.name.replace('_', '-')}",
            type=_whole if isinstance(default, int) else _finite,
            default=default,
            metavar=unit,
            help=text,
        )


def _whole(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {word!r}") from None


def _finite(word: str) -> float:
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(word)):
            return number
    raise argparse.ArgumentTypeError(f"expected a number, got {word!r}")


def limits_from(args: argparse.Namespace) -> Limits:
    """Return the limits given by the options.

    Raises:
        ConfigError: a bound is out of range.
    """
    return Limits(**{bound.name: getattr(args, bound.name) for bound in fields(Limits)})


def described() -> dict[str, str]:
    """Return the text of each attribute in the docstring of `Limits`, by the attribute's name.

    The dictionary is empty if Python has stripped the docstrings (python -OO).
    """
    attributes = (
        inspect.cleandoc(Limits.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    )
    entries = re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {5,}\S.*)*)", attributes, re.MULTILINE)
    return {
        name: " ".join(text.split()).rstrip(".")
        for names, text in entries
        for name in names.split(", ")
    }
