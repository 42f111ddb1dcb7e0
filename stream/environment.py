"""Options of a command that can also come from environment variables.

A command calls `offer_variables` after it has added its options. Its `--port` can then come from
TURNSTREAM_PORT; what stands on the command line counts more. `parse_arguments` reads them. An empty
variable counts as not given, because `${NAME:-}` in a compose file makes one.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import ConfigError

PREFIX = "TURNSTREAM_"
_SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def offer_variables(parser: argparse.ArgumentParser) -> None:
    """Let every option of a parser come from a variable, too, and name it in the help.

    `--max-load` comes from TURNSTREAM_MAX_LOAD. An option without a value comes from `true` or
    `false`, and one that can be repeated from a list with commas.
    """
    for action in _actions(parser):
        names = [name for name in action.option_strings if name.startswith("--")]
        if names and action.dest != "help":
            variable = PREFIX + names[0].removeprefix("--").replace("-", "_").upper()
            action.variable = variable  # pyright: ignore[reportAttributeAccessIssue]
            action.help = f"{action.help} [{variable}]"
    parser.epilog = (
        "Each option can come from the environment variable in brackets; one that is given here "
        "counts more. true and false stand for an option without a value, commas separate the "
        "values of one that can be repeated, and an empty variable counts as not given."
    )


def variables(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the options that can come from the environment, by the name of their variable."""
    return {
        variable: action
        for action in _actions(parser)
        if (variable := getattr(action, "variable", None)) is not None
    }


def unknown_variables(
    parser: argparse.ArgumentParser, environment: Mapping[str, str] = os.environ
) -> list[str]:
    """Return the given variables that are named like those of options, but are none, sorted."""
    known = variables(parser)
    return sorted(
        name
        for name, word in environment.items()
        if word and name.startswith(PREFIX) and name not in known
    )


def parse_arguments(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str],
    environment: Mapping[str, str] = os.environ,
) -> argparse.Namespace:
    """Parse the arguments; options that are not among them come from the environment.

    Raises:
        ConfigError: a variable that is used has a bad value; the error names the variable.
    """
    given = {
        action.dest: (variable, word)
        for variable, action in variables(parser).items()
        if (word := environment.get(variable))
    }
    # None: argparse takes no default then, and a repeated option begins with an empty list.
    args = parser.parse_args(arguments, argparse.Namespace(**dict.fromkeys(given)))
    for action in _actions(parser):
        if action.dest in given and getattr(args, action.dest) is None:
            variable, word = given[action.dest]
            try:
                setattr(args, action.dest, _value(action, word))
            except (argparse.ArgumentTypeError, ValueError) as error:
                raise ConfigError(f"{variable}: {error}") from None
    return args


def _value(action: argparse.Action, word: str) -> object:
    """Return what argparse would make of the word.

    Raises:
        ArgumentTypeError, ValueError: as the option's own type does.
    """
    if action.nargs == 0:  # a switch, or --this and --no-this
        if word.lower() not in _SWITCH:
            raise ValueError(f"expected true or false, got {word!r}")
        return _SWITCH[word.lower()]
    if action.choices is not None and word not in action.choices:
        raise ValueError(f"expected one of {', '.join(action.choices)}; got {word!r}")
    convert: Any = action.type or str
    if isinstance(action.default, list):
        return [convert(one.strip()) for one in word.split(",") if one.strip()]
    return convert(word)


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # pyright: ignore[reportPrivateUsage]  # argparse has no public list
