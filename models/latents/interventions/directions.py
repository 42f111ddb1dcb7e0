"""Directions in a layer's states: of a unit, from a file, or of a linear probe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ....stream.errors import ConfigError
from ...evaluation.shift_hold import SCORE_S
from ..collection import Collection
from ..events.label_contrasts import find_cases
from ..events.probe_fits import LEAST, matched_weights, reach_of, read_states
from ..memory.held_out import fit_linear

if TYPE_CHECKING:
    from torch import Tensor


def unit_direction(unit: int, size: int) -> Tensor:
    """Return the direction of one unit, (H,).

    Raises:
        ConfigError: the layer has no such unit.
    """
    import torch

    if not 0 <= unit < size:
        raise ConfigError(f"expected a unit from 0 to {size - 1}, got {unit}")
    return torch.eye(size)[unit]


def read_direction(path: Path, size: int) -> Tensor:
    """Return the direction in a file: an array (.npy), or numbers in text, (H,).

    Raises:
        ConfigError: the file cannot be read, or does not hold `size` finite numbers.
    """
    import torch

    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            values = np.array(path.read_text(encoding="utf-8").replace(",", " ").split(), float)
        direction = np.asarray(values, np.float32).reshape(-1)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(
            f"{path}: expected a direction, an array (.npy) or numbers in text, got: {error}"
        ) from None
    if len(direction) != size or not np.isfinite(direction).all() or not direction.any():
        raise ConfigError(
            f"{path}: expected {size} finite numbers that are not all 0, got {len(direction)}"
        )
    return torch.from_numpy(direction)


def probe_direction(collection: Collection, layer: str, question: str) -> Tensor:
    """Return the direction in which a linear probe tells two classes of moments apart, (H,).

    It is the probe of probe_fits.py on the speaker's own states, fitted on all moments, SCORE_S
    into each silence or at its end.

    Args:
        collection: to fit on.
        layer: one of the collection's.
        question: a contrast of `turnstream latents probes`, or of a label of one's own.
    Raises:
        ConfigError: no such question, or too few moments of a class.
    """
    import torch

    cases = find_cases(collection, [question])[question]
    at_s = SCORE_S if question != "backchannel" else 0.0
    reach = reach_of(cases, [at_s], collection)
    there = reach.there[:, 0]
    cases = cases.only(there)
    if min(cases.counts()) < LEAST:
        first, second = cases.counts()
        raise ConfigError(
            f"expected at least {LEAST} moments of each class of {question}, got {first} and "
            f"{second}"
        )
    states = read_states(collection, cases.number, reach.steps[there])
    values = states.of(layer, np.arange(len(cases)), 0, cases.speaker)
    weights = matched_weights(cases.first, cases.number)
    probe = fit_linear(values, cases.first, 1 / values.shape[1], weights=weights)
    return torch.from_numpy(probe.direction.astype(np.float32))
