"""Fixtures: a server with the tiny model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.service.server import Server

from .serving import quick_limits
from .talkative import talkative_model


@pytest.fixture(scope="module")
def engine(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(
        talkative_model(tiny_model_path, tmp_path_factory.mktemp("talkative") / "model.onnx")
    )


@pytest.fixture
async def server(engine: Engine) -> AsyncIterator[Server]:
    async with Server(engine, port=0, limits=quick_limits()) as running:
        yield running
