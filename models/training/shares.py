"""The mean loss over the labels of all processes, computed from each process's own mean.

A head's loss is a mean over its labelled frames, and processes may have different numbers of them.
Gradients are averaged over processes. So each process's mean is first scaled by its share of the
labels. The average is then the gradient that one process with the whole batch would have.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from ..projection import UNKNOWN
from .losses import TargetBatch


def label_counts(target: TargetBatch) -> dict[str, Tensor]:
    """Return the number of labels of each head, scalars by name.

    A head's mean loss divides by it, but at least by 1 (see losses.py).
    """
    return {
        "vad": target.vad.new_tensor(target.vad.numel()),
        "projection": (target.projection != UNKNOWN).sum(),
        "next_holder": target.next_weight.sum(),
        "backchannel": target.backchannel.new_tensor(target.backchannel.numel()),
        "completeness": (~target.completeness.isnan()).sum(),
    }


def scale_losses(
    fabric: Fabric, losses: dict[str, Tensor], target: TargetBatch
) -> dict[str, Tensor]:
    """Return losses whose average over the processes is the loss over all their labels."""
    if fabric.world_size == 1:
        return losses
    counts = label_counts(target)
    own = torch.stack([counts[name].float() for name in losses])
    everyone: Any = fabric.all_reduce(own.clone(), reduce_op="sum")
    shares = own.clamp(min=1) * fabric.world_size / everyone.clamp(min=1)
    return {name: share * losses[name] for name, share in zip(losses, shares, strict=True)}


def mean_over_processes(fabric: Fabric, losses: dict[str, Tensor]) -> dict[str, float]:
    """Return scaled losses, averaged over the processes, as numbers; all processes get the same."""
    together: Any = torch.stack(list(losses.values())).detach()
    if fabric.world_size > 1:
        together = fabric.all_reduce(together, reduce_op="mean")
    return dict(zip(losses, together.tolist(), strict=True))
