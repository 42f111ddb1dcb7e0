"""The grid of networks to compare; needs no torch.

Each row of a grid is a network or a way to train it, and names the row that it is compared with.
A grid is a JSON file:

    about            the purpose of the grid
    budget           training settings of every row (training/settings.py)
    pretraining      settings of every pre-training (pretraining/settings.py), without the
                     method and the encoder
    seeds            seeds of the networks and of the order of their data
    rows             each with a name, and any of
        question     the question that the row answers
        against      name of the row that it is compared with (default: the first)
        settings     settings that differ from the budget, nested as there
        pretraining  method by which its encoder is pre-trained
        hours        labelled dialogue that it may learn from, in hours (default: all)
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...stream.errors import ConfigError, DialogueError
from ..config import from_plain
from ..dialogues.loading import duration_s
from ..dialogues.manifest import Dialogue
from ..pretraining.settings import METHODS, PretrainingSettings
from ..training.settings import TrainingSettings

BUNDLED = ("encoders", "recurrent")

Plain = dict[str, Any]


def find_grid(name: str) -> Path:
    """Return the path of a grid.

    Args:
        name: one of BUNDLED, or the path of a file. "encoders" compares encoders, read-outs and
            ways to train; "recurrent" compares RNN, GRU and LSTM of the same size.
    """
    if name in BUNDLED:
        return Path(str(files("turnstream.models.comparison") / f"{name}.json"))
    return Path(name)


@dataclass(frozen=True)
class Row:
    """One row of a grid; the module docstring describes the fields."""

    name: str
    question: str = ""
    against: str = ""
    settings: Plain = field(default_factory=dict[str, Any])
    pretraining: str = ""
    hours: float = 0.0

    @property
    def folder(self) -> str:
        """Name of the folder of its runs."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")


@dataclass(frozen=True)
class Grid:
    """A grid; the module docstring describes the fields."""

    about: str
    budget: Plain
    pretraining: Plain
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]

    def training_settings(
        self, row: Row, seed: int, encoder: Path | None = None
    ) -> TrainingSettings:
        """Return the settings of one network; `encoder` is the checkpoint of its pre-training."""
        plain = merged(self.budget, row.settings) | {"seed": seed}
        return from_plain(
            TrainingSettings,
            plain | ({"encoder": str(encoder)} if encoder else {}),
            f"row {row.name!r}",
        )

    def pretraining_settings(self, row: Row, seed: int) -> PretrainingSettings:
        """Return the settings of the pre-training of a row that has one."""
        model = merged(self.budget, row.settings).get("model", {})
        plain = (
            self.pretraining
            | {"method": row.pretraining, "seed": seed}
            | {name: model[name] for name in ("features", "encoder") if name in model}
        )
        return from_plain(PretrainingSettings, plain, f"pretraining of row {row.name!r}")

    def with_references(self, rows: Sequence[Row]) -> list[Row]:
        """Add the rows that `rows` are compared with, directly or indirectly.

        The result is in the order of the grid.
        """
        wanted = [row.name for row in rows]
        for name in wanted:  # the list grows during the loop
            other = self.reference(next(row for row in self.rows if row.name == name))
            if other is not None and other.name not in wanted:
                wanted.append(other.name)
        return [row for row in self.rows if row.name in wanted]

    def reference(self, row: Row) -> Row | None:
        """Return the row that it is compared with; None for the first row of the grid."""
        if row is self.rows[0]:
            return None
        return next(
            other for other in self.rows if other.name == (row.against or self.rows[0].name)
        )


def read_grid(path: Path) -> Grid:
    """Read a grid, and check every row of it.

    Raises:
        ConfigError: the file cannot be read; a field is unknown; two rows share a name; a row is
            compared with a missing row; or settings are not valid.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(Row(**row) for row in plain.pop("rows"))
        grid = Grid(**{"about": "", "pretraining": {}, "seeds": [0]} | plain, rows=rows)
        if not all(isinstance(seed, int) for seed in grid.seeds):
            raise TypeError(f"seeds {grid.seeds}")
        folders = [row.folder for row in rows]
        names = [row.name for row in rows]
    except (OSError, json.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{path}: expected a grid of networks to compare, in JSON: {error}"
        ) from None
    if not rows or not grid.seeds:
        raise ConfigError(
            f"{path}: expected at least one row and one seed, got {len(rows)} and {len(grid.seeds)}"
        )
    if len(set(folders)) < len(folders):
        raise ConfigError(f"{path}: expected another name for every row, got {', '.join(names)}")
    for row in rows:
        if row.against and row.against not in names:
            raise ConfigError(
                f"{path}: row {row.name!r}: expected to be compared with one of "
                f"{', '.join(names)}, got {row.against!r}"
            )
        if row.pretraining and row.pretraining not in METHODS:
            raise ConfigError(
                f"{path}: row {row.name!r}: expected pretraining to be one of "
                f"{', '.join(METHODS)}, got {row.pretraining!r}"
            )
        if row.pretraining:
            grid.pretraining_settings(row, grid.seeds[0])
        grid.training_settings(row, grid.seeds[0], Path("an encoder") if row.pretraining else None)
    return grid


def merged(base: Plain, change: Plain) -> Plain:
    """Return `base` with the values of `change`; objects are merged recursively."""
    both = {
        name: merged(base[name], value)
        if isinstance(value, dict) and isinstance(base.get(name), dict)
        else value
        for name, value in change.items()
    }
    return base | both


def first_hours(dialogues: Sequence[Dialogue], hours: float) -> list[Dialogue]:
    """Return the first dialogues that together last `hours`; 0 returns all of them.

    Raises:
        DialogueError: all dialogues together are shorter.
    """
    if not hours:
        return list(dialogues)
    chosen: list[Dialogue] = []
    seconds = 0.0
    for dialogue in dialogues:
        if seconds >= 3600 * hours:
            break
        chosen.append(dialogue)
        seconds += duration_s(dialogue)
    if seconds < 3600 * hours:
        raise DialogueError(
            f"expected {hours:g} h of dialogue to train on, got {seconds / 3600:.1f} h"
        )
    return chosen
