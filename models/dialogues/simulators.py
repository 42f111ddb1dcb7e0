"""Processes that simulate dialogues. Each reads the data once, when it starts."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .simulation import SimulatedDialogue, SimulationData, open_simulation_data, simulate

_data: SimulationData | None = None  # of this process


class Simulators:
    """Processes that simulate dialogues from the same data.

    Args:
        folder, cache, split, synthetic, completeness: the data, see `open_simulation_data`.
        processes: number of processes, at least one.
    Attributes:
        speakers: number of speakers in the data.
        executor: the processes; the caller shuts them down. `simulate_here` runs in them.
    Raises:
        DialogueError, MissingExtraError: see `open_simulation_data`.
    """

    def __init__(
        self,
        folder: Path,
        cache: Path,
        split: str,
        processes: int,
        synthetic: bool,
        completeness: Path | None,
    ) -> None:
        arguments = (folder, cache, split, processes, synthetic, completeness)
        # This decodes and synthesises once; the processes then find the result in the cache.
        self.speakers = open_simulation_data(*arguments).cast.speakers
        # Not multiprocessing.Pool: it waits for ever when a process cannot start.
        self.executor = ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), _open, arguments
        )


def simulate_here(seed: int, index: int, lengths_s: tuple[float, float]) -> SimulatedDialogue:
    """Return a dialogue as `simulate` does; only for the processes of `Simulators`."""
    assert _data is not None
    return simulate(_data, seed, index, lengths_s)


def _open(
    folder: Path, cache: Path, split: str, jobs: int, synthetic: bool, completeness: Path | None
) -> None:
    global _data  # noqa: PLW0603
    _data = open_simulation_data(folder, cache, split, jobs, synthetic, completeness)
