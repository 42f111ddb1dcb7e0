"""Networks with known figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.comparison.grid import Grid, read_grid
from turnstream.models.comparison.runs import Measured

DIALOGUES, EVENTS, HELD_OUT = 12, 30, 9
COSTS = {"base": 90.0, "other": 101.0, "third": 120.0}
ROWS = [
    {"name": "base"},
    {"name": "other", "question": "Is the other better?"},
    {"name": "third", "question": "And this?", "against": "other"},
]


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    (tmp_path / "grid.json").write_text(
        json.dumps(
            {"about": "To see <what> is said.", "budget": {}, "seeds": [0, 1, 2], "rows": ROWS}
        )
    )
    return read_grid(tmp_path / "grid.json")


def measured(row: str, seed: int, skill: float, loss: float) -> Measured:
    """Return a network whose AUC rises with `skill`, and all of whose losses rise with `loss`."""
    rng = np.random.default_rng(seed)
    shift = rng.random(DIALOGUES * EVENTS) < 0.5
    score = 1 / (1 + np.exp(-(skill * (shift - 0.5) + rng.normal(0, 1, len(shift)))))
    # Some dialogues are harder, for every network
    hard = np.random.default_rng(9).normal(0, 0.1, HELD_OUT)
    held_out = {"next_holder": (loss + hard).tolist(), "projection": (3 + loss + hard).tolist()}
    real = {
        "projection": (2 + loss + rng.normal(0, 0.1, DIALOGUES)).tolist(),
        "next_holder": (loss + rng.normal(0, 0.1, DIALOGUES)).tolist(),
    }
    dialogue = np.repeat(np.arange(DIALOGUES), EVENTS).tolist()
    speaker = rng.integers(0, 2, len(shift)).tolist()
    return Measured(
        row,
        seed,
        1000,
        0.5,
        5.3,
        4.0,
        0.0,
        held_out,
        real,
        dialogue,
        speaker,
        shift.tolist(),
        score.tolist(),
    )


def both(skill: float, loss: float, seeds: int = 3) -> list[Measured]:
    """Return three seeds of "base", and of "other", which has the given skill and loss."""
    return [measured("base", seed, 1.0, 0.6 + 0.01 * seed) for seed in range(3)] + [
        measured("other", seed, skill, loss + 0.01 * seed) for seed in range(seeds)
    ]
