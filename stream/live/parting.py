"""What the live commands, `demo` and `listen`, share: two options, a level meter, a watch for silence, the last words."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from ..errors import ConfigError
from ..live_embedding import LiveProjection
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
_MUTED_DBFS, _MUTED_S = (
    -80.0,
    3.0,
)  # a room heard by a microphone that is on is louder; only some headsets gate themselves down to zeros


def seconds_word(word: str) -> float:
    """Read a number of seconds from the command line.

    Raises:
        argparse.ArgumentTypeError: no finite number above 0.
    """
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {word!r}")
    return seconds


def add_latents_option(parser: argparse.ArgumentParser) -> None:
    """The option whose value `projection_from` reads."""
    parser.add_argument(
        "--latents",
        nargs="?",
        type=Path,
        const=bundled_plane(),
        metavar="FILE.json",
        help="show the plane of the model's latent states, too: the bundled model's, or one that `turnstream latents project` wrote",
    )


def projection_from(args: argparse.Namespace) -> LiveProjection | None:
    """The projection that was asked for.

    Raises:
        ConfigError: it cannot follow a live conversation, or there will be no picture to show it in.
    """
    if args.latents is None:
        return None
    if args.plain:
        raise ConfigError(
            "expected --latents without --plain, got both: lines show no plane; `turnstream predict --latents` writes latents into a file"
        )
    return LiveProjection.load(args.latents)


def levels_dbfs(block: Block) -> Pair:
    """Power of both channels of a block, (N, 1) or (N, 2), in dB against full scale; -120 for silence and for a missing channel."""
    powers = np.square(block, dtype=np.float64).sum(axis=0) / max(1, len(block))
    user, other = (
        *(max(_SILENCE_DBFS, 10 * math.log10(power + 1e-30)) for power in powers.tolist()),
        _SILENCE_DBFS,
    )[:2]
    return user, other


class SilenceWatch:
    """Notices that a microphone gives nothing, not even the noise of a room, and that it gives something again."""

    def __init__(self) -> None:
        self._silent_s = 0.0

    def push(self, level_dbfs: float, seconds: float) -> bool | None:
        """Take in the level of the next block; True when it has just become silent for too long, False when it has just ended, else None."""
        before_s = self._silent_s
        self._silent_s = before_s + seconds if level_dbfs < _MUTED_DBFS else 0.0
        if before_s < _MUTED_S <= self._silent_s:
            return True
        return False if self._silent_s == 0 and before_s >= _MUTED_S else None

    def reset(self) -> None:
        """Begin to watch anew."""
        self._silent_s = 0.0


def farewell(command: str, tally: Tally) -> str:
    """What a live command says at its end.

    Args:
        command: "demo" or "listen".
        tally: what was shown.
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
