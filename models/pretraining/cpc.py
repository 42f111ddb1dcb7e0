"""Contrastive predictive coding (CPC): a recurrent context predicts the encoder's future output.

For each step ahead k, a linear map of the context is the prediction. It is compared, by inner
product, with the encoder's output k steps later and with negatives. Negatives are outputs at other
moments, of the same speaker and of other speakers. The loss (InfoNCE) is the cross-entropy of
choosing the right output.

With N negatives, the loss at chance level is log(1 + N). The right output is no negative of itself,
so N is smaller where it was drawn. The measure "below_chance" is the mean of this value over all
predictions, minus the loss. It is a lower bound of the mutual information between context and
future if all negatives come from other speakers, and so do not depend on the context. Negatives of
the same speaker come from moments nearby and do depend on it; then the measure may exceed the
mutual information.

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
    """Predicts the encoder's output from a context.

    Args of forward:
        encoded: output of the encoder, (R, T, out_channels).
        mel: not used.
        state: state of the context.
    Returns:
        Judged, without codes and reconstruction.
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
        losses, correct, chances = [], [], []
        for k, ahead in zip(self.settings.ahead, self.ahead, strict=True):
            guess, right = ahead(context[:, :-k]), encoded[:, k:]
            score = (guess * right).sum(dim=-1, keepdim=True)  # (R, T - k, 1)
            against = torch.einsum("rtc,rnc->rtn", guess, others)
            when = torch.arange(k, encoded.shape[1], device=encoded.device)
            # The right output is not a negative.
            same = moments[:, None, :] == when[None, :, None]
            against = against.masked_fill(same, -math.inf)
            chances.append((1 + (~same).sum(dim=-1)).float().log().mean())
            scores = torch.cat([score, against], dim=-1)
            losses.append(
                F.cross_entropy(
                    scores.flatten(0, 1),
                    scores.new_zeros(scores.shape[0] * scores.shape[1], dtype=torch.long),
                )
            )
            # A tie counts as wrong.
            correct.append((score > against.amax(dim=-1, keepdim=True)).float().mean())
        loss = torch.stack(losses).mean()
        measures = {
            "info_nce": loss,
            "below_chance": torch.stack(chances).mean() - loss,
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
        """Draw the negatives of each row.

        Returns:
            negatives (R, N, C), and the moments of those from the own row, (R, N), -1 for those of
            others.
        """
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
