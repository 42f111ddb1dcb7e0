"""The command-line options that `demo` and `listen` share."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from ..errors import ConfigError
from ..live_embedding import LiveEmbedding
from ..saved_embedding import bundled_plane


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """Add `--seconds`, `--plain` and `--embedding`; `embedding_from` reads the last one."""
    parser.add_argument(
        "--seconds",
        type=_seconds,
        help="end after this many seconds of audio (default: no limit)",
    )
    parser.add_argument(
        "--plain", action="store_true", help="print one line per event instead of the live view"
    )
    parser.add_argument(
        "--embedding",
        nargs="?",
        type=Path,
        const=bundled_plane(),
        metavar="FILE.json",
        help="also show the latent states in a plane; FILE.json is an embedding "
        "from `turnstream latents project` (without FILE.json: the bundled one)",
    )


def embedding_from(args: argparse.Namespace) -> LiveEmbedding | None:
    """Return the embedding that `--embedding` asks for; None without the option.

    Raises:
        ConfigError: the embedding cannot transform new states, or `--plain` leaves no view for it.
    """
    if args.embedding is None:
        return None
    if args.plain:
        raise ConfigError(
            "expected --embedding without --plain, got both: lines show no plane; "
            "`turnstream predict --latents` writes latents into a file"
        )
    return LiveEmbedding.load(args.embedding)


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {word!r}")
    return seconds
