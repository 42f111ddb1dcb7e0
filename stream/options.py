"""Options that several commands share, so that they have one name and one meaning."""

from __future__ import annotations

import argparse

from .policy import PRESETS


def add_policy_option(parser: argparse.ArgumentParser) -> None:
    """Add `--policy`, the preset that turns predictions into events."""
    parser.add_argument(
        "--policy",
        choices=tuple(PRESETS),
        default="balanced",
        help="preset of the policy that decides the events (default balanced)",
    )
