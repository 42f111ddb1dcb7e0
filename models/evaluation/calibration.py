"""Does a shift follow as often as p_shift says? Expected calibration error and the bins of a reliability diagram.

p_shift is p_next of the speaker who did not speak alone last. It is compared with who takes the floor next, in every mutual
silence that has somebody before and after it, not only in those clear enough to be a shift or hold by definition: a deployed
system meets them all. Known backchannels neither hold nor take the floor. Silences that both end at once are left out.

Source: Guo et al. 2017 (equal-width bins; the error is the mean distance between confidence and frequency).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..dialogues.activity import FRAME_RATE_HZ, runs
from ..dialogues.events import NOBODY, floor_around
from .measures import Estimate, Floats, consecutive, estimate, sums_by_dialogue
from .predictions import EvaluatedDialogue, Setting, heard_frame

BINS = 15
SILENCE_S = 0.25


@dataclass(frozen=True)
class ReliabilityBin:
    """The predictions in [low, high), the last bin's end included.

    Attributes:
        low, high: edges.
        count: how many.
        mean_p: what they said on average; NaN if there are none.
        share: how often it came true; NaN if there are none.
    """

    low: float
    high: float
    count: int
    mean_p: float
    share: float


@dataclass(frozen=True)
class Calibration:
    """How well probabilities agree with what happened; the error is in [0, 1], NaN without predictions.

    The error of few predictions is too high by chance, and its interval with it.
    """

    count: int
    error: Estimate
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class CalibrationReport:
    """Of p_shift 250 ms into the mutual silences that last that long, one case each, and in every frame of mutual silence."""

    at_250_ms: Calibration
    silent_frames: Calibration


def calibration(dialogues: Sequence[EvaluatedDialogue], setting: Setting) -> CalibrationReport:
    """Calibration of p_shift; in "mono" only the speaker who last spoke alone was heard."""
    cases = [_silent_frames(dialogue, setting) for dialogue in dialogues]
    dialogue = np.repeat(np.arange(len(cases)), [len(rows) for rows in cases])
    p_shift, shift, at_250_ms = np.concatenate([np.zeros((0, 3)), *cases]).T
    once = at_250_ms > 0
    return CalibrationReport(
        calibrate(p_shift[once], shift[once] > 0, dialogue[once]),
        calibrate(p_shift, shift > 0, dialogue),
    )


def calibrate(p: Floats, happened: NDArray[np.bool_], dialogue: NDArray[np.int64]) -> Calibration:
    """Calibration of any probabilities.

    Args:
        p: in [0, 1], (N,).
        happened: (N,).
        dialogue: (N,), any number that tells the cases of one dialogue from those of another.
    """
    numbers, dialogues = consecutive(dialogue)
    member = np.minimum((p * BINS).astype(np.int64), BINS - 1)[:, None] == np.arange(BINS)
    count, said, true = (
        sums_by_dialogue(member * weight[:, None], numbers, dialogues)
        for weight in (np.ones_like(p), p, happened)
    )  # each (D, BINS)

    def statistic(counts: Floats) -> Floats:
        return np.abs(counts @ (said - true)).sum(axis=1) / (counts @ count).sum(axis=1)

    sums = zip(count.sum(axis=0), said.sum(axis=0), true.sum(axis=0), strict=True)
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
    return Calibration(len(p), estimate(statistic, dialogues), tuple(bins))


def _silent_frames(dialogue: EvaluatedDialogue, setting: Setting) -> Floats:
    """Every frame of mutual silence with somebody before and after it: p_shift, 1 for a shift, 1 if 250 ms into it; (N, 3)."""
    holder, upcoming = floor_around(dialogue.activity & ~dialogue.backchannel)
    at_250_ms = np.zeros(len(holder), bool)
    silent = ~np.any(dialogue.activity, axis=0)
    for start, end in runs(silent):
        if end - start >= SILENCE_S * FRAME_RATE_HZ:
            at_250_ms[heard_frame(start, SILENCE_S, len(holder))] = True
    frames = np.flatnonzero(silent & (holder != NOBODY) & (upcoming != NOBODY))
    rows = np.zeros((len(frames), 3))
    for speaker in (0, 1):
        held = holder[frames] == speaker
        rows[held, 0] = dialogue.heard(setting, speaker).p_next[1 - speaker, frames[held]]
    rows[:, 1], rows[:, 2] = holder[frames] != upcoming[frames], at_250_ms[frames]
    return rows
