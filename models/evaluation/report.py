"""Collect all measures of a model and of the baselines in one value, and write it as JSON.

`measure_system` applies all measures to one system in one setting. `fall` compares a harder
condition with the clean one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .calibration import CalibrationReport, calibration
from .frontier import Frontier, find_dialogue_pauses, frontier, timer_frontier
from .measures import (
    BinaryScore,
    Estimate,
    Floats,
    auc_statistic,
    consecutive,
    estimate,
    score_binary,
)
from .predictions import EvaluatedDialogue, Setting
from .shift_hold import ShiftHoldScores, Silence, find_silences, read_at, shift_hold
from .voice_activity import VoiceActivity
from .windows import backchannel_prediction, shift_prediction, short_long

SETTINGS: tuple[Setting, ...] = ("stereo", "mono")
ASKED_MS = 200  # time into a silence at which turn detectors like Smart Turn are run
TIMER = "silence timer"
JUDGE = "judge"
SILERO = "Silero VAD"


@dataclass(frozen=True)
class SystemFigures:
    """All measures of one system in one setting; None where the system lacks the output."""

    shift_hold: ShiftHoldScores
    shift_hold_at_200_ms: BinaryScore
    frontier: Frontier
    shift_prediction: BinaryScore | None = None
    short_long: BinaryScore | None = None
    backchannel_prediction: BinaryScore | None = None
    calibration: CalibrationReport | None = None


@dataclass(frozen=True)
class ConditionFigures:
    """The measures in a harder condition.

    Attributes:
        shift_hold, frontier: as in SystemFigures.
        auc_fall: clean AUC minus this one, 250 ms into the silence, with the interval of the
            difference.
    """

    shift_hold: ShiftHoldScores
    frontier: Frontier
    auc_fall: Estimate


@dataclass(frozen=True)
class GroupFigures:
    """Shift or hold in a group of dialogues.

    Attributes:
        dialogues: number of dialogues.
        shifts, holds: number of events.
        auc: by system, 250 ms into the silence; NaN where there are no shifts or no holds.
    """

    dialogues: int
    shifts: int
    holds: int
    auc: Mapping[str, Estimate]


@dataclass(frozen=True)
class PolicyTrial:
    """The results of a policy.

    Attributes:
        holds, ends: number of pauses of each kind.
        cut_off: share of holds that were cut off.
        latency_s: mean over the ends of turns that were called.
        median_latency_s: median over the same.
        never_ended: number of ends of turns that were not called in time.
    """

    holds: int
    ends: int
    cut_off: Estimate
    latency_s: Estimate
    median_latency_s: float
    never_ended: int


@dataclass(frozen=True)
class Cost:
    """The time that a system takes on one thread.

    Attributes:
        ms_per_second_of_audio: per second of a conversation.
        ms_per_decision: per decision.
        counted: text that says which speakers count, and how often a decision is made.
    """

    ms_per_second_of_audio: float
    ms_per_decision: float
    counted: str


@dataclass(frozen=True)
class Mistake:
    """A shift or hold that the model, with both channels as input, got most wrong.

    `name` is the stem of its files.
    """

    name: str
    dialogue: str
    kind: str
    time_s: float
    silence_s: float
    speaker: int
    next_speaker: int
    p_shift: float


@dataclass(frozen=True)
class Evaluation:
    """The results of one evaluation.

    Attributes:
        about: the model, the dialogues with the source of their voice activity, and the options,
            as JSON values. `model` is one model; it is None in a cross-validation, where `folds`
            has all models.
        systems: by name. "stereo" and "mono" are the model, "judge" is the judge that it may have
            learned from, the others are baselines. Judge and baselines receive the speaker's
            channel alone.
        timer: the plain silence timer.
        counting: shift or hold predicted by the share of shifts among a speaker's earlier
            silences, without audio.
        presets: by setting and preset, the results of the policy.
        by_corpus: shift or hold in every corpus; the key is "" where no corpus is given.
        by_call: shift or hold in every dialogue, by id.
        voice_activity: by system that has a vad output.
        auc_above: by baseline and setting, the model's AUC minus the baseline's, 250 ms into the
            silence.
        conditions: by condition and setting; empty if not asked for.
        agreement: by setting, the correlation of the model with the judge in silences.
        costs: by system.
        mistakes: the worst ones.
    """

    about: Mapping[str, Any]
    systems: Mapping[str, SystemFigures]
    timer: Frontier
    presets: Mapping[str, Mapping[str, PolicyTrial]]
    counting: ShiftHoldScores | None = None
    by_corpus: Mapping[str, GroupFigures] = field(default_factory=dict)
    by_call: Mapping[str, GroupFigures] = field(default_factory=dict)
    voice_activity: Mapping[str, VoiceActivity] = field(default_factory=dict)
    auc_above: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    conditions: Mapping[str, Mapping[str, ConditionFigures]] = field(default_factory=dict)
    agreement: Mapping[str, Estimate] = field(default_factory=dict)
    costs: Mapping[str, Cost] = field(default_factory=dict)
    mistakes: Sequence[Mistake] = ()


def measure_system(
    dialogues: Sequence[EvaluatedDialogue], setting: Setting, *, only_p_next: bool = False
) -> SystemFigures:
    """Apply all measures to one system in one setting.

    Args:
        dialogues: the dialogues with the system's predictions.
        setting: "stereo" or "mono".
        only_p_next: true for a baseline, which has no other output, and whose score is no
            probability of a shift.
    """
    silences = find_silences(dialogues)
    asked = score_binary(read_at(dialogues, silences, setting, ASKED_MS), *_kinds(silences))
    base = SystemFigures(shift_hold(dialogues, setting), asked, frontier(dialogues, setting))
    if only_p_next:
        return base
    return dataclasses.replace(
        base,
        shift_prediction=shift_prediction(dialogues, setting),
        short_long=short_long(dialogues, setting),
        backchannel_prediction=backchannel_prediction(dialogues, setting),
        calibration=calibration(dialogues, setting),
    )


def measure_timer(dialogues: Sequence[EvaluatedDialogue]) -> Frontier:
    """Return the silence timer's frontier in these dialogues."""
    return timer_frontier(find_dialogue_pauses(dialogues))


