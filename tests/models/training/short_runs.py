"""The settings of a run of six steps, and what such a run leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from turnstream.models.training.settings import TrainingSettings

from ...networks import TINY

SETTINGS = TrainingSettings(
    steps=6,
    batch_rows=2,
    chunk_s=2.0,
    warmup_steps=2,
    validate_every=3,
    average_decay=0.5,
    model=TINY,
    seed=3,
)


def checkpoint(out: Path) -> dict[str, Any]:
    return torch.load(out / "checkpoint.pt", weights_only=True)


def assert_same(a: object, b: object) -> None:
    """Compare nested dicts and lists of tensors and numbers, bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b
