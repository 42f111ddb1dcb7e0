"""Options that views share, and what a view does with them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .collection import LAYERS
from .views import View, check_suffix

RESUMED = "picture to write; an interrupted run of the same FILE.png is resumed"
FILES = ("csv", "json", "npz")  # written beside a picture


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
        parser, more: to add it to, and more for its `add_argument`.
        name: flag and metavar, such as "--seed N"; without a metavar it needs `choices`.
        words: its help, which ends with the default unless it speaks of one.
        default: None where there is none.
        kind: of the value; None takes that of the default, or text.
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


def add_out(
    parser: argparse.ArgumentParser,
    default: str | None = None,
    what: str = "picture to write",
    metavar: str = "FILE.png",
    **files: str,
) -> None:
    """Add --out, needed unless it has a default, and options for FILES: what each also holds."""
    given = None if default is None else Path(default)
    option(parser, f"--out {metavar}", what, given, Path, required=given is None)
    for suffix, words in files.items():
        option(parser, f"--{suffix} FILE.{suffix}", f"also write {words}", kind=Path)


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add --seed."""
    option(parser, "--seed N", "seed of all random draws", 0)


def add_layer(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --layer."""
    words = f"{what}: latent_speaker, the first RNN, or latent, the last (default latent)"
    option(parser, "--layer", words, "latent", choices=LAYERS)


def add_embedding(parser: argparse.ArgumentParser) -> None:
    """Add --embedding."""
    without = "(default: the bundled plane, or principal components of SOURCE)"
    words = f"embedding from `turnstream latents project` {without}"
    option(parser, "--embedding FILE.json", words, kind=Path)


def add_stretch(parser: argparse.ArgumentParser, most: str) -> None:
    """Add --dialogue, --start and --end; without --end, at most so much is shown."""
    option(parser, "--dialogue ID", "dialogue of SOURCE to show (default: the first)")
    option(parser, "--start SECONDS", "time in the dialogue to begin at", 0.0)
    until = f"time in the dialogue to end at (default: its end, after at most {most})"
    option(parser, "--end SECONDS", until, kind=float)


def check_files(args: argparse.Namespace, *suffixes: str) -> None:
    """Refuse, before any work is done, files of `add_out` that could not be written."""
    check_suffix(args.out, *suffixes)
    for suffix in FILES:
        if (path := getattr(args, suffix, None)) is not None:
            check_suffix(path, f".{suffix}")


def shown(*views: View) -> int:
    """Print what views show and where they are; return the exit status."""
    for view in views:
        print(*(line.strip() for line in view.caption.splitlines()), view.path, sep="\n")
    return 0
