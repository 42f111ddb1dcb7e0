"""Scripts with which a shell completes a command line, made by shtab from the parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SHELLS = ("bash", "zsh", "fish")


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script that completes commands, options, choices and file names.

    Args:
        parser: parser of the whole command line, which gets changed.
        shell: one of SHELLS.
    """
    import shtab

    _prepare(parser, shtab.FILE)
    return shtab.complete(parser, shell)


def _prepare(parser: argparse.ArgumentParser, file: Mapping[str, object]) -> None:
    """Mark each argument that may be a file name: a text without choices."""
    actions: Iterable[argparse.Action] = parser._actions  # pyright: ignore[reportPrivateUsage]
    for action in actions:
        choices: Any = action.choices
        if action.nargs == argparse.PARSER:
            for command in choices.values():
                _prepare(command, file)
        elif choices is not None:
            action.choices = list(choices)  # to shtab, a mapping means subcommands
        elif (suggestions := getattr(action, "suggestions", None)) is not None:
            action.choices = suggestions
        elif action.nargs != 0 and action.type in (None, Path):
            action.complete = file  # pyright: ignore[reportAttributeAccessIssue]
