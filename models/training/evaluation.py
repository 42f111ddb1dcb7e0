"""How well a network tells shifts from holds on real conversations, and its losses on held-out ones.

Source: events as in dialogues/events.py; scores read at fixed times into the silence, after Roddy et al. 2018.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..dialogues.activity import FRAME_RATE_HZ
from ..dialogues.annotation import speech_activity
from ..dialogues.events import Transition, find_transitions
from ..dialogues.manifest import Dialogue, load_audio
from ..turn_model import TurnModel
from .losses import TargetBatch, head_losses
from .stream import labelled_audio

SILENCES_MS = (50, 250, 500)
BLOCK_S = 30.0  # of audio in one forward pass
RESAMPLES = 1000  # of the bootstrap


@dataclass(frozen=True)
class ShiftHoldRow:
    """Scores at one time into the silence; the score is p_next of the speaker who did not hold the floor."""

    silence_ms: int
    shifts: int
    holds: int
    auc: float
    auc_interval: tuple[float, float]  # 95 %, bootstrap over conversations; NaN when it cannot be had
    balanced_accuracy: float  # at threshold 0.5


@dataclass(frozen=True)
class ShiftHoldReport:
    """Shift/hold over several conversations; a time is scored on the silences that last that long."""

    rows: tuple[ShiftHoldRow, ...]

    def at(self, silence_ms: int) -> ShiftHoldRow:
        """The row of one time into the silence."""
        return next(row for row in self.rows if row.silence_ms == silence_ms)


def next_holder_probabilities(model: TurnModel, audio: NDArray[np.float32], device: str = "cpu") -> NDArray[np.float32]:
    """p_next of both speakers at every step, (2, T), from audio (2, N)."""
    step = model.config.frame_samples
    block = step * round(BLOCK_S * model.config.frame_rate_hz)
    whole = torch.from_numpy(audio[:, : audio.shape[1] // step * step].copy())[None].to(device)
    state = model.init_state(1)
    pieces: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for start in range(0, whole.shape[2], block):
            output, state = model(whole[:, :, start : start + block], state)
            pieces.append(model.probabilities(output).p_next[0].cpu().numpy())
    return np.concatenate(pieces, axis=1)


def shift_hold_report(model: TurnModel, dialogues: Sequence[Dialogue], *, mono: bool = False, device: str = "cpu") -> ShiftHoldReport:
    """Score every shift and hold of some conversations.

    Args:
        model: in evaluation mode.
        dialogues: with an activity file, or audio good enough for a voice activity detector, or, where none is installed, words.
        mono: for each event, silence the channel of the speaker who did not hold the floor before it.
    """
    rate = model.config.frame_rate_hz
    scored: dict[int, list[tuple[float, bool, int]]] = {ms: [] for ms in SILENCES_MS}
    for number, dialogue in enumerate(dialogues):
        audio = load_audio(dialogue, model.config.features.sample_rate_hz)
        activity, _ = speech_activity(dialogue)
        stereo = None if mono else next_holder_probabilities(model, audio, device)
        alone = [next_holder_probabilities(model, _only(audio, speaker), device) for speaker in (0, 1)] if mono else []
        for event in find_transitions(activity, FRAME_RATE_HZ):
            p_next = alone[event.previous] if stereo is None else stereo
            for ms in SILENCES_MS:
                if event.silence_end_frame - event.silence_start_frame >= ms / 1000 * FRAME_RATE_HZ:
                    scored[ms].append((_read(p_next[1 - event.previous], event, ms, rate), event.kind == "shift", number))
    return ShiftHoldReport(tuple(_row(ms, np.array(events).reshape(-1, 3)) for ms, events in scored.items()))


def _row(silence_ms: int, events: NDArray[np.float64]) -> ShiftHoldRow:
    """Scores of events (N, 3): score, whether it is a shift, and the number of its conversation."""
    scores, shifts = events[:, 0], events[:, 1] > 0
    interval = bootstrap_auc(scores, shifts, events[:, 2])
    return ShiftHoldRow(silence_ms, int(shifts.sum()), int((~shifts).sum()), auc(scores, shifts), interval, balanced_accuracy(scores, shifts))


def bootstrap_auc(scores: NDArray[np.float64], labels: NDArray[np.bool_], groups: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of the AUC when whole groups (conversations) are drawn with replacement; the same draws every time."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn: list[float] = []
    for _ in range(RESAMPLES if len(members) > 1 else 0):
        chosen = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        drawn.append(auc(scores[chosen], labels[chosen]))
    known = [value for value in drawn if not np.isnan(value)]
    low, high = np.percentile(known, [2.5, 97.5]) if known else (float("nan"), float("nan"))
    return float(low), float(high)


def _only(audio: NDArray[np.float32], speaker: int) -> NDArray[np.float32]:
    silenced = np.zeros_like(audio)
    silenced[speaker] = audio[speaker]
    return silenced


def _read(p_next: NDArray[np.float32], event: Transition, silence_ms: int, frame_rate_hz: float) -> float:
    """The newest prediction at that time into the silence."""
    heard_s = event.silence_start_frame / FRAME_RATE_HZ + silence_ms / 1000
    return float(p_next[min(len(p_next), max(1, int(heard_s * frame_rate_hz + 1e-6))) - 1])


def auc(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative; NaN if either is missing."""
    from scipy.stats import rankdata

    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return float("nan")
    return float((rankdata(scores)[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def balanced_accuracy(scores: NDArray[np.float64], labels: NDArray[np.bool_], threshold: float = 0.5) -> float:
    """Mean of the accuracies on positives and on negatives; NaN if either is missing."""
    if labels.all() or not labels.any():
        return float("nan")
    called = scores >= threshold
    return float((called[labels].mean() + (~called[~labels]).mean()) / 2)


def validation_losses(model: TurnModel, dialogues: Iterable[Dialogue], device: str = "cpu") -> dict[str, float]:
    """Mean loss of each head over some conversations, each from its own beginning."""
    sums: dict[str, list[float]] = {}
    for dialogue in dialogues:
        audio, labels = labelled_audio(dialogue, model.config)
        target = TargetBatch(
            *(
                torch.from_numpy(np.ascontiguousarray(array))[None].to(device)
                for array in (labels.vad.astype(np.float32), labels.projection, labels.next_holder, labels.next_weight, labels.backchannel.astype(np.float32))
            )
        )
        with torch.inference_mode():
            output, _ = model(torch.from_numpy(audio)[None].to(device), model.init_state(1))
            for name, loss in head_losses(output, target).items():
                sums.setdefault(name, []).append(loss.item())
    return {name: float(np.mean(values)) for name, values in sums.items()}
