"""Shared fixtures: random networks, their exported graphs, one fixed profile for property tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings

from turnstream.export import onnx_graph
from turnstream.export.flatten import flatten
from turnstream.export.step_input import PCM, StepInput
from turnstream.models.turn_model import TurnModel

from .networks import CONFIGS, random_model
from .recordings import write_simulation_data

# Property tests use the same examples in every run
settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")


@dataclass(frozen=True)
class Exported:
    """A network, its graph, and its graph before flattening."""

    model: TurnModel
    graph: bytes
    unflattened: bytes


@pytest.fixture(scope="session")
def exported() -> Callable[[str, StepInput], Exported]:
    """Export a configuration by name, once per test run, because it takes seconds."""

    @lru_cache
    def export(name: str, step_input: StepInput) -> Exported:
        seen: list[bytes] = []

        def remember_then_flatten(proto: Any, inputs: Any) -> None:
            seen.append(proto.SerializeToString())
            flatten(proto, inputs)

        model = random_model(CONFIGS[name])
        with patch.object(onnx_graph, "flatten", remember_then_flatten):
            graph = onnx_graph.build(model, step_input, name, "0")
        return Exported(model, graph, seen[0])

    return export


@pytest.fixture(scope="session")
def tiny_model(exported: Callable[[str, StepInput], Exported]) -> TurnModel:
    return exported("tiny", PCM).model


@pytest.fixture(scope="session")
def tiny_model_path(
    exported: Callable[[str, StepInput], Exported], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    path.write_bytes(exported("tiny", PCM).graph)
    return path


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny folder of data for the simulation."""
    return write_simulation_data(tmp_path_factory.mktemp("data"))
