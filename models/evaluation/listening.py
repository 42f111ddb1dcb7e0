"""Whole dialogues through a network, block by block, so that memory does not grow with their length."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..dialogues.activity import Samples
from ..turn_model import TurnModel, TurnOutput, TurnProbabilities

BLOCK_S = 30.0  # of audio in one forward pass


def listen(
    model: TurnModel, audio: Samples, device: str = "cpu"
) -> Iterator[tuple[TurnOutput, TurnProbabilities]]:
    """What a network says and holds in mind of a dialogue, from its beginning; at each block's end its state is carried on.

    Args:
        model: in evaluation mode, on the device.
        audio: (2, N) at the network's rate; what is left of a step at the end is not heard.
        device: torch device.
    Yields:
        For every 30 s, outputs and probabilities of one conversation, (1, 2, T, ...).
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
