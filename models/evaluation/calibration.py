"""Measure the calibration of p_shift: expected calibration error and reliability bins.

p_shift is p_next of one speaker: the other speaker was the last to speak alone. It is compared
with who takes the floor next. All mutual silences count that have a speaker before and after
them, not only those that are clear enough to be a shift or hold by definition, because a deployed
system meets them all. Known backchannels neither hold nor take the floor. Silences that both
speakers end in the same frame are left out.

Source: Guo et al. 2017 (equal-width bins; the error is the mean distance between confidence and
frequency).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..dialogues.activity import FRAME_RATE_HZ, runs
from ..dialogues.events import NOBODY, floor_around
from .measures import Estimate, Floats, consecutive, estimate, sums_by_dialogue
from .predictions import EvaluatedDialogue, Setting, last_frame_at
from .shift_hold import SCORE_S

BINS = 15
DRAWS, SEED = 200, 0  # of outcomes that come true just as predicted


@dataclass(frozen=True)
class ReliabilityBin:
    """The predictions in [low, high); the last bin includes its upper edge.

    Attributes:
        low, high: edges.
        count: number of predictions.
        mean_p: mean predicted probability; NaN if the bin is empty.
        share: share of predictions that came true; NaN if the bin is empty.
    """

    low: float
    high: float
    count: int
    mean_p: float
    share: float


@dataclass(frozen=True)
class Calibration:
    """How well predicted probabilities agree with observed frequencies.

    With few predictions, chance alone makes the error and its interval too high.

    Attributes:
        count: number of predictions.
        error: expected calibration error, in [0, 1]; NaN without predictions.
        by_chance: the error to be expected of the same predictions if each silence became a shift
            with just the probability that was predicted; NaN without predictions.
        bins: the bins of a reliability diagram.
    """

    count: int
    error: Estimate
    by_chance: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class CalibrationReport:
    """Calibration of p_shift in mutual silences.

    Attributes:
        at_250_ms: 250 ms into each silence that lasts that long; one case per silence.
        silent_frames: every frame of mutual silence is a case.
    """

    at_250_ms: Calibration
    silent_frames: Calibration


def calibration(dialogues: Sequence[EvaluatedDialogue], setting: Setting) -> CalibrationReport:
    """Return the calibration of p_shift.

    In "mono" the model received only the channel of the speaker who was the last to speak alone.
    """
    cases = [_silent_frames(dialogue, setting) for dialogue in dialogues]
    dialogue = np.repeat(np.arange(len(cases)), [len(rows) for rows in cases])
    p_shift, shift, at_250_ms, start = np.concatenate([np.zeros((0, 4)), *cases]).T
    silence = np.unique(np.stack([dialogue, start]), axis=1, return_inverse=True)[1].ravel()
    once = at_250_ms > 0
    return CalibrationReport(
        calibrate(p_shift[once], shift[once] > 0, dialogue[once], silence[once]),
        calibrate(p_shift, shift > 0, dialogue, silence),
    )


def calibrate(
    p: Floats,
    happened: NDArray[np.bool_],
    dialogue: NDArray[np.int64],
    silence: NDArray[np.int64],
) -> Calibration:
    """Return the calibration of any probabilities.

    Args:
        p: predicted probabilities in [0, 1], (N,).
        happened: whether each prediction came true, (N,).
        dialogue: an integer for each case, (N,); cases of one dialogue share it.
        silence: an integer for each case, (N,); cases that come true together share it.
    """
    numbers, dialogues = consecutive(dialogue)
    bin_index = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    member = bin_index[:, None] == np.arange(BINS)
    count, predicted, true = (
        sums_by_dialogue(member * weight[:, None], numbers, dialogues)
        for weight in (np.ones_like(p), p, happened)
    )  # each (D, BINS)

    def statistic(counts: Floats) -> Floats:
        return np.abs(counts @ (predicted - true)).sum(axis=1) / (counts @ count).sum(axis=1)

    sums = zip(count.sum(axis=0), predicted.sum(axis=0), true.sum(axis=0), strict=True)
    bins = (
        ReliabilityBin(
            i / BINS,
            (i + 1) / BINS,
            int(n),
            float(s / n) if n else float("nan"),
            float(t / n) if n else float("nan"),
        )
        for i, (n, s, t) in enumerate(sums)
    )
    by_chance = _error_by_chance(p, bin_index, silence)
    return Calibration(len(p), estimate(statistic, dialogues), by_chance, tuple(bins))


def _error_by_chance(p: Floats, bin_index: NDArray[np.int64], silence: NDArray[np.int64]) -> float:
    """Return the mean error of outcomes drawn with the predicted probabilities.

    Cases of one silence are drawn together, because they come true together.
    """
    if not len(p):
        return float("nan")
    rng = np.random.default_rng(SEED)
    errors: list[float] = []
    for _ in range(DRAWS):
        drawn = rng.random(silence.max() + 1)[silence] < p
        errors.append(np.abs(np.bincount(bin_index, p - drawn)).sum() / len(p))
    return float(np.mean(errors))


def _silent_frames(dialogue: EvaluatedDialogue, setting: Setting) -> Floats:
    """Return p_shift and what followed for the frames of mutual silence, (N, 4).

    Only frames with a speaker before and after the silence count. The columns are p_shift, 1 for
    a shift, 1 if the frame is 250 ms into its silence, and the first frame of the silence.
    """
    holder, upcoming = floor_around(dialogue.activity & ~dialogue.backchannel)
    at_250_ms, first = np.zeros(len(holder), bool), np.zeros(len(holder), np.int64)
    silent = ~np.any(dialogue.activity, axis=0)
    for start, end in runs(silent):
        first[start:end] = start
        if end - start >= SCORE_S * FRAME_RATE_HZ:
            at_250_ms[last_frame_at(start, SCORE_S, len(holder))] = True
    frames = np.flatnonzero(silent & (holder != NOBODY) & (upcoming != NOBODY))
    rows = np.zeros((len(frames), 4))
    for speaker in (0, 1):
        held = holder[frames] == speaker
        rows[held, 0] = dialogue.predictions_for(setting, speaker).p_next[1 - speaker, frames[held]]
    rows[:, 1], rows[:, 2] = holder[frames] != upcoming[frames], at_250_ms[frames]
    rows[:, 3] = first[frames]
    return rows
