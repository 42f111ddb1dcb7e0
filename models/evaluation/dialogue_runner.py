"""Run whole dialogues through a network in blocks, so that memory does not grow with length."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..dialogues.activity import Samples
from ..turn_model import TurnModel, TurnOutput, TurnProbabilities

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
