"""Networks of one size that differ in their recurrent layers, and their runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from turnstream.models.config import ModelConfig
from turnstream.models.dialogues.manifest import Dialogue, read_manifest
from turnstream.models.latents.training import variants as module
from turnstream.models.latents.training.variants import (
    KINDS,
    Variant,
    matched_config,
    parameter_count,
    train_variant,
)
from turnstream.models.runs.run_folder import find_snapshots
from turnstream.models.training.settings import TrainingSettings
from turnstream.stream.errors import ConfigError

from ....networks import TINY

SETTINGS = TrainingSettings(
    steps=2,
    batch_rows=2,
    chunk_s=2.0,
    warmup_steps=0,
    validate_every=1,
    average_decay=0.5,
    model=TINY,
)


@pytest.fixture
def dialogues(tiny_manifest: Path) -> list[Dialogue]:
    return read_manifest(tiny_manifest)[:2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_every_kind_and_depth_has_the_size_of_the_bundled_network(kind: str, layers: int) -> None:
    base = ModelConfig()
    found = matched_config(base, kind, layers)
    assert (found.speaker_rnn.kind, found.dialogue_rnn.layers) == (kind, layers)
    assert parameter_count(found) == pytest.approx(parameter_count(base), rel=0.01)
    assert (found.encoder, found.features) == (base.encoder, base.features)


def test_the_given_network_matches_itself() -> None:
    assert matched_config(ModelConfig(), "gru", 1) == ModelConfig()


def test_a_whole_run_is_read_and_a_cut_one_gone_on_with(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = Variant("lstm", 1, 3)
    trained = train_variant(variant, SETTINGS, dialogues, dialogues, tmp_path)
    assert list(find_snapshots(tmp_path / "lstm1_seed3")) == [0, 1, 2]
    (
        tmp_path / "lstm1_seed3" / "model.safetensors"
    ).unlink()  # as if it had been cut after its last validation
    again = train_variant(variant, SETTINGS, dialogues, dialogues, tmp_path)
    monkeypatch.setattr(module, "train", lambda *_, **__: pytest.fail("trained again"))
    read = train_variant(variant, SETTINGS, dialogues, dialogues, tmp_path)
    for name, tensor in trained.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
        assert torch.equal(tensor, read.state_dict()[name])


def test_a_run_with_another_budget_is_not_taken_for_this_one(
    dialogues: list[Dialogue], tmp_path: Path
) -> None:
    train_variant(Variant("gru", 1, 0), SETTINGS, dialogues, dialogues, tmp_path)
    with pytest.raises(
        ConfigError, match=r"expected the settings of the run in .*gru1_seed0, got another steps"
    ):
        train_variant(
            Variant("gru", 1, 0),
            dataclasses.replace(SETTINGS, steps=3),
            dialogues,
            dialogues,
            tmp_path,
        )
