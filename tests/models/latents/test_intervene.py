"""Edits of a running network: what they change, from when on, and that nothing stays behind."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch

from turnstream.models.config import ModelConfig
from turnstream.models.evaluation.torch_runner import run_dialogue
from turnstream.models.latents.intervene import (
    Edit,
    direction_edit,
    layer_size,
    run_edited,
    unit_edit,
)
from turnstream.models.turn_model import TurnModel, TurnOutput
from turnstream.stream.errors import ConfigError

from ...networks import CONFIGS, TINY, random_audio, random_model

LAYERS = ("latent_speaker", "latent")


def heard(config: ModelConfig) -> tuple[TurnModel, np.ndarray]:
    return random_model(config), random_audio(config, 1, 60)[0].numpy()


def joined(outputs: Iterable[tuple[TurnOutput, object]], name: str) -> torch.Tensor:
    return torch.cat([getattr(output, name)[0] for output, _ in outputs], dim=1)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_an_edit_that_sets_what_is_there_changes_nothing(config: ModelConfig, layer: str) -> None:
    model, audio = heard(config)
    plain = list(run_dialogue(model, audio))
    first = 20
    states = joined(plain, layer)[:, first:].transpose(0, 1)  # (T, 2, H)
    edit = Edit(layer, torch.eye(states.shape[2]), states)
    edited = joined(run_edited(model, audio, edit, first / config.frame_rate_hz), "next")
    torch.testing.assert_close(edited, joined(plain, "next"), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_clamped_unit_keeps_its_value_between_the_times_and_moves_the_output(layer: str) -> None:
    model, audio = heard(TINY)
    edit = unit_edit(model, layer, 3, 0.7)
    plain, edited = list(run_dialogue(model, audio)), list(run_edited(model, audio, edit, 0.4, 0.8))
    values = joined(edited, layer)[:, :, 3]
    change = (joined(edited, "next") - joined(plain, "next")).abs()
    assert not change[:, :20].any()
    torch.testing.assert_close(values[:, 20:40], torch.full((2, 20), 0.7))
    assert (values[:, 40:] - 0.7).abs().min() > 1e-4
    assert change[:, 20:40].max() > 1e-3
    assert change[:, 41].max() > 1e-5  # the recurrent state carries the edit on


def test_the_rnn_reads_the_edited_state_at_its_next_step() -> None:
    model, audio = heard(TINY)
    edit = unit_edit(model, "latent", 0, 3.0)
    edited = joined(run_edited(model, audio, edit, 0.4), "latent")
    plain = joined(run_dialogue(model, audio), "latent")
    others = (edited - plain)[:, :, 1:].abs().amax(dim=(0, 2))
    assert others[20] < 1e-6  # the first edited step: only unit 0 differs
    assert others[21] > 1e-3


def test_blocks_do_not_change_an_edited_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model, audio = heard(TINY)
    values = torch.linspace(-1, 1, 60)[:, None, None]
    edit = Edit("latent", torch.eye(10)[2:3], values)
    whole = joined(run_edited(model, audio, edit, 0.1), "next")
    monkeypatch.setattr("turnstream.models.latents.intervene.BLOCK_S", 0.14)
    pieces = list(run_edited(model, audio, edit, 0.1))
    assert len(pieces) > 5
    torch.testing.assert_close(joined(pieces, "next"), whole, atol=1e-5, rtol=1e-5)


def test_only_the_rows_asked_for_are_edited() -> None:
    model, audio = heard(TINY)
    both = unit_edit(model, "latent", 4, 0.5)
    edit = Edit(both.layer, both.basis, both.values, torch.tensor([True, False]))
    values = joined(run_edited(model, audio, edit, 0.2), "latent")[:, 10:, 4]
    torch.testing.assert_close(values[0], torch.full((50,), 0.5))
    assert (values[1] - 0.5).abs().min() > 1e-6


def test_the_network_is_as_it_was_afterwards_even_after_an_error() -> None:
    model, audio = heard(TINY)
    before = joined(run_dialogue(model, audio), "next")
    wrong = Edit("latent", torch.eye(4), torch.zeros(1, 1, 4))
    with pytest.raises(RuntimeError):
        list(run_edited(model, audio, wrong, 0.2))
    list(run_edited(model, audio, unit_edit(model, "latent", 0, 1.0), 0.2))
    assert torch.equal(joined(run_dialogue(model, audio), "next"), before)


def test_a_direction_is_scaled_to_length_one() -> None:
    model, audio = heard(TINY)
    direction = torch.zeros(12)
    direction[[1, 5]] = torch.tensor([3.0, 4.0])
    edit = direction_edit(model, "latent_speaker", direction, 0.25)
    states = joined(run_edited(model, audio, edit, 0.0), "latent_speaker")
    along = 0.6 * states[..., 1] + 0.8 * states[..., 5]
    torch.testing.assert_close(along, torch.full_like(along, 0.25), atol=1e-5, rtol=0)


def test_what_does_not_fit_is_refused() -> None:
    model, audio = heard(TINY)
    with pytest.raises(ConfigError, match="expected a unit of latent from 0 to 9, got 10"):
        unit_edit(model, "latent", 10, 0.0)
    with pytest.raises(ConfigError, match="expected a layer of latent_speaker, latent, got 'x'"):
        layer_size(model, "x")
    with pytest.raises(ConfigError, match="expected a direction of 10 finite numbers"):
        direction_edit(model, "latent", torch.zeros(10), 0.0)
    edit = unit_edit(model, "latent", 0, 0.0)
    for from_s, to_s in ((1.3, None), (0.5, 0.5), (-0.1, None)):
        with pytest.raises(ConfigError, match=r"expected an edit within the dialogue's 1\.2 s"):
            next(run_edited(model, audio, edit, from_s, to_s))