def measure_condition(
    clean: Sequence[EvaluatedDialogue], changed: Sequence[EvaluatedDialogue], setting: Setting
) -> ConditionFigures:
    """Measure the same dialogues in a harder condition."""
    return ConditionFigures(
        shift_hold(changed, setting), frontier(changed, setting), fall(clean, changed, setting)
    )


def fall(
    clean: Sequence[EvaluatedDialogue], changed: Sequence[EvaluatedDialogue], setting: Setting
) -> Estimate:
    """Return how much lower the AUC of shift or hold is in a harder condition, 250 ms in."""
    return auc_difference((clean, setting), (changed, setting))


def auc_difference(
    first: tuple[Sequence[EvaluatedDialogue], Setting],
    second: tuple[Sequence[EvaluatedDialogue], Setting],
) -> Estimate:
    """Return the first system's AUC of shift or hold minus the second's, 250 ms into the silence.

    The interval is that of the paired difference.

    Args:
        first, second: the predictions of two systems for the same dialogues, and the setting;
            silences without a score of both are left out.
    """
    silences = find_silences(first[0])
    scores = np.array(
        [read_at(dialogues, silences, setting) for dialogues, setting in (first, second)]
    )
    known = ~np.isnan(scores).any(axis=0)
    shift, dialogue, _ = (kind[known] for kind in _kinds(silences))
    numbers, count = consecutive(dialogue)
    one, other = (auc_statistic(row[known], shift, numbers, count) for row in scores)
    return estimate(lambda counts: one(counts) - other(counts), count)


def roc_curve(dialogues: Sequence[EvaluatedDialogue], setting: Setting) -> tuple[Floats, Floats]:
    """Return the share of holds taken for shifts and the share of shifts found, 250 ms in.

    The points are ordered from the strictest threshold on.
    """
    silences = find_silences(dialogues)
    scores, (shift, *_) = read_at(dialogues, silences, setting), _kinds(silences)
    known = ~np.isnan(scores)
    scores, shift = scores[known], shift[known]
    called = scores >= np.append(np.inf, np.unique(scores)[::-1])[:, None]  # (thresholds, N)
    return (called & ~shift).sum(axis=1) / max(1, (~shift).sum()), (called & shift).sum(
        axis=1
    ) / max(1, shift.sum())


def as_json(value: Any) -> Any:
    """Convert to JSON values: dataclasses to objects, keys to strings, NaN and infinity to null."""
    if dataclasses.is_dataclass(value):
        return {item.name: as_json(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _kinds(silences: Sequence[Silence]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each silence, whether it is a shift, its dialogue, and the speaker before it."""
    shift = np.array([s.transition.kind == "shift" for s in silences], bool)
    dialogue = np.array([s.dialogue for s in silences], np.int64)
    return shift, dialogue, np.array([s.transition.previous for s in silences], np.int64)
