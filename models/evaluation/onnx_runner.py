"""Run whole dialogues through the engine, many in one batch, with the same steps as live.

torch_runner.py does the same with a network in torch. Both give an EvaluatedDialogue.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...stream.contract import PROBABILITIES
from ...stream.engine import Engine
from .predictions import DialoguePrediction, EvaluatedDialogue
from .recording import Recording

Float32 = NDArray[np.float32]
Outputs = dict[str, Float32]  # every output by its name, (2, T)
# Input channels of the three batch rows of a dialogue: both, the first alone, the second alone.
CHANNEL_MASKS = np.array([[1, 1], [1, 0], [0, 1]], np.float32)[:, :, None]


def evaluate_dialogues(engine: Engine, recordings: Sequence[Recording]) -> list[EvaluatedDialogue]:
    """Run dialogues through a model, in stereo and mono, and bring its predictions to 50 Hz.

    Args:
        engine: the model.
        recordings: the dialogues; their audio is at the model's sample rate.
    Raises:
        DialogueError: a dialogue has no audio.
    """
    evaluated: list[EvaluatedDialogue] = []
    rows = step_recordings(engine, [recording.audio for recording in recordings])
    for recording, outputs in zip(recordings, rows, strict=True):
        stereo, first, second = (
            DialoguePrediction.from_outputs(
                row, engine.metadata.frame_rate_hz, recording.activity.shape[1]
            )
            for row in outputs
        )
        evaluated.append(
            EvaluatedDialogue(
                recording.id, recording.activity, recording.backchannel, stereo, (first, second)
            )
        )
    return evaluated


def step_recordings(
    engine: Engine, recordings: Sequence[Float32]
) -> list[tuple[Outputs, Outputs, Outputs]]:
    """Run every recording from its own beginning to its own end, three times in one batch.

    Args:
        engine: the model.
        recordings: samples in [-1, 1] at the model's sample rate, (2, N) each; an incomplete last
            frame is padded with zeros.
    Returns:
        For each recording, the outputs with both channels as input, with the first channel alone,
        and with the second alone. The missing channel is digital silence. Each output is (2,
        ceil(N / frame_samples)).
    """
    size, masks = engine.metadata.frame_samples, len(CHANNEL_MASKS)
    frames = [-(-audio.shape[1] // size) for audio in recordings]
    # Longest first: recordings that are still running are then the first batch rows.
    order = sorted(range(len(frames)), key=lambda index: -frames[index])
    outputs = [
        {name: np.zeros((masks, 2, count), np.float32) for name in PROBABILITIES}
        for count in frames
    ]
    state = engine.init_state(masks * len(recordings))
    for t in range(max(frames, default=0)):
        running = [index for index in order if frames[index] > t]
        audio = np.zeros((len(running), masks, 2, size), np.float32)
        for row, index in zip(audio, running, strict=True):
            frame = recordings[index][:, t * size : (t + 1) * size]
            row[:, :, : frame.shape[1]] = frame * CHANNEL_MASKS
        output, state = engine.step(audio.reshape(-1, 2, size), state[: masks * len(running)])
        for name in PROBABILITIES:
            values = getattr(output, name).reshape(-1, masks, 2)
            for index, value in zip(running, values, strict=True):
                outputs[index][name][:, :, t] = value

    def of(index: int, row: int) -> Outputs:
        return {name: outputs[index][name][row] for name in PROBABILITIES}

    return [(of(index, 0), of(index, 1), of(index, 2)) for index in range(len(recordings))]
