"""Every network of the grid of encoders streams exactly, and its parts can be exported.

The tests keep each network's structure and reduce its widths.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from turnstream.export.onnx_graph import build
from turnstream.export.step_input import PCM
from turnstream.export.verify import TOLERANCE, verify
from turnstream.models.comparison.grid import find_grid, read_grid
from turnstream.models.config import FeatureConfig, ModelConfig
from turnstream.models.receptive_field import receptive_field
from turnstream.models.turn_model import TurnModel

from ...networks import (
    chunk_sizes,
    conversation_in_chunks,
    largest_difference,
    random_audio,
    random_model,
    whole_conversation,
)

GRID = read_grid(find_grid("encoders"))


def small(model: ModelConfig) -> ModelConfig:
    """Return the same network with few channels, bands and units."""
    return dataclasses.replace(
        model,
        features=FeatureConfig(mel_bins=16),
        encoder=dataclasses.replace(model.encoder, channels=6, out_channels=8),
        speaker_rnn=dataclasses.replace(model.speaker_rnn, hidden=8),
        dialogue_rnn=dataclasses.replace(model.dialogue_rnn, hidden=7),
    )


MEMBERS = {
    small(GRID.training_settings(row, 0, Path("x") if row.pretraining else None).model): row.name
    for row in reversed(GRID.rows)
}
# An export takes seconds. These two have all parts that no network in tests/export has.
_2_D, _STRIDE, _LAYERS, _STACKS = (
    next(config for config, row in MEMBERS.items() if row == name)
    for name in (
        "2-D",
        "stride 2",
        "three recurrent layers",
        "two stacks, concatenated at every layer",
    )
)
EXPORTED = {
    "2-D": _2_D,
    "stride 2, three recurrent layers, two stacks, concatenated at every layer": ModelConfig(
        _LAYERS.features,
        dataclasses.replace(_STACKS.encoder, stride=_STRIDE.encoder.stride),
        _LAYERS.speaker_rnn,
        _LAYERS.dialogue_rnn,
    ),
}


@pytest.mark.parametrize("config", MEMBERS, ids=MEMBERS.values())
def test_any_chunks_equal_the_whole(config: ModelConfig) -> None:
    model = random_model(config)
    steps = 40
    audio = random_audio(config, batch=2, steps=steps)
    whole = whole_conversation(model, audio)
    for sizes in chunk_sizes(steps, longest=receptive_field(config.encoder).size).values():
        assert largest_difference(conversation_in_chunks(model, audio, sizes), whole) <= 1e-5


@pytest.mark.parametrize("config", EXPORTED.values(), ids=EXPORTED)
def test_the_exported_step_equals_the_network(config: ModelConfig) -> None:
    model = random_model(config)
    assert verify(build(model, PCM, "member", "1"), model, PCM).whole_against_frames <= TOLERANCE


def test_all_networks_of_the_recurrent_grid_have_the_same_size() -> None:
    grid = read_grid(find_grid("recurrent"))
    models = [grid.training_settings(row, 0).model for row in grid.rows]
    assert {(one.speaker_rnn.kind, one.speaker_rnn.layers) for one in models} == {
        (kind, layers) for kind in ("rnn", "gru", "lstm") for layers in (1, 2)
    }
    sizes = [sum(p.numel() for p in TurnModel(model).parameters()) for model in models]
    assert max(sizes) <= 1.01 * min(sizes)
    for model in models:
        assert (model.encoder, model.features) == (models[0].encoder, models[0].features)
        recurrent = [
            (layer.kind, layer.layers) for layer in (model.speaker_rnn, model.dialogue_rnn)
        ]
        assert recurrent[0] == recurrent[1]
