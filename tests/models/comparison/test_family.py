"""Every network of the bundled grid streams exactly, and its parts can be exported.

The tests keep each network's structure and reduce its widths.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from turnstream.export.onnx_graph import build
from turnstream.export.step_input import PCM
from turnstream.export.verify import TOLERANCE, verify
from turnstream.models.comparison.grid import bundled_grid, read_grid
from turnstream.models.config import FeatureConfig, ModelConfig
from turnstream.models.receptive_field import receptive_field

from ...networks import (
    chunk_sizes,
    conversation_in_chunks,
    largest_difference,
    random_audio,
    random_model,
    whole_conversation,
)

GRID = read_grid(bundled_grid())


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
# An export takes seconds. These have a part that no network in tests/export has.
EXPORTED = (
    "2-D",
    "stride 2",
    "three recurrent layers",
    "two stacks, concatenated at every layer",
)


@pytest.mark.parametrize("config", MEMBERS, ids=MEMBERS.values())
def test_any_chunks_equal_the_whole(config: ModelConfig) -> None:
    model = random_model(config)
    steps = 40
    audio = random_audio(config, batch=2, steps=steps)
    whole = whole_conversation(model, audio)
    for sizes in chunk_sizes(steps, longest=receptive_field(config.encoder).size).values():
        assert largest_difference(conversation_in_chunks(model, audio, sizes), whole) <= 1e-5


@pytest.mark.parametrize("name", EXPORTED)
def test_the_exported_step_equals_the_network(name: str) -> None:
    (config,) = (config for config, member in MEMBERS.items() if member == name)
    model = random_model(config)
    assert verify(build(model, PCM, "member", "1"), model, PCM).whole_against_frames <= TOLERANCE
