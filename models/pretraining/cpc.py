"""Contrastive predictive coding: a recurrent context says what the encoder's output will be, and must tell it from other moments.

For each step ahead k a linear map of the context is compared (inner product) with the encoder's output k steps later and with that of other moments,
of the same speaker and of others; the loss is the cross-entropy of finding the right one (InfoNCE). What it stays below chance by, the logarithm of
one more than the negatives, is a lower bound of the mutual information of context and future where all negatives are of others, independent of the
context; with negatives of the same speaker, who is heard nearby, it may be more.

Source: van den Oord, Li, Vinyals 2018.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import RecurrentConfig
from ..recurrent import Recurrent
from ..state import ShapeTree
from .objectives import Judged
from .settings import PretrainingSettings


class CPC(nn.Module):
    """The encoder's output, predicted from a context.

    Args of forward:
        encoded: (R, T, out_channels).
        mel: not looked at.
        state: of the context.
    """

    def __init__(self, settings: PretrainingSettings) -> None:
        super().__init__()
        self.settings = settings
        channels, hidden = settings.encoder.out_channels, settings.context_hidden
        self.context = Recurrent(RecurrentConfig("gru", hidden), channels)
        self.ahead = nn.ModuleList(nn.Linear(hidden, channels) for _ in settings.ahead)

    def state_shapes(self) -> ShapeTree:
        return {"context": self.context.state_shapes()}

    def forward(self, encoded: Tensor, mel: Tensor, state: dict[str, Any]) -> Judged:
        context, after = self.context(encoded, state["context"])
        others, moments = self._draw(encoded)
        losses, correct = [], []
        for k, ahead in zip(self.settings.ahead, self.ahead, strict=True):
            guess, right = ahead(context[:, :-k]), encoded[:, k:]
            score = (guess * right).sum(dim=-1, keepdim=True)  # (R, T - k, 1)
            against = torch.einsum("rtc,rnc->rtn", guess, others)
            when = torch.arange(k, encoded.shape[1], device=encoded.device)
            against = against.masked_fill(
                moments[:, None, :] == when[None, :, None], -math.inf
            )  # the right one itself is no negative
            scores = torch.cat([score, against], dim=-1)
            losses.append(
                F.cross_entropy(
                    scores.flatten(0, 1),
                    scores.new_zeros(scores.shape[0] * scores.shape[1], dtype=torch.long),
                )
            )
            correct.append(
                (score > against.amax(dim=-1, keepdim=True)).float().mean()
            )  # of equals none is found
        loss = torch.stack(losses).mean()
        measures = {
            "info_nce": loss,
            "below_chance": math.log(1 + others.shape[1]) - loss,
            "accuracy": torch.stack(correct).mean(),
        }
        measures |= {
            f"accuracy_{k}": value for k, value in zip(self.settings.ahead, correct, strict=True)
        }
        return Judged(
            loss,
            {name: value.detach() for name, value in measures.items()},
            {},
            None,
            {"context": after},
        )

    def _draw(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Negatives of each row, (R, N, C), and the moments of those that are its own, (R, N), -1 for others'."""
        rows, steps, _ = encoded.shape
        device, within = encoded.device, self.settings.negatives_within
        across = self.settings.negatives_across if rows > 1 else 0
        own = torch.randint(steps, (rows, within), device=device)
        whose = (
            torch.arange(rows, device=device)[:, None]
            + torch.randint(1, max(rows, 2), (rows, across), device=device)
        ) % rows
        theirs = torch.randint(steps, (rows, across), device=device)
        negatives = torch.cat(
            [encoded[torch.arange(rows, device=device)[:, None], own], encoded[whose, theirs]],
            dim=1,
        )
        return negatives, torch.cat([own, torch.full_like(theirs, -1)], dim=1)
