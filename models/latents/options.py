"""Options of the commands, each in a line or two: name, help and default say the rest."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


def option(
    parser: argparse.ArgumentParser,
    name: str,
    words: str,
    default: Any = None,
    kind: Callable[[str], Any] | None = None,
    **more: Any,
) -> None:
    """Add an option.

    Args:
        parser: to add it to.
        name: flag and metavar, such as "--seed N"; without a metavar it needs `choices`.
        words: its help, which ends with the default unless it speaks of one.
        default: None where there is none.
        kind: of the value; None takes that of the default, or text.
        more: for `add_argument`.
    """
    flag, _, metavar = name.partition(" ")
    if kind is None and default is not None and not isinstance(default, list):
        kind = type(default)
    if default is not None and "(default" not in words:
        words += f" (default {f'{default:g}' if isinstance(default, float) else default})"
    if metavar:
        more["metavar"] = metavar
    more |= {"help": words, "default": default, "type": kind}
    parser.add_argument(flag, **more)
