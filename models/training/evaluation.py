"""Shift/hold scores of a network in training on real conversations, and losses on held-out ones.

The measures are defined in evaluation/shift_hold.py. This module runs the network, and computes
only the outputs that they need.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..dialogues.annotation import speech_activity
from ..dialogues.events import find_transitions
from ..dialogues.loading import load_audio
from ..dialogues.manifest import Dialogue
from ..evaluation.dialogue_runner import run_dialogue
from ..evaluation.measures import BinaryScore
from ..evaluation.predictions import at_activity_rate
from ..evaluation.shift_hold import SILENCES_MS, Silence, read_silence, score_silences
from ..turn_model import TurnModel
from .labelled import labelled_audio
from .losses import TargetBatch, head_losses


@dataclass(frozen=True)
class ShiftHoldRow:
    """Scores at one time into the silence.

    The scored probability is p_next of the speaker who did not hold the floor before the silence.
    """

    silence_ms: int
    shifts: int
    holds: int
    auc: float
    # 95 % interval from a bootstrap over conversations; NaN if it cannot be computed
    auc_interval: tuple[float, float]
    balanced_accuracy: float  # at threshold 0.5


@dataclass(frozen=True)
class ShiftHoldReport:
    """Shift/hold scores over several conversations.

    Each time into the silence is scored on the silences that last that long.
    """

    rows: tuple[ShiftHoldRow, ...]

    def at(self, silence_ms: int) -> ShiftHoldRow:
        """Return the scores at one time into the silence."""
        return next(row for row in self.rows if row.silence_ms == silence_ms)


def next_holder_probabilities(
    model: TurnModel, audio: NDArray[np.float32], device: str = "cpu"
) -> NDArray[np.float32]:
    """Return p_next of both speakers at every step, (2, T), from audio (2, N)."""
    return np.concatenate(
        [said.p_next[0].cpu().numpy() for _, said in run_dialogue(model, audio, device)], axis=1
    )


def shift_hold_report(
    model: TurnModel, dialogues: Sequence[Dialogue], *, mono: bool = False, device: str = "cpu"
) -> ShiftHoldReport:
    """Score every shift and hold of some conversations.

    Args:
        model: in evaluation mode, on the device.
        dialogues: each with an activity file, or with audio that suits a voice activity detector,
            or, where no detector is installed, with word times or segments.
        mono: for each event, silence the channel of the speaker who did not hold the floor before
            it.
        device: torch device.
    """
    silences: list[Silence] = []
    scores: list[NDArray[np.float64]] = []
    for number, dialogue in enumerate(dialogues):
        audio = load_audio(dialogue, model.config.features.sample_rate_hz)
        activity, _ = speech_activity(dialogue)
        heard = [_only(audio, speaker) for speaker in (0, 1)] if mono else [audio]
        p_next = [
            at_activity_rate(
                next_holder_probabilities(model, channels, device),
                model.config.frame_rate_hz,
                activity.shape[1],
            )
            for channels in heard
        ]
        for event in find_transitions(activity):
            silences.append(Silence(number, event))
            scores.append(
                read_silence(p_next[event.previous if mono else 0][1 - event.previous], event)
            )
    scored = score_silences(silences, np.array(scores).reshape(-1, len(SILENCES_MS) + 1))
    return ShiftHoldReport(
        tuple(_row(silence_ms, score) for silence_ms, score in scored.at.items())
    )


def _row(silence_ms: int, score: BinaryScore) -> ShiftHoldRow:
    interval = (score.auc.low, score.auc.high)
    return ShiftHoldRow(
        silence_ms,
        score.positives,
        score.negatives,
        score.auc.value,
        interval,
        score.balanced_accuracy.value,
    )


def _only(audio: NDArray[np.float32], speaker: int) -> NDArray[np.float32]:
    silenced = np.zeros_like(audio)
    silenced[speaker] = audio[speaker]
    return silenced


def validation_losses(
    model: TurnModel, dialogues: Iterable[Dialogue], device: str = "cpu"
) -> dict[str, float]:
    """Return the loss of each head, averaged over conversations.

    Each conversation starts from the initial state.
    """
    return {
        name: float(np.mean(values))
        for name, values in conversation_losses(model, dialogues, device).items()
    }


def conversation_losses(
    model: TurnModel, dialogues: Iterable[Dialogue], device: str = "cpu"
) -> dict[str, list[float]]:
    """Return the loss of each head in each conversation, by head, in nats.

    The loss is 0 where a conversation has no labels for the head.
    """
    losses: dict[str, list[float]] = {}
    for dialogue in dialogues:
        audio, labels = labelled_audio(dialogue, model.config)
        arrays = (
            labels.vad,
            labels.projection,
            labels.next_second,
            labels.next_weight,
            labels.backchannel,
            labels.completeness,
        )
        floats = (
            array.astype(np.float32) if array.dtype == np.bool_ else np.ascontiguousarray(array)
            for array in arrays
        )
        target = TargetBatch(*(torch.from_numpy(array)[None].to(device) for array in floats))
        with torch.inference_mode():
            output, _ = model(torch.from_numpy(audio)[None].to(device), model.init_state(1))
            for name, loss in head_losses(output, target).items():
                losses.setdefault(name, []).append(loss.item())
    return losses
