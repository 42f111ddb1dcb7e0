"""The loss of each head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..dialogues.labels import FrameLabels
from ..projection import UNKNOWN
from ..turn_model import TurnOutput
from .settings import LossWeights


@dataclass(frozen=True)
class TargetBatch:
    """Labels per frame of B conversations; dialogues/labels.py describes them."""

    vad: Tensor  # (B, 2, T) float
    projection: Tensor  # (B, T) int64
    next_second: Tensor  # (B, T) float
    next_weight: Tensor  # (B, T) float
    backchannel: Tensor  # (B, 2, T) float
    completeness: Tensor  # (B, 2, T) float, NaN where unknown

    @classmethod
    def of(cls, labels: Sequence[FrameLabels]) -> TargetBatch:
        """Return the labels of B conversations of T frames each as one batch, on the CPU."""
        stacked = {
            name: torch.from_numpy(np.stack([getattr(one, name) for one in labels]))
            for name in (field.name for field in fields(cls))
        }
        return cls(
            **{
                name: tensor.float() if tensor.dtype == torch.bool else tensor
                for name, tensor in stacked.items()
            }
        )

    def to(self, device: torch.device | str) -> TargetBatch:
        """Return the batch on a device."""
        return TargetBatch(*(tensor.to(device) for tensor in vars(self).values()))


def head_losses(output: TurnOutput, target: TargetBatch) -> dict[str, Tensor]:
    """Return the mean loss of each head in nats, as scalars by name.

    A head without known labels has loss 0.
    """
    known = target.projection != UNKNOWN
    projection = F.cross_entropy(
        output.projection[:, 0].flatten(0, 1),
        target.projection.flatten(),
        ignore_index=UNKNOWN,
        reduction="sum",
    )
    next_loss = F.binary_cross_entropy_with_logits(
        output.next[:, 1], target.next_second, weight=target.next_weight, reduction="sum"
    )
    judged = ~target.completeness.isnan()
    completeness = F.binary_cross_entropy_with_logits(
        output.completeness,
        target.completeness.nan_to_num(),
        weight=judged.float(),
        reduction="sum",
    )
    return {
        "vad": F.binary_cross_entropy_with_logits(output.vad, target.vad),
        "projection": projection / known.sum().clamp(min=1),
        "next_holder": next_loss / target.next_weight.sum().clamp(min=1),
        "backchannel": F.binary_cross_entropy_with_logits(output.backchannel, target.backchannel),
        "completeness": completeness / judged.sum().clamp(min=1),
    }


def total_loss(losses: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """Return the weighted sum of the losses, a scalar."""
    return torch.stack([getattr(weights, name) * loss for name, loss in losses.items()]).sum()
