"""Data for the simulator, opened once."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnstream.models.dialogues.simulation import SimulationData, open_simulation_data


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def data(data_folder: Path, cache_folder: Path) -> SimulationData:
    return open_simulation_data(data_folder, cache_folder, "train", synthetic=False)
