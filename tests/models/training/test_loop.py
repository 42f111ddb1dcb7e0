"""A training lowers the loss, carries the state on, and keeps the weights it is told to keep."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from turnstream.models.checkpoint import load_checkpoint
from turnstream.models.dialogues.manifest import Dialogue, read_manifest
from turnstream.models.runs.hardware import Hardware
from turnstream.models.runs.run_folder import find_snapshots
from turnstream.models.training import loop
from turnstream.models.training.evaluation import validation_losses
from turnstream.models.training.loop import train
from turnstream.models.training.settings import TrainingSettings
from turnstream.models.training.stream import Chunk, ConversationStream
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import ConfigError

from ...networks import TINY
from .short_runs import SETTINGS, assert_same, checkpoint


def scripted_losses(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Replace the validations' losses by given values."""
    left = iter(losses)
    monkeypatch.setattr(loop, "measure", lambda *_: {"next_holder": next(left)})


@pytest.fixture(scope="module")
def trained(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TurnModel, Path]:
    """A real, short run on the small corpus."""
    out = tmp_path_factory.mktemp("run")
    settings = TrainingSettings(
        steps=40,
        batch_rows=4,
        chunk_s=2.0,
        warmup_steps=5,
        validate_every=20,
        average_decay=0.7,
        learning_rate=1e-2,
        mute_share=0.0,
        model=TINY,
    )
    dialogues = read_manifest(manifest)
    return train(settings, dialogues, out, validation=dialogues, real=dialogues), out


def test_training_lowers_the_loss(
    trained: tuple[TurnModel, Path], dialogues: list[Dialogue]
) -> None:
    torch.manual_seed(0)
    before = validation_losses(TurnModel(TINY).eval(), dialogues)
    after = validation_losses(trained[0], dialogues)
    for name in ("vad", "projection", "backchannel"):  # the next speaker is random in this corpus
        assert after[name] < 0.8 * before[name], name
    assert after["vad"] < 0.5 * before["vad"]  # noise against silence is easy


def test_a_run_leaves_the_network_its_settings_and_its_log(
    trained: tuple[TurnModel, Path], dialogues: list[Dialogue]
) -> None:
    model, out = trained
    assert not model.training
    assert validation_losses(load_checkpoint(out), dialogues) == validation_losses(model, dialogues)
    assert json.loads((out / "training.json").read_text())["steps"] == 40
    log = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [20, 40]
    assert set(log[0]) == {
        "step",
        "vad",
        "projection",
        "next_holder",
        "backchannel",
        "completeness",
        "total",
        "real_balanced_accuracy_250ms",
    } | {f"real_auc_{ms}ms" for ms in (50, 250, 500)}
    assert log[1]["vad"] == pytest.approx(validation_losses(model, dialogues)["vad"])
    assert list(out.glob("events.out.tfevents.*"))
    assert not (out / "checkpoint.pt.part").exists()


