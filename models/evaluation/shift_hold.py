"""Measure shift or hold: how well a score inside a mutual silence predicts who speaks next.

The score is p_next of the speaker who did not hold the floor. It is read 50, 250 and 500 ms into
the silence, each time over the silences that last that long, and averaged over the whole silence.
A system without p_next (a silence timer, a detector that scores pauses) gives its own scores to
`score_silences`.

The AUC is given pooled, and within dialogue and speaker (measures.py): over pairs of a shift and
a hold before which the same speaker spoke in the same dialogue.

`counting` uses no audio. It scores a silence by the share of shifts among this speaker's earlier
silences in the dialogue. So its pooled AUC shows what can be had from knowing who speaks. The AUC
of a system within a speaker cannot be had that way. The AUC of `counting` itself within a speaker
is below 0.5 even if shifts come at random: each shift of a speaker that is already counted is one
less to come.

Source: the events of dialogues/events.py. Fixed times after Roddy et al. 2018, the average after
Ekstedt & Skantze 2022. They count every frame of a silence as a case; here a silence is one case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..dialogues.activity import FRAME_RATE_HZ
from ..dialogues.events import Transition, find_transitions
from .measures import BinaryScore, Floats, score_binary
from .predictions import EvaluatedDialogue, Frames, Setting, last_frame_at

SILENCES_MS = (50, 250, 500)
# The time into a silence at which the main score is read, and a prediction is right or wrong.
SCORE_MS = 250
SCORE_S = SCORE_MS / 1000


@dataclass(frozen=True)
class Silence:
    """A shift or hold, and the index of its dialogue among those evaluated."""

    dialogue: int
    transition: Transition

    @property
    def length_s(self) -> float:
        """Length of the mutual silence in seconds."""
        return (
            self.transition.silence_end_frame - self.transition.silence_start_frame
        ) / FRAME_RATE_HZ

    def lasts(self, ms: int) -> bool:
        """Return whether the silence is at least `ms` long."""
        return self.length_s >= ms / 1000 - 1e-9


@dataclass(frozen=True)
class ShiftHoldScores:
    """Shift (positive) against hold, at fixed times into the silence and averaged over it."""

    at: dict[int, BinaryScore]  # by the time into the silence in ms (SILENCES_MS)
    averaged: BinaryScore


def find_silences(dialogues: Sequence[EvaluatedDialogue]) -> list[Silence]:
    """Return every shift and hold of the dialogues."""
    return [
        Silence(number, event)
        for number, dialogue in enumerate(dialogues)
        for event in find_transitions(dialogue.activity)
    ]


def read_score(score: Frames, start_frame: int, ms: int = SCORE_MS) -> float:
    """Return the newest value of a score, (T,) at 50 Hz, `ms` into a silence."""
    return float(score[last_frame_at(start_frame, ms / 1000, len(score))])


def read_at(
    dialogues: Sequence[EvaluatedDialogue],
    silences: Sequence[Silence],
    setting: Setting,
    ms: int = SCORE_MS,
) -> Floats:
    """Return p_next of the speaker who did not hold the floor, `ms` into each silence, (N,).

    In a silence that is shorter, the value is the newest at that time, after its end.

    Args:
        dialogues: the dialogues in which the silences were found.
        silences: from `find_silences`.
        setting: in "mono" the model received only the speaker before the silence.
        ms: time into the silence.
    """
    return np.array(
        [
            read_score(score, silence.transition.silence_start_frame, ms)
            for score, silence in zip(_scores(dialogues, silences, setting), silences, strict=True)
        ],
        float,
    )


def read_silences(
    dialogues: Sequence[EvaluatedDialogue], silences: Sequence[Silence], setting: Setting
) -> Floats:
    """Return p_next of the speaker who did not hold the floor, (N, 4).

    The columns are the values at each of SILENCES_MS, and the mean over the silence. The
    arguments are those of `read_at`.
    """
    averages = [
        score[silence.transition.silence_start_frame : silence.transition.silence_end_frame].mean(
            dtype=np.float64
        )
        for score, silence in zip(_scores(dialogues, silences, setting), silences, strict=True)
    ]
    at = [read_at(dialogues, silences, setting, ms) for ms in SILENCES_MS]
    return np.stack([*at, np.array(averages, float)], axis=1)


def _scores(
    dialogues: Sequence[EvaluatedDialogue], silences: Sequence[Silence], setting: Setting
) -> Iterator[Frames]:
    """Yield, for each silence, p_next of the speaker who did not hold the floor, (T,)."""
    for silence in silences:
        speaker = silence.transition.previous
        yield dialogues[silence.dialogue].predictions_for(setting, speaker).p_next[1 - speaker]


def score_silences(silences: Sequence[Silence], scores: Floats) -> ShiftHoldScores:
    """Return the measures of any system's scores.

    Args:
        silences: from `find_silences`.
        scores: high for a shift, (N, 4): at each of SILENCES_MS into the silence, and for the
            whole silence. A silence with NaN is left out; so is a silence that is shorter than
            the time.
    """
    shift = np.array([silence.transition.kind == "shift" for silence in silences], bool)
    dialogue = np.array([silence.dialogue for silence in silences], np.int64)
    speaker = np.array([silence.transition.previous for silence in silences], np.int64)
    at: dict[int, BinaryScore] = {}
    for column, ms in enumerate(SILENCES_MS):
        lasting = np.array([silence.lasts(ms) for silence in silences], bool)
        at[ms] = score_binary(
            scores[lasting, column], shift[lasting], dialogue[lasting], speaker[lasting]
        )
    return ShiftHoldScores(at, score_binary(scores[:, -1], shift, dialogue, speaker))


def shift_hold(dialogues: Sequence[EvaluatedDialogue], setting: Setting) -> ShiftHoldScores:
    """Score every shift and hold by p_next."""
    silences = find_silences(dialogues)
    return score_silences(silences, read_silences(dialogues, silences, setting))


def count_shifts(silences: Sequence[Silence]) -> Floats:
    """Return the share of shifts among the speaker's earlier silences in the dialogue, (N,).

    Args:
        silences: from `find_silences`; those of one dialogue are in order of time.
    """
    return count_earlier(
        [silence.transition.kind == "shift" for silence in silences],
        [silence.dialogue for silence in silences],
        [silence.transition.previous for silence in silences],
    )


def count_earlier(
    positive: Sequence[bool] | NDArray[np.bool_],
    dialogue: Sequence[int] | NDArray[np.int64],
    speaker: Sequence[int] | NDArray[np.int64],
) -> Floats:
    """Return the share of positives among the speaker's earlier events in the dialogue, (N,).

    One positive and one negative are added to the counts (Laplace's rule), so the first event of
    a speaker scores 0.5.

    Args:
        positive: kind of each event, (N,); those of one dialogue are in order of time.
        dialogue, speaker: of each event, (N,).
    """
    scores = np.zeros(len(positive))
    counts: dict[tuple[int, int], list[int]] = {}  # by dialogue and speaker: positives, events
    for place, (kind, *key) in enumerate(zip(positive, dialogue, speaker, strict=True)):
        earlier = counts.setdefault((int(key[0]), int(key[1])), [0, 0])
        scores[place] = (earlier[0] + 1) / (earlier[1] + 2)
        earlier[0] += bool(kind)
        earlier[1] += 1
    return scores


def counting(dialogues: Sequence[EvaluatedDialogue]) -> ShiftHoldScores:
    """Score every shift and hold by `count_shifts`, with the same score at all times."""
    silences = find_silences(dialogues)
    return score_silences(
        silences, np.repeat(count_shifts(silences)[:, None], len(SILENCES_MS) + 1, axis=1)
    )
