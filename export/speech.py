"""Real speech to measure ranges on, and other real speech to compare two graphs on."""

from __future__ import annotations

import numpy as np
import torch

from ..models.turn_model import TurnModel
from ..stream.bench import sample_audio
from .step_input import StepInput
from .verify import Float32

# From 40 dB below the recorded level to 24 dB above it, clipped, so that the ranges hold for
# faint and for overdriven microphones.
GAINS = (0.01, 0.1, 1.0, 4.0, 16.0)


def calibration_frames(model: TurnModel, step_input: StepInput) -> Float32:
    """Returns the first half of the bundled call at several levels, as frames.

    Returns:
        Input of the graph for every frame, (len(GAINS), 2, T, ...).
    """
    first, _ = _halves(model)
    gains = np.array(GAINS, np.float32)[:, None, None]
    return _frames(model, step_input, np.clip(first * gains, -1, 1))


def comparison_frames(model: TurnModel, step_input: StepInput) -> Float32:
    """Returns the second half of the bundled call, as frames: (1, 2, T, ...)."""
    return _frames(model, step_input, _halves(model)[1])


def _halves(model: TurnModel) -> tuple[Float32, Float32]:
    """Returns both halves of the call in whole frames, each (1, 2, N)."""
    audio = sample_audio(model.config.features.sample_rate_hz)
    size = model.config.frame_samples
    middle = len(audio) // 2 // size * size
    first, second = audio[:middle].T, audio[middle : 2 * middle].T
    return first[None], second[None]


def _frames(model: TurnModel, step_input: StepInput, audio: Float32) -> Float32:
    with torch.inference_mode():
        whole = step_input.from_audio(model, torch.tensor(audio))
    channels, *step = step_input.shape(model.config)
    return whole.reshape(len(audio), channels, -1, *step).numpy()
