"""How good the network is that a view looks into: without that, what the view shows misleads.

The measure is the AUC of p_shift, 0.25 s into the silence, within dialogue and speaker
(evaluation/shift_hold.py). A network at chance has latents, paths and gradients too, and most of
them look like something.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..evaluation.measures import (
    Estimate,
    Floats,
    auc,
    auc_within_statistic,
    consecutive,
    estimate,
)
from ..evaluation.shift_hold import SCORE_S, count_earlier
from .collection import Collection

Flags, Numbers = NDArray[np.bool_], NDArray[np.int64]
UNKNOWN = (
    "How good the network is was not measured: p(shift) is not known in shifts and holds of the "
    "same speaker."
)


@dataclass(frozen=True)
class Quality:
    """How well shifts and holds are told apart."""

    network: Estimate  # AUC within dialogue and speaker, with its interval over dialogues
    counting: float  # the same of a baseline that hears nothing (`count_earlier`)
    counting_pooled: float  # AUC of that baseline over all dialogues and speakers

    @property
    def above_chance(self) -> bool | None:
        """Whether the whole interval lies above 0.5; None where there is no interval."""
        return None if math.isnan(self.network.low) else self.network.low > 0.5

    def in_words(self) -> str:
        """Return what was measured, to stand under a view."""
        if math.isnan(self.network.value):
            return UNKNOWN
        chance = {
            True: "",
            False: " That is not above chance: nothing here shows how turns are taken.",
            None: " One dialogue has no interval, so it cannot be told from chance.",
        }[self.above_chance]
        return (
            f"How good the network is: AUC {ranged(self.network)} of shift against hold, "
            f"{SCORE_S:g} s into the silence, within dialogue and speaker; counting this "
            f"speaker's earlier shifts, without sound, gives {self.counting:.2f} "
            f"({self.counting_pooled:.2f} if dialogues and speakers are pooled).{chance}"
        )


def auc_within(scores: Floats, positive: Flags, dialogue: Numbers, speaker: Numbers) -> Estimate:
    """Return the AUC of N events within dialogue and speaker, with its interval over dialogues."""
    numbers, dialogues = consecutive(dialogue)
    return estimate(auc_within_statistic(scores, positive, speaker, numbers, dialogues), dialogues)


def measure_quality(scores: Floats, shift: Flags, dialogue: Numbers, speaker: Numbers) -> Quality:
    """Return the quality of scores, (E,), beside counting; silences are in order of time."""
    counted = count_earlier(shift, dialogue, speaker)
    return Quality(
        auc_within(scores, shift, dialogue, speaker),
        auc_within(counted, shift, dialogue, speaker).value,
        auc(counted, shift),
    )


def quality_of(collection: Collection) -> Quality:
    """Return the quality of a collection's network, as it was collected."""
    events = [event for event in collection.events("shift", "hold") if event.p_shift is not None]
    return measure_quality(
        np.array([event.p_shift for event in events], float),
        np.array([event.kind == "shift" for event in events], bool),
        np.array([event.number for event in events], np.int64),
        np.array([event.speaker for event in events], np.int64),
    )


def counted_log_odds(shift: Flags, dialogue: Numbers, speaker: Numbers) -> Floats:
    """Return the log-odds of a shift that counting gives (`count_earlier`), (E,)."""
    share = count_earlier(shift, dialogue, speaker)
    return np.log(share / (1 - share))


def ranged(found: Estimate, form: str = ".2f") -> str:
    """Return a value with its interval, if it has one; "unknown" for NaN."""
    if math.isnan(found.value):
        return "unknown"
    interval = "" if math.isnan(found.low) else f" ({found.low:{form}} to {found.high:{form}})"
    return f"{found.value:{form}}{interval}"
