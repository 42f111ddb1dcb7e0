"""Shared fixtures: a tiny random network and its exported graph."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from turnstream.export.onnx_graph import build
from turnstream.models.config import EncoderConfig, FeatureConfig, ModelConfig, RecurrentConfig, StackConfig
from turnstream.models.turn_model import TurnModel

TINY = ModelConfig(
    features=FeatureConfig(mel_bins=16),
    encoder=EncoderConfig(channels=8, out_channels=8, stacks=(StackConfig((3, 2), (1, 3)),)),
    speaker_rnn=RecurrentConfig("gru", 12),
    dialogue_rnn=RecurrentConfig("gru", 10),
)


@pytest.fixture(scope="session")
def tiny_model() -> TurnModel:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = TurnModel(TINY)
        for parameter in model.parameters():  # larger than the usual initial weights, so that outputs really depend on the input
            parameter.data.mul_(2)
    return model.eval()


@pytest.fixture(scope="session")
def tiny_model_path(tiny_model: TurnModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    path.write_bytes(build(tiny_model, "pcm", "tiny", "0"))
    return path
