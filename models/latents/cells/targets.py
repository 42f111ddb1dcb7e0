"""What a unit might track, as a value for every frame and speaker: whether something is so, or how
long something has lasted.

A value is seen from one speaker, "own", and NaN where the question does not arise. Short reactions
(backchannels) take no turn: neither one's own nor the other's begins or ends a turn here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...dialogues.events import floor_around
from ..collection import Columns, Event

# Of a collection, from which the values follow.
COLUMNS = ("speaking", "other_speaking", "holder", "event", "p_next")
SOON_S = 0.5  # ahead of a backchannel
EARLY_S = 1.0  # of a mutual silence; long ones would outweigh all others
COMING_S = (0.5, 1.0)  # ahead of an end of speech or of a turn

Flags = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Target:
    """What is told apart from what, or which amount is measured (graded), and in which frames.

    The score of a unit is an AUC, or Spearman's rank correlation; its strength runs from -1 to 1.
    """

    name: str
    graded: bool
    words: str

    @property
    def score_name(self) -> str:
        return "rank correlation" if self.graded else "AUC"

    def strength(self, scores: Floats) -> Floats:
        return scores if self.graded else 2 * scores - 1

    def score(self, strength: float) -> float:
        return strength if self.graded else 0.5 + strength / 2

    def in_words(self, strength: float) -> str:
        return f"{self.score_name} {self.score(strength):.2f}"


def _ending(ahead_s: float) -> list[Target]:
    stops = f"this speaker stops within {ahead_s:g} s"
    next_one = "the other is the next to speak, against speaking on or pausing only"
    alone = "while only this one speaks"
    turn, speech = f"{stops} and {next_one}, {alone}", f"{stops}, against speaking on, {alone}"
    return [
        Target(f"end of turn within {ahead_s:g} s", False, turn),
        Target(f"end of speech within {ahead_s:g} s", False, speech),
    ]


SHIFT = (
    f"the other speaks next, against this one again, in the first {EARLY_S:g} s of a mutual "
    "silence after this one's speech"
)
REACTION = (
    "a short reaction of this speaker's, against other speech of the same, while this one speaks"
)
SOON = f"this speaker will give one within {SOON_S:g} s, against not, while only the other speaks"
HOLDER = (
    "the network's own probability that this speaker is the next to hold the floor, in all frames"
)
SINCE_ANY = "seconds of mutual silence so far, while nobody speaks"
TURN = "seconds since this speaker took the turn, while speaking in it"
TARGETS = (
    Target("own speech", False, "this speaker speaks, against silent, in all frames"),
    Target("other's speech", False, "the other speaks, against silent, in all frames"),
    Target("overlap", False, "both speak, against only one, while somebody speaks"),
    Target("time since own speech", True, "seconds since this speaker last spoke, while silent"),
    Target("time since any speech", True, SINCE_ANY),
    Target("time into own turn", True, TURN),
    *(target for ahead_s in COMING_S for target in _ending(ahead_s)),
    Target("shift, not hold", False, SHIFT),
    Target("own backchannel", False, REACTION),
    Target(f"own backchannel within {SOON_S:g} s", False, SOON),
    Target("p_next", True, HOLDER),
)


def find_targets(frames: Columns, backchannels: Sequence[Event], frame_rate_hz: float) -> Floats:
    """Return the value of every target in every frame of a dialogue, in the order of TARGETS.

    Args:
        frames: COLUMNS of one dialogue, (T, 2) each.
        backchannels, frame_rate_hz: its events of that kind, and of the frames.
    Returns:
        (K, T, 2): 0 or 1, or an amount; NaN where the question does not arise or the dialogue ends
        before it is answered.
    """
    own, other = frames["speaking"].astype(bool), frames["other_speaking"].astype(bool)
    reacting, places = np.zeros_like(own), np.arange(len(own))[:, None]
    for event in backchannels:
        first, last = (round(s * frame_rate_hz) for s in (event.start_s, event.end_s))
        reacting[first:last, event.speaker] = True
    turns = own & ~reacting
    spoke_last, speaks_next = floor_around(turns.T)  # (T,) each
    taken, following = (values[:, None] == [0, 1] for values in (spoke_last, speaks_next))
    early = (frames["event"] != "") & (since(own | other) <= EARLY_S * frame_rate_hz)
    # Frames in which a stretch of speech lasts, this one included; NaN: to the dialogue's end.
    left = until(~turns)
    last = np.where(np.isnan(left), len(own), places + left).astype(np.int64) - 1
    other_next = np.take_along_axis(following[:, ::-1], last, axis=0)
    anyone_next = (speaks_next >= 0)[last]
    silent, reaction_in = ~(own | other), until(reacting)
    found: dict[str, Floats] = {
        "own speech": asked(own),
        "other's speech": asked(other),
        "overlap": asked(own & other, ~silent),
        "time since own speech": asked(since(own) / frame_rate_hz, ~own),
        "time since any speech": asked(since(own | other) / frame_rate_hz, silent),
        "time into own turn": asked((since(~taken) - 1) / frame_rate_hz, taken & turns),
        "shift, not hold": asked(frames["event"] == "shift", early & (frames["holder"] == [0, 1])),
        "own backchannel": asked(reacting, own),
        TARGETS[-2].name: asked(reaction_in <= SOON_S * frame_rate_hz, ~own & other),
        "p_next": asked(frames["p_next"]),
    }
    for ahead_s in COMING_S:
        ends = left <= ahead_s * frame_rate_hz  # False of NaN
        settled = turns & ~other & (ends | (len(own) - places > ahead_s * frame_rate_hz))
        turn, speech = _ending(ahead_s)
        found[speech.name] = asked(ends, settled)
        found[turn.name] = asked(ends & other_next, settled & (~ends | anyone_next))
    return np.stack([found[target.name] for target in TARGETS])


def asked(values: NDArray[np.generic], where: Flags | None = None) -> Floats:
    """Return values as numbers, NaN where the question does not arise."""
    numbers = values.astype(np.float32)
    return numbers if where is None else np.where(where, numbers, np.float32(np.nan))


def since(flags: Flags) -> NDArray[np.float64]:
    """Return frames since a flag was last True, 0 where it is; NaN before the first, (T, ...)."""
    at = np.arange(len(flags)).reshape(-1, *[1] * (flags.ndim - 1))
    last = np.maximum.accumulate(np.where(flags, at, -1), axis=0)
    return np.where(last < 0, np.nan, at - last)


def until(flags: Flags) -> NDArray[np.float64]:
    """Return frames until a flag is next True, 0 where it is; NaN after the last, (T, ...)."""
    return since(flags[::-1])[::-1]


def stretches(flags: Flags) -> int:
    """Return how many runs of True there are over time, in all columns of (T, S) together."""
    return int((flags & ~np.concatenate([np.zeros_like(flags[:1]), flags[:-1]])).sum())
