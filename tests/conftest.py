"""Shared fixtures: random networks, their exported graphs, one fixed profile for property tests."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import settings

from turnstream.cli import main
from turnstream.export import onnx_graph
from turnstream.export.flatten import flatten
from turnstream.export.step_input import PCM, StepInput
from turnstream.models.turn_model import TurnModel

from .networks import CONFIGS, random_model
from .readme_blocks import ROOT
from .recordings import write_simulation_data
from .web.chromium import find_chromium, running_browser

# The networks are tiny, and pytest-xdist gives each core a process: one thread each
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start

# Property tests use the same examples in every run
settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.load_profile("fixed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no process is left alone with them at the end."""
    items.sort(key=lambda item: not item.path.name.startswith("test_readme"))


@dataclass(frozen=True)
class Exported:
    """A network, its graph, and its graph before flattening."""

    model: TurnModel
    graph: bytes
    unflattened: bytes


def graph_sources() -> str:
    """Return a hash of what decides how a network's graph looks."""
    sources = [
        *sorted((ROOT / "models").rglob("*.py")),
        *sorted((ROOT / "export").rglob("*.py")),
        ROOT / "stream" / "contract.py",
        ROOT / "tests" / "networks.py",
    ]
    content = hashlib.sha256(b"".join(path.read_bytes() for path in sources))
    for package in ("torch", "onnx", "onnxscript"):
        content.update(version(package).encode())
    return content.hexdigest()[:16]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process after the other in."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def exported(pytestconfig: pytest.Config) -> Callable[[str, StepInput], Exported]:
    """Export a configuration by name. This takes seconds, so pytest's cache keeps the graphs."""
    folder = pytestconfig.cache.mkdir(f"graphs-{graph_sources()}")
    for outdated in set(folder.parent.glob("graphs-*")) - {folder}:
        rmtree(outdated, ignore_errors=True)

    @lru_cache
    def export(name: str, step_input: StepInput) -> Exported:
        model = random_model(CONFIGS[name])
        path = folder / f"{name}-{step_input.kind}.onnx"
        unflattened_path = path.with_suffix(".unflattened")

        def keep_then_flatten(proto: Any, inputs: Any) -> None:
            unflattened_path.write_bytes(proto.SerializeToString())
            flatten(proto, inputs)

        with locked(path.with_suffix(".lock")):
            if not path.exists():
                with patch.object(onnx_graph, "flatten", keep_then_flatten):
                    graph = onnx_graph.build(model, step_input, name, "0")
                finished = path.with_suffix(".finished")  # so that no half of it is ever read
                finished.write_bytes(graph)
                finished.replace(path)
        return Exported(model, path.read_bytes(), unflattened_path.read_bytes())

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


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must refuse what it gets; return its one line, after "error: "."""

    def refused(command: str, *words: object, code: int = 2) -> str:
        assert main([command, *map(str, words)]) == code
        (line,) = capsys.readouterr().err.splitlines()
        prefix = f"turnstream {command}: error: "
        assert line.startswith(prefix)
        return line.removeprefix(prefix)

    return refused


@pytest.fixture(scope="session")
def browser() -> Iterator[str]:
    """The address of a running Chromium; each `open_tab_of` it has its own cookies and storage."""
    if find_chromium() is None:
        pytest.skip("no chromium on the path: the page cannot be tried")
    with running_browser() as address:
        yield address
