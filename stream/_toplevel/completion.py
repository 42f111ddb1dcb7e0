"""Scripts with which a shell completes a command line, made by shtab from the parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

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


def _prepare(parser: argparse.ArgumentParser, file: dict[str, str]) -> None:
    """Mark each argument that may be a file name: a text without choices."""
    actions: Iterable[argparse.Action] = parser._actions  # pyright: ignore[reportPrivateUsage]
    for action in actions:
        if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]
            for own in action.choices.values():
                _prepare(own, file)
        elif action.choices is not None:
            action.choices = list(action.choices)  # to shtab, a mapping means subcommands
        elif action.nargs != 0 and action.type in (None, Path):
            action.complete = file  # pyright: ignore[reportAttributeAccessIssue]
