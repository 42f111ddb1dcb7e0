"""The runtime's engine gives the same numbers as torch.

Negative controls show that the comparison notices a lost state.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.turn_model import TurnModel
from turnstream.stream.engine import Engine, Float32, StepOutput

from ..networks import random_audio, whole_conversation

STEPS, TOLERANCE = 60, 1e-5
OUTPUTS = [field.name for field in fields(StepOutput)]


@pytest.fixture(scope="module")
def engine(tiny_model_path: Path) -> Engine:
    return Engine(tiny_model_path)


@pytest.fixture(scope="module")
def audio(tiny_model: TurnModel) -> Float32:
    return random_audio(tiny_model.config, batch=3, steps=STEPS).numpy()


def step_by_step(engine: Engine, audio: Float32, forget: slice | None = None) -> dict[str, Float32]:
    """Return every output (B, T, ...), step by step.

    Each step may first lose the same part of both speakers' state.
    """
    state = engine.init_state(len(audio))
    columns: list[StepOutput] = []
    for frame in np.split(audio, audio.shape[2] // engine.metadata.frame_samples, axis=2):
        output, state = engine.step(np.ascontiguousarray(frame), state)
        columns.append(output)
        if forget is not None:
            state = state.copy()
            state.reshape(2 * len(audio), -1)[:, forget] = 0
    return {
        name: np.stack([getattr(column, name) for column in columns], axis=1) for name in OUTPUTS
    }


def torch_whole(model: TurnModel, audio: Float32) -> dict[str, Float32]:
    import torch

    output = whole_conversation(model, torch.from_numpy(audio))
    values = [*model.probabilities(output), output.latent, output.latent_speaker]
    return {
        name: value.transpose(1, 2).numpy() for name, value in zip(OUTPUTS, values, strict=True)
    }


def test_the_engine_frame_by_frame_equals_torchs_whole_pass(
    engine: Engine, tiny_model: TurnModel, audio: Float32
) -> None:
    found, expected = step_by_step(engine, audio), torch_whole(tiny_model, audio)
    for name in OUTPUTS:
        np.testing.assert_allclose(
            found[name], expected[name], atol=TOLERANCE, rtol=0, err_msg=name
        )


def test_losing_any_one_cache_or_state_is_orders_of_magnitude_off(
    engine: Engine, tiny_model: TurnModel, audio: Float32
) -> None:
    expected = torch_whole(tiny_model, audio)
    for entry in tiny_model.layout.entries:
        found = step_by_step(engine, audio, forget=slice(entry.offset, entry.offset + entry.size))
        assert (
            max(np.abs(found[name] - expected[name]).max() for name in OUTPUTS) > 1000 * TOLERANCE
        ), entry.name


def test_swapping_the_channels_swaps_the_outputs_bit_for_bit(
    engine: Engine, audio: Float32
) -> None:
    straight, swapped = (
        step_by_step(engine, audio),
        step_by_step(engine, np.ascontiguousarray(audio[:, ::-1])),
    )
    for name in OUTPUTS:
        np.testing.assert_array_equal(swapped[name][:, :, ::-1], straight[name], err_msg=name)
        assert not np.array_equal(swapped[name], straight[name])


@pytest.mark.parametrize("batch", [2, 5, 64])
def test_a_conversation_gets_the_same_bits_alone_and_in_any_batch(
    engine: Engine, audio: Float32, batch: int
) -> None:
    others = 0.1 * np.random.default_rng(batch).standard_normal((batch, *audio.shape[1:])).astype(
        np.float32
    )
    others[batch // 2] = audio[0]
    alone, together = step_by_step(engine, audio[:1]), step_by_step(engine, others)
    for name in OUTPUTS:
        np.testing.assert_array_equal(together[name][batch // 2], alone[name][0], err_msg=name)


def test_future_audio_never_changes_one_bit_of_earlier_output(
    engine: Engine, audio: Float32
) -> None:
    future = audio.copy()
    future[:, :, 30 * engine.metadata.frame_samples :] = 0.5
    before, after = step_by_step(engine, audio), step_by_step(engine, future)
    for name in OUTPUTS:
        np.testing.assert_array_equal(after[name][:, :30], before[name][:, :30])
        assert not np.array_equal(after[name][:, 30:], before[name][:, 30:])
