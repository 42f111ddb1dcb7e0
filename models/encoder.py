"""The causal convolutional encoder: a first layer, parallel stacks of blocks, an output layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .config import EncoderConfig
from .layers import ACTIVATIONS, BLOCKS, CausalConv1d, CausalConv2d
from .state import ShapeTree


class Encoder(nn.Module):
    """Encodes log-mel frames, causally at any depth.

    With combine_at "end", every stack runs on its own, and their outputs are joined once. With
    "layer", the stacks are joined after every block, and each stack continues with the joined
    output. If this joins by "concat", a linear layer reduces the result to the width of a block.

    Args of forward:
        x: log-mel frames (B, T, mel_bins), T a multiple of the configured stride.
        state: nested dict of caches, as `state_shapes` describes them.
    Returns:
        encoded frames (B, T / stride, out_channels) and the next state.
    """

    def __init__(self, config: EncoderConfig, mel_bins: int) -> None:
        super().__init__()
        self.config = config
        self.activation = ACTIVATIONS[config.activation]
        bins = 1
        if config.dims == 1:
            self.first = CausalConv1d(
                mel_bins, config.channels, config.first_kernel, stride=config.stride
            )
        else:
            self.first = CausalConv2d(
                1,
                config.channels,
                config.first_kernel,
                config.freq_kernel,
                mel_bins,
                stride=config.stride,
                freq_stride=config.freq_stride,
            )
            bins = self.first.out_bins

        def conv(
            inputs: int, outputs: int, kernel_size: int, dilation: int
        ) -> CausalConv1d | CausalConv2d:
            if config.dims == 1:
                return CausalConv1d(inputs, outputs, kernel_size, dilation)
            return CausalConv2d(inputs, outputs, kernel_size, config.freq_kernel, bins, dilation)

        block = BLOCKS[config.block]
        self.stacks = nn.ModuleList(
            nn.ModuleList(
                block(conv, config.channels, k, d, config.activation)
                for k, d in zip(stack.kernel_sizes, stack.dilations, strict=True)
            )
            for stack in config.stacks
        )
        joined = config.channels
        if config.combine == "concat" and len(config.stacks) > 1:
            if config.combine_at == "layer":
                depth = len(config.stacks[0].kernel_sizes)
                self.joins = nn.ModuleList(
                    nn.Linear(config.channels * len(config.stacks), config.channels)
                    for _ in range(depth)
                )
            else:
                joined *= len(config.stacks)
        self.output = nn.Linear(joined * bins, config.out_channels)

    def state_shapes(self) -> ShapeTree:
        shapes: dict[str, Any] = {"first": self.first.state_shapes()}
        stacks: Any = self.stacks
        for s, stack in enumerate(stacks):
            shapes[f"stack{s}"] = {f"block{b}": one.state_shapes() for b, one in enumerate(stack)}
        return shapes

    def forward(self, x: Tensor, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        after: dict[str, Any] = {f"stack{s}": {} for s in range(len(self.stacks))}
        if self.config.dims == 2:
            x = x.unsqueeze(-1)
        x, after["first"] = self.first(x, state["first"])
        x = self.activation(x)
        branches = [x] * len(self.stacks)
        depth = max(len(stack) for stack in self.stacks)  # pyright: ignore[reportArgumentType]
        for b in range(depth):
            for s, stack in enumerate(self.stacks):
                if b < len(stack):  # pyright: ignore[reportArgumentType]
                    block: Any = stack[b]  # pyright: ignore[reportIndexIssue]
                    before = state[f"stack{s}"][f"block{b}"]
                    branches[s], after[f"stack{s}"][f"block{b}"] = block(branches[s], before)
            if self.config.combine_at == "layer" and b < depth - 1:
                branches = [self._join(branches, b)] * len(branches)
        y = self._join(branches, depth - 1).flatten(2)  # (B, T', channels) or (B, T', F * channels)
        return self.activation(self.output(y)), after

    def _join(self, branches: list[Tensor], layer: int) -> Tensor:
        if len(branches) == 1:
            return branches[0]
        if self.config.combine == "add":
            return torch.stack(branches).sum(dim=0)
        joined = torch.cat(branches, dim=-1)
        return self.joins[layer](joined) if self.config.combine_at == "layer" else joined