def test_state_is_carried_on_and_cleared_where_a_conversation_begins(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins: list[list[bool]] = []
    handed: list[np.ndarray] = []
    left: list[np.ndarray] = []

    class Stream(ConversationStream):
        def next_chunk(self) -> Chunk:
            chunk = super().next_chunk()
            begins.append(chunk.begins.tolist())
            return chunk

    class Model(TurnModel):
        def forward(self, audio: torch.Tensor, state: torch.Tensor) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
            handed.append(state.detach().numpy().copy())
            output, after = super().forward(audio, state)
            left.append(after.detach().numpy().copy())
            return output, after

    monkeypatch.setattr(loop, "ConversationStream", Stream)
    monkeypatch.setattr(loop, "TurnModel", Model)
    train(dataclasses.replace(SETTINGS, steps=8, validate_every=8), dialogues, tmp_path)
    assert {True, False} == {begin for step in begins[1:] for begin in step}
    for step in range(8):
        for batch_row in range(2):
            expected = (
                np.zeros_like(handed[step][batch_row])
                if begins[step][batch_row]
                else left[step - 1][batch_row]
            )
            assert np.array_equal(handed[step][batch_row], expected)


def test_training_stops_when_patience_ends_and_keeps_the_best_weights(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(SETTINGS, steps=20, validate_every=1, patience=2)
    scripted_losses(monkeypatch, [3.0, 1.0, float("nan"), 1.0])
    train(settings, dialogues, tmp_path / "stopped", validation=dialogues)
    assert checkpoint(tmp_path / "stopped")["step"] == 4
    saved = checkpoint(tmp_path / "stopped")["best"]
    assert (saved["step"], saved["loss"]) == (2, 1.0)
    assert_same(saved["weights"], dict(load_checkpoint(tmp_path / "stopped").state_dict()))
    last = checkpoint(tmp_path / "stopped")["average"]["module.heads.weight"]
    assert not torch.equal(saved["weights"]["heads.weight"], last)
    # Its patience is used up, so the resumed run ends at once.
    train(settings, dialogues, tmp_path / "stopped", validation=dialogues, resume=True)
    assert checkpoint(tmp_path / "stopped")["step"] == 4


def test_without_patience_the_last_weights_are_written_unless_the_best_are_asked_for(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(SETTINGS, steps=4, validate_every=1)
    for name, changed in (
        ("last", settings),
        ("best", dataclasses.replace(settings, keep_best=True)),
    ):
        scripted_losses(monkeypatch, [1.0, 2.0, 3.0, 4.0])
        train(changed, dialogues, tmp_path / name, validation=dialogues)
    saved = checkpoint(tmp_path / "best")
    assert saved["step"] == 4
    assert torch.equal(
        load_checkpoint(tmp_path / "best").heads.weight, saved["best"]["weights"]["heads.weight"]
    )
    assert torch.equal(
        load_checkpoint(tmp_path / "last").heads.weight, saved["average"]["module.heads.weight"]
    )
    assert checkpoint(tmp_path / "last")["best"]["weights"] is None


def test_real_dialogues_decide_nothing(dialogues: list[Dialogue], tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=(
            r"expected measure to be a loss of the validation dialogues, one of vad, .*total, got "
            r"'real_auc_250ms'"
        ),
    ):
        dataclasses.replace(SETTINGS, measure="real_auc_250ms")
    for changed in ({"patience": 1}, {"keep_best": True}):
        with pytest.raises(
            ConfigError,
            match=(
                "expected validation dialogues to stop early by, or to choose the best weights "
                "by, got none"
            ),
        ):
            train(dataclasses.replace(SETTINGS, **changed), dialogues, tmp_path, real=dialogues)


def test_mixed_precision_trains_and_keeps_the_carried_state_in_full(
    dialogues: list[Dialogue], tmp_path: Path
) -> None:
    train(SETTINGS, dialogues, tmp_path / "full")
    train(
        SETTINGS,
        dialogues,
        tmp_path / "mixed",
        hardware=Hardware(accelerator="cpu", precision="bf16-mixed"),
    )
    full, mixed = (checkpoint(tmp_path / name) for name in ("full", "mixed"))
    assert mixed["state"].dtype == torch.float32
    tail = TurnModel(TINY).layout.entries[0]  # the newest samples, which no layer has touched
    assert tail.name.startswith("features")
    assert torch.equal(full["state"][:, : tail.size], mixed["state"][:, : tail.size])
    assert not torch.equal(full["model"]["heads.weight"], mixed["model"]["heads.weight"])
    assert torch.allclose(full["model"]["heads.weight"], mixed["model"]["heads.weight"], atol=0.01)


def test_training_on_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected at least one dialogue to train on, got none"):
        train(SETTINGS, [], tmp_path)


def test_snapshots_are_the_averaged_networks_of_the_beginning_and_of_every_validation(
    dialogues: list[Dialogue], tmp_path: Path
) -> None:
    model = train(SETTINGS, dialogues, tmp_path / "kept", snapshots=True)
    kept = find_snapshots(tmp_path / "kept")
    assert list(kept) == [0, 3, 6]
    assert_same(load_checkpoint(kept[6]).state_dict(), model.state_dict())
    weights = [load_checkpoint(folder).heads.weight for folder in kept.values()]
    assert not torch.equal(weights[0], weights[1])
    torch.manual_seed(SETTINGS.seed)
    assert torch.equal(weights[0], TurnModel(TINY).heads.weight)
    train(SETTINGS, dialogues, tmp_path / "not kept")
    assert find_snapshots(tmp_path / "not kept") == {}
