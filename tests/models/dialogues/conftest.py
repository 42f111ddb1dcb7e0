"""Data for the simulator, opened once."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnstream.models.dialogues.simulation import Material, open_material


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def material(material_folder: Path, cache_folder: Path) -> Material:
    return open_material(material_folder, cache_folder, "train", synthetic=False)
