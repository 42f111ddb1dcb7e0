"""The mean loss over the labels of all processes, out of each process's own mean.

A head's loss is a mean over its labelled frames, and one process may have more of them than another. Gradients are averaged over
processes, so each process's mean is first scaled by its part of the labels; the average is then the gradient of one process with all lanes.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ..projection import UNKNOWN
from .losses import TargetBatch


def label_counts(target: TargetBatch) -> dict[str, Tensor]:
    """How much is labelled for each head, scalars by name: what its mean loss divides by (at least by 1, see losses.py)."""
    return {
        "vad": target.vad.new_tensor(target.vad.numel()),
        "projection": (target.projection != UNKNOWN).sum(),
        "next_holder": target.next_weight.sum(),
        "backchannel": target.backchannel.new_tensor(target.backchannel.numel()),
        "finality": (~target.finality.isnan()).sum(),
    }


def scale_losses(
    fabric: Fabric, losses: dict[str, Tensor], target: TargetBatch
) -> dict[str, Tensor]:
    """Losses whose average over the processes is the loss over all their labels."""
    if fabric.world_size == 1:
        return losses
    counts = label_counts(target)
    own = torch.stack([counts[name].float() for name in losses])
    everyone: Any = fabric.all_reduce(own.clone(), reduce_op="sum")
    shares = own.clamp(min=1) * fabric.world_size / everyone.clamp(min=1)
    return {name: share * losses[name] for name, share in zip(losses, shares, strict=True)}


def mean_over_processes(fabric: Fabric, losses: dict[str, Tensor]) -> dict[str, float]:
    """Scaled losses as numbers, the same in every process."""
    together: Any = torch.stack(list(losses.values())).detach()
    if fabric.world_size > 1:
        together = fabric.all_reduce(together, reduce_op="mean")
    return dict(zip(losses, together.tolist(), strict=True))
