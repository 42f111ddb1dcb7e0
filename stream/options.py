"""Options that several commands share, so that they have one name and one meaning."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Protocol

from .policy import PRESETS


class _Options(Protocol):
    """A parser, or a group of its options."""

    def add_argument(self, name: str, /, **settings: Any) -> object: ...


def add_model_option(options: _Options) -> None:
    """Add `--model`, which names the network."""
    options.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="ONNX model file, or int8 for the bundled model in int8 (default: the bundled model)",
    )


def add_policy_option(parser: argparse.ArgumentParser) -> None:
    """Add `--policy`, the preset that turns predictions into events."""
    parser.add_argument(
        "--policy",
        choices=tuple(PRESETS),
        default="balanced",
        help="preset of the policy that decides the events (default balanced)",
    )


def add_pause_model_option(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Add `--pause-model` and `--no-pause-model`; None if neither is given.

    Args:
        parser: of the command.
        more: what else the help says.
    """
    parser.add_argument(
        "--pause-model",
        action=argparse.BooleanOptionalAction,
        help="let a large speech model hear each pause once, which tells a thinking pause from the "
        "end of a turn more reliably, for 0.1 s of processor time (default: on with the bundled "
        f"model{more})",
    )
