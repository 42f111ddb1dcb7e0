"""Fixtures: a tiny model that hears turns, a server with it, pause models, a recording."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import soundfile

from turnstream.stream import pause_model
from turnstream.stream.engine import Engine
from turnstream.stream.service.server import Server

from .pauses import RecordingPauseModel, tiny_pause_model
from .serving import dialogue, quick_limits
from .talkative import talkative_model


@pytest.fixture(scope="session")
def talkative_path(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talkative_model(tiny_model_path, tmp_path_factory.mktemp("talkative") / "model.onnx")


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of `dialogue(4.0, seed=1)`."""
    path = tmp_path_factory.mktemp("audio") / "call.wav"
    soundfile.write(path, dialogue(4.0, seed=1), 16000)
    return path


@pytest.fixture
def loaded_pause_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[RecordingPauseModel]:
    """The pause models that a command loads: tiny ones, which keep what they are asked."""
    loaded: list[RecordingPauseModel] = []

    def load() -> RecordingPauseModel:
        loaded.append(RecordingPauseModel(tiny_pause_model(tmp_path)))
        return loaded[-1]

    monkeypatch.setattr(pause_model, "shared_pause_model", load)
    return loaded


@pytest.fixture(scope="module")
def engine(talkative_path: Path) -> Engine:
    return Engine(talkative_path)


@pytest.fixture
async def server(engine: Engine) -> AsyncIterator[Server]:
    async with Server(engine, port=0, limits=quick_limits()) as running:
        yield running
