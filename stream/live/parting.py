"""Shared code of the live commands `demo` and `listen`.

It holds two options, a level meter, the detection of a silent microphone, and the summary.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from ..errors import ConfigError
from ..live_embedding import LiveEmbedding
from ..prediction import Pair
from ..saved_embedding import bundled_plane
from ..sources import Block
from .terminal_words import Tally

_SERVE = ("serve", "a server for your own program")
_PREDICT = ("predict FILE --out out.csv", "a recording, frame by frame")
_NEXT = {
    "demo": (("listen", "your microphone, without a server"), _SERVE, _PREDICT),
    "listen": (("demo --sample", "a conversation, over a websocket"), _SERVE, _PREDICT),
}
_SILENCE_DBFS = -120.0
# A microphone that is on records the noise of the room, which is louder. Only some headsets have a
# noise gate that gives zeros.
_MUTED_DBFS, _MUTED_S = -80.0, 3.0


def seconds_word(word: str) -> float:
    """Parse a number of seconds from the command line.

    Raises:
        argparse.ArgumentTypeError: the text is no finite number above 0.
    """
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {word!r}")
    return seconds


def add_embedding_option(parser: argparse.ArgumentParser) -> None:
    """Add the option `--embedding`, which `projection_from` reads."""
    parser.add_argument(
        "--embedding",
        nargs="?",
        type=Path,
        const=bundled_plane(),
        metavar="FILE.json",
        help="also show the latent states in a plane, by an embedding "
        "from `turnstream latents project` (without FILE.json: the bundled one)",
    )


def projection_from(args: argparse.Namespace) -> LiveEmbedding | None:
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


def levels_dbfs(block: Block) -> Pair:
    """Return the power of both channels of a block, in dB relative to full scale.

    Args:
        block: samples, (N, 1) or (N, 2).
    Returns:
        The levels of user and other speaker; -120 for silence and for a missing channel.
    """
    powers = np.square(block, dtype=np.float64).sum(axis=0) / max(1, len(block))
    user, other = (
        *(max(_SILENCE_DBFS, 10 * math.log10(power + 1e-30)) for power in powers.tolist()),
        _SILENCE_DBFS,
    )[:2]
    return user, other


class SilenceWatch:
    """Detects that a microphone gives no sound, not even the noise of a room, and the end of it."""

    def __init__(self) -> None:
        self._silent_s = 0.0

    def push(self, level_dbfs: float, seconds: float) -> bool | None:
        """Add the level of the next block.

        Returns:
            True if the silence has just become too long, False if a too long silence has just
            ended, or else None.
        """
        before_s = self._silent_s
        self._silent_s = before_s + seconds if level_dbfs < _MUTED_DBFS else 0.0
        if before_s < _MUTED_S <= self._silent_s:
            return True
        return False if self._silent_s == 0 and before_s >= _MUTED_S else None

    def reset(self) -> None:
        """Forget the silence so far."""
        self._silent_s = 0.0


def farewell(command: str, tally: Tally) -> str:
    """Return the text that a live command prints at its end: a summary and other commands to try.

    Args:
        command: "demo" or "listen".
        tally: counts of what was shown.
    """
    lines = [tally.summary()]
    if tally.latency_words:
        lines.append(
            f"Delay from a frame's last sample to its prediction: {tally.latency_words} (median)"
        )
    lines += [
        "",
        "Next:",
        *(f"  turnstream {suggestion:<30}{what}" for suggestion, what in _NEXT[command]),
    ]
    return "\n".join(lines)
