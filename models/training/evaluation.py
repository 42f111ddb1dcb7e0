"""Shift/hold scores of a network in training on real conversations, and losses on held-out ones.

The measures are those of `turnstream evaluate` (evaluation/shift_hold.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from ..dialogues.manifest import Dialogue
from ..evaluation.predictions import Setting
from ..evaluation.recording import load_recording
from ..evaluation.shift_hold import ShiftHoldScores, shift_hold
from ..evaluation.torch_runner import evaluate_dialogue
from ..turn_model import TurnModel
from .labelled import labelled_audio
from .losses import TargetBatch, head_losses


def shift_hold_scores(
    model: TurnModel,
    dialogues: Sequence[Dialogue],
    setting: Setting = "stereo",
    device: str = "cpu",
) -> ShiftHoldScores:
    """Score every shift and hold of some conversations.

    Args:
        model: in evaluation mode, on the device.
        dialogues: each with an activity file, or with audio that suits a voice activity detector,
            or, where no detector is installed, with word times or segments.
        setting: in "mono" the network receives only the channel of the speaker who held the floor
            before the event.
        device: torch device.
    """
    sample_rate_hz = model.config.features.sample_rate_hz
    evaluated = [
        evaluate_dialogue(
            model, load_recording(dialogue, sample_rate_hz), mono=setting == "mono", device=device
        )
        for dialogue in dialogues
    ]
    return shift_hold(evaluated, setting)


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
        target = TargetBatch.of([labels]).to(device)
        with torch.inference_mode():
            output, _ = model(torch.from_numpy(audio)[None].to(device), model.init_state(1))
            for name, loss in head_losses(output, target).items():
                losses.setdefault(name, []).append(loss.item())
    return losses
