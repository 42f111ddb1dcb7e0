"""Recurrent layers with one interface: RNN, GRU, LSTM, or none (linear layers)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .config import RecurrentConfig
from .state import ShapeTree


class Recurrent(nn.Module):
    """One or more recurrent layers over frames.

    Args of forward:
        x: (B, T, inputs).
        state: {"h": (B, layers, H)} for rnn and gru, {"h", "c"} for lstm, {} for none.
    Returns:
        (B, T, H) and the next state.
    """

    def __init__(self, config: RecurrentConfig, inputs: int) -> None:
        super().__init__()
        self.config = config
        kinds: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
        if config.kind == "none":
            widths = [inputs, *[config.hidden] * config.layers]
            self.cell = nn.Sequential(
                *[nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]
            )
        else:
            self.cell = kinds[config.kind](inputs, config.hidden, config.layers, batch_first=True)

    def state_shapes(self) -> ShapeTree:
        names = {"rnn": "h", "gru": "h", "lstm": "hc", "none": ""}[self.config.kind]
        return dict.fromkeys(names, (self.config.layers, self.config.hidden))

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        if self.config.kind == "none":
            return self.cell(x), {}
        # torch expects (layers, B, H)
        before = {name: tensor.transpose(0, 1).contiguous() for name, tensor in state.items()}
        if self.config.kind == "lstm":
            y, (h, c) = self.cell(x, (before["h"], before["c"]))
            return y, {"h": h.transpose(0, 1), "c": c.transpose(0, 1)}
        y, h = self.cell(x, before["h"])
        return y, {"h": torch.transpose(h, 0, 1)}
