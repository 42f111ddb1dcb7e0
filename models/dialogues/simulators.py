"""Simulation in other processes: each opens the data once, when it simulates for the first time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..work import HERE, Workers
from .simulation import SimulatedDialogue, SimulationData, open_simulation_data, simulate


@dataclass(frozen=True)
class SimulationSource:
    """Names the data to simulate from; small enough to send with every task.

    Attributes:
        folder, cache, split, synthetic, completeness: see `open_simulation_data`.
    """

    folder: Path
    cache: Path
    split: str = "train"
    synthetic: bool = True
    completeness: Path | None = None

    def open(self, workers: Workers = HERE) -> SimulationData:
        """Open the data. What it decodes and synthesises, other processes find in the cache.

        Raises:
            DialogueError, MissingExtraError: see `open_simulation_data`.
        """
        return open_simulation_data(
            self.folder, self.cache, self.split, workers, self.synthetic, self.completeness
        )


@lru_cache(maxsize=1)
def _opened(source: SimulationSource) -> SimulationData:
    return source.open()


def simulate_here(
    source: SimulationSource, seed: int, index: int, lengths_s: tuple[float, float]
) -> SimulatedDialogue:
    """Return a dialogue as `simulate` does; the process keeps the data for the next one."""
    return simulate(_opened(source), seed, index, lengths_s)
