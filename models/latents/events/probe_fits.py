"""Linear probes: what a straight cut through a layer's states tells of a moment's class, in
dialogues that the cut has not seen; in a single one, in blocks of time, with a gap around them.

A probe is scikit-learn's LogisticRegression on standardised states, in which both classes of a
dialogue and speaker weigh alike, and are compared. Its strength of regularisation is not tuned but
follows from the states' width H: C = 1 / H, which is to expect log-odds of about 1 in size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...evaluation.measures import Estimate, consecutive
from ..bars import bar
from ..collection import Collection
from ..memory.held_out import fit_linear
from ..memory.readings import log_mel, sound_at
from ..quality import auc_within
from .contrasts import Cases

if TYPE_CHECKING:
    from ...turn_model import TurnModel

LEAST = 10  # of each class, for a figure
MOST_LEFT_OUT = 10  # dialogues are held out one by one, or, where there are more, in FOLDS parts
FOLDS = 5
GAP_S = 5.0  # between a block of a single dialogue and what its probe is fitted on
SOUND = "sound"  # the log-mel spectrum of the newest frame
SAID = ("vad", "p_next", "p_backchannel")

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Vectors = NDArray[np.float32]
Fold = tuple[Numbers, Numbers]  # places to fit on, places to score


@dataclass(frozen=True)
class Reach:
    """The newest frame that is heard, `steps`, (N, K), at times from each time 0, ascending, (K,);
    is it within the dialogue, and not after the end of the event, `there`, (N, K)?
    """

    times_s: Floats
    steps: Numbers
    there: NDArray[np.bool_]


@dataclass(frozen=True)
class States:
    """What a network holds in mind at N x K moments, of both speakers: (N, K, 2, H) by layer, and
    (N, K, 2) of what it says.
    """

    values: Mapping[str, Vectors]

    def of(
        self, layer: str, rows: Numbers, time: int, speaker: Numbers, *, both: bool = False
    ) -> Vectors:
        """A speaker's own states, (n, H), or with those of the other speaker behind, (n, 2 H)."""
        values = self.values[layer]
        whose = (speaker, 1 - speaker) if both else (speaker,)
        return np.concatenate([values[rows, time, who] for who in whose], axis=1)


def reach_of(cases: Cases, times_s: Sequence[float], collection: Collection) -> Reach:
    """Return the newest frames at times around the cases' starts."""
    times, numbers = np.asarray(times_s, np.float64), range(len(collection.dialogues))
    lengths = np.array([collection.frame_count(number) for number in numbers])
    frames = (cases.start_s[:, None] + times) * collection.frame_rate_hz
    steps = np.floor(frames + 1e-6).astype(np.int64) - 1
    within = (steps >= 0) & (steps < lengths[cases.number][:, None])
    return Reach(times, steps, cases.lasting(times) & within)


def read_states(
    collection: Collection, number: Numbers, steps: Numbers, model: TurnModel | None = None
) -> States:
    """Read states dialogue by dialogue.

    Args:
        collection: of the dialogues.
        number: of the dialogue, (N,).
        steps: (N, K); the nearest is read where there is no such frame.
        model: the collection's network, for what it hears (SOUND); None leaves that out.
    Raises:
        ConfigError: the sound is asked for, and the collection has none.
        DialogueError: it cannot be read any more.
    """
    names = [*collection.about.sizes, *SAID]
    found: dict[str, Vectors] = {}
    for one in bar(np.unique(number), "read", "dialogue"):
        rows = np.flatnonzero(number == one)
        columns: dict[str, NDArray[Any]] = collection.frames(int(one), names)
        if model is not None:
            config = model.config
            sound = sound_at(collection, int(one), config.features.sample_rate_hz)
            stride = config.frame_samples // config.features.hop_samples
            columns[SOUND] = log_mel(model, sound).transpose(0, 1).numpy()[stride - 1 :: stride]
        for name, values in columns.items():
            if name not in found:
                found[name] = np.empty((*steps.shape, *values.shape[1:]), np.float32)
            found[name][rows] = values[np.clip(steps[rows], 0, len(values) - 1)]
    return States(found)


def folds_of(cases: Cases) -> tuple[list[Fold], Numbers]:
    """Return which cases are scored by probes fitted on which, and the units, (N,), that are held
    out whole and drawn in the bootstrap: dialogues, or blocks of a single one.
    """
    from sklearn.model_selection import GroupKFold

    numbers, dialogues = consecutive(cases.number)
    if dialogues > 1:
        parts = dialogues if dialogues <= MOST_LEFT_OUT else FOLDS
        return list(GroupKFold(parts).split(numbers, groups=numbers)), numbers
    start_s = cases.start_s
    _, moments = np.unique(start_s, return_inverse=True)
    block = moments * FOLDS // (moments.max() + 1)
    folds: list[Fold] = []
    for one in np.unique(block):
        held = block == one
        low, high = start_s[held].min() - GAP_S, start_s[held].max() + GAP_S
        folds.append((np.flatnonzero((start_s < low) | (start_s > high)), np.flatnonzero(held)))
    return folds, block


def held_out_scores(states: Vectors, cases: Cases, folds: Sequence[Fold]) -> Floats:
    """Return log-odds of the first class, (N,), from states, (N, H), each from a probe that has not
    seen its fold; NaN where the rest has fewer than two of a class that count.
    """
    scores, first = np.full(len(states), np.nan), cases.first
    for fit, score in folds:
        weights = matched_weights(first[fit], cases.strata[fit])
        count = min((weights[first[fit]] > 0).sum(), (weights[~first[fit]] > 0).sum())
        if len(score) and count >= 2:
            probe = fit_linear(states[fit], first[fit], 1 / states.shape[1], weights=weights)
            scores[score] = probe.log_odds(states[score])
    return scores


def matched_weights(first: NDArray[np.bool_], strata: Numbers) -> Floats:
    """Return how much each case counts, (N,), 1 on average: the other class' share of its stratum.

    Both classes then weigh alike in each dialogue and speaker. Who speaks in a state says nothing
    of its class, and a probe does not take the one for the other.
    """
    numbers, different = consecutive(strata)
    counts = np.bincount(numbers, minlength=different)
    share = (np.bincount(numbers, first, different) / np.maximum(counts, 1))[numbers]
    weights = np.where(first, 1 - share, share)
    return weights / weights.mean() if weights.any() else weights


def auc_of(scores: Floats, cases: Cases, units: Numbers) -> Estimate:
    """Return the AUC within unit (of `folds_of`) and speaker of scores, (N,), with its interval
    over units; cases whose score is NaN are left out.

    NaN where fewer than LEAST of a class were scored of which the speaker has both.
    """
    known = ~np.isnan(scores)
    cases, units = cases.only(known), units[known]
    compared = matched_weights(cases.first, 2 * units + cases.speaker) > 0
    if min(cases.only(compared).counts()) < LEAST:
        return Estimate(float("nan"), float("nan"), float("nan"))
    return auc_within(scores[known], cases.first, units, cases.speaker)


def some_of(folds: Sequence[Fold], kept: NDArray[np.bool_]) -> list[Fold]:
    """Return the same folds of fewer cases: places are then among those kept."""
    place = np.cumsum(kept) - 1
    return [(place[fit[kept[fit]]], place[score[kept[score]]]) for fit, score in folds]
