"""Run whole dialogues through a network in torch.

The audio passes in blocks, so that memory does not grow with the length of a dialogue.
onnx_runner.py does the same with an exported model. Both give an EvaluatedDialogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ...stream.contract import PROBABILITIES
from ...stream.errors import DialogueError
from ..dialogues.activity import Samples
from ..turn_model import TurnModel, TurnOutput, TurnProbabilities
from .predictions import DialoguePrediction, EvaluatedDialogue
from .recording import Recording

BLOCK_S = 30.0  # audio of one forward pass


def run_dialogue(
    model: TurnModel, audio: Samples, device: str = "cpu"
) -> Iterator[tuple[TurnOutput, TurnProbabilities]]:
    """Run a dialogue through a network from its beginning; the state passes from block to block.

    Args:
        model: the network, in evaluation mode, on `device`.
        audio: samples at the network's sample rate, (2, N); an incomplete last frame is dropped.
        device: torch device.
    Yields:
        For every 30 s, the outputs and the probabilities of the dialogue, (1, 2, T, ...).
    """
    step = model.config.frame_samples
    block = step * round(BLOCK_S * model.config.frame_rate_hz)
    whole = audio.shape[1] // step * step
    state = model.init_state(1)
    with torch.inference_mode():
        for start in range(0, whole, block):
            piece = torch.from_numpy(audio[:, start : min(start + block, whole)].copy())[None].to(
                device
            )
            output, state = model(piece, state)
            yield output, model.probabilities(output)


def dialogue_outputs(
    model: TurnModel,
    audio: Samples,
    dialogue_id: str,
    latents: Sequence[str] = (),
    device: str = "cpu",
) -> dict[str, NDArray[np.float32]]:
    """Return the probabilities of a whole dialogue at the network's own frame rate.

    Args:
        model, audio, device: as in `run_dialogue`.
        dialogue_id: named in an error.
        latents: names of latents of TurnOutput to return as well.
    Returns:
        By name: the probabilities, (2, T) each, and the latents, (2, T, H).
    Raises:
        DialogueError: the audio is shorter than a frame.
    """
    blocks: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (*PROBABILITIES, *latents)}
    for output, probabilities in run_dialogue(model, audio, device):
        for name, values in blocks.items():
            source = probabilities if name in PROBABILITIES else output
            values.append(getattr(source, name)[0].cpu().numpy())
    if not blocks[PROBABILITIES[0]]:
        raise DialogueError(
            f"dialogue {dialogue_id!r}: expected audio of at least a frame, got "
            f"{audio.shape[1]} samples"
        )
    return {name: np.concatenate(values, axis=1) for name, values in blocks.items()}


def evaluate_dialogue(
    model: TurnModel, recording: Recording, *, mono: bool = False, device: str = "cpu"
) -> EvaluatedDialogue:
    """Run a dialogue through a network, and bring its predictions to 50 Hz.

    Args:
        model: the network, in evaluation mode, on `device`.
        recording: the dialogue; its audio is at the network's sample rate.
        mono: also run each speaker's channel alone; the other channel is digital silence.
        device: torch device.
    Raises:
        DialogueError: the audio is shorter than a frame.
    """

    def predict(audio: Samples) -> DialoguePrediction:
        return DialoguePrediction.from_outputs(
            dialogue_outputs(model, audio, recording.id, device=device),
            model.config.frame_rate_hz,
            recording.activity.shape[1],
        )

    def alone(speaker: int) -> DialoguePrediction:
        audio = np.zeros_like(recording.audio)
        audio[speaker] = recording.audio[speaker]
        return predict(audio)

    return EvaluatedDialogue(
        recording.id,
        recording.activity,
        recording.backchannel,
        predict(recording.audio),
        (alone(0), alone(1)) if mono else (),
    )
