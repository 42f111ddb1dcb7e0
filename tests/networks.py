"""Shared by the tests of the network.

It has small and very different configurations, random weights, and functions to run in chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from turnstream.models.config import (
    EncoderConfig,
    FeatureConfig,
    ModelConfig,
    RecurrentConfig,
    StackConfig,
)
from turnstream.models.state import ShapeTree
from turnstream.models.turn_model import TurnModel, TurnOutput

TINY = ModelConfig(
    features=FeatureConfig(mel_bins=16),
    encoder=EncoderConfig(channels=8, out_channels=8, stacks=(StackConfig((3, 2), (1, 3)),)),
    speaker_rnn=RecurrentConfig("gru", 12),
    dialogue_rnn=RecurrentConfig("gru", 10),
)

CONFIGS = {
    "tiny": TINY,
    "lstm_2d_gated_stride_concat": ModelConfig(
        features=FeatureConfig(mel_bins=16),
        encoder=EncoderConfig(
            channels=6,
            out_channels=8,
            dims=2,
            block="gated",
            stride=2,
            combine="concat",
            stacks=(StackConfig((2,), (1,)), StackConfig((2,), (3,))),
        ),
        speaker_rnn=RecurrentConfig("lstm", 8, layers=2),
        dialogue_rnn=RecurrentConfig("lstm", 7),
    ),
    "plain_rnn_joined_at_layers_stride_3_odd_window": ModelConfig(
        features=FeatureConfig(mel_bins=16, window_samples=800),
        encoder=EncoderConfig(
            channels=8,
            out_channels=8,
            stride=3,
            block="plain",
            activation="tanh",
            combine="concat",
            combine_at="layer",
            stacks=(StackConfig((2, 2), (1, 3)), StackConfig((2, 1), (2, 1))),
        ),
        speaker_rnn=RecurrentConfig("none", 8),
        dialogue_rnn=RecurrentConfig("rnn", 7, layers=2),
    ),
}


def random_model(config: ModelConfig, seed: int = 7) -> TurnModel:
    """Return a network in evaluation mode whose outputs really depend on its input.

    Weights are twice their usual size. Plain RNNs keep theirs: they would become chaotic, and
    rounding errors would grow with every frame.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = TurnModel(config)
    for name, parameter in model.named_parameters():
        if not ("_rnn" in name and "rnn" in (config.speaker_rnn.kind, config.dialogue_rnn.kind)):
            parameter.data.mul_(2)
    return model.eval()


def random_audio(config: ModelConfig, batch: int, steps: int, seed: int = 0) -> Tensor:
    """Bursts of noise and silence on both channels, (batch, 2, N)."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.random((batch, 2, steps)) < 0.7, config.frame_samples, axis=2)
    return torch.from_numpy((0.2 * rng.standard_normal(loud.shape) * loud).astype(np.float32))


def zero_state(shapes: ShapeTree, batch: int) -> Any:
    """Return the state of a layer at the start of a sequence."""
    if isinstance(shapes, dict):
        return {name: zero_state(child, batch) for name, child in shapes.items()}
    return torch.zeros(batch, *shapes)


def chunk_sizes(total: int, longest: int, seed: int = 0) -> dict[str, list[int]]:
    """Return ways to cut a sequence of a length.

    They are one by one, an odd size, longer than `longest` (a window), and random sizes.
    """
    rng = np.random.default_rng(seed)
    return {
        "one by one": [1] * total,
        "odd": _cut(total, lambda: 3),
        "longer than the window": _cut(total, lambda: longest + 1),
        "random": _cut(total, lambda: int(rng.integers(1, longest + 3))),
    }


def _cut(total: int, draw: Callable[[], int]) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(min(draw(), total - sum(sizes)))
    return sizes


def in_chunks(
    layer: Any,
    x: Tensor,
    state: Any,
    sizes: Sequence[int],
    stride: int = 1,
    forget: Callable[[Any], Any] = lambda state: state,
) -> Tensor:
    """Run a layer over x, (B, T, ...), in chunks with the given numbers of output steps.

    `forget` may change the state between chunks.
    """
    outputs: list[Tensor] = []
    with torch.inference_mode():
        for piece in torch.split(x, [size * stride for size in sizes], dim=1):
            y, state = layer(piece, state)
            state = forget(state)
            outputs.append(y)
    return torch.cat(outputs, dim=1)


def conversation_in_chunks(
    model: TurnModel,
    audio: Tensor,
    sizes: Sequence[int],
    forget: Callable[[Tensor], Tensor] = lambda state: state,
) -> TurnOutput:
    """The same for the whole network and audio (B, 2, N)."""
    outputs: list[TurnOutput] = []
    state = model.init_state(audio.shape[0])
    with torch.inference_mode():
        for piece in torch.split(
            audio, [size * model.config.frame_samples for size in sizes], dim=2
        ):
            output, state = model(piece, state)
            state = forget(state)
            outputs.append(output)
    return TurnOutput(*(torch.cat(parts, dim=2) for parts in zip(*outputs, strict=True)))


def whole_conversation(model: TurnModel, audio: Tensor) -> TurnOutput:
    """Run the network over audio, (B, 2, N), in one pass."""
    with torch.inference_mode():
        return model(audio, model.init_state(audio.shape[0]))[0]


def largest_difference(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """Return the largest absolute difference over all pairs of tensors."""
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True))
