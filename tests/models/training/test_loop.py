"""A resumed run ends bit for bit where an uninterrupted run ends, on one process."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from turnstream.models.checkpoint import load_checkpoint, save_checkpoint
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.runs.hardware import Hardware
from turnstream.models.runs.run_folder import find_snapshots
from turnstream.models.training import loop
from turnstream.models.training.evaluation import validation_losses
from turnstream.models.training.loop import new_network, train
from turnstream.models.training.settings import TrainingSettings
from turnstream.models.training.stream import Chunk, ConversationStream
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import ConfigError

from ...networks import TINY, random_model

SETTINGS = TrainingSettings(
    steps=6,
    batch_rows=2,
    chunk_s=2.0,
    warmup_steps=2,
    validate_every=3,
    average_decay=0.5,
    model=TINY,
    seed=3,
)


class InterruptedRunError(Exception):
    """Stands for a machine that was switched off."""


def interrupted_run(
    dialogues: list[Dialogue], out: Path, monkeypatch: pytest.MonkeyPatch, chunks: int = 4
) -> None:
    """A run that was interrupted after some chunks."""
    given = 0

    class Stream(ConversationStream):
        def next_chunk(self) -> Chunk:
            nonlocal given
            if given == chunks:
                raise InterruptedRunError
            given += 1
            return super().next_chunk()

    with monkeypatch.context() as patch:
        patch.setattr(loop, "ConversationStream", Stream)
        with pytest.raises(InterruptedRunError):
            train(SETTINGS, dialogues, out)


def scripted_losses(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Replace the validations' losses by given values."""
    left = iter(losses)
    monkeypatch.setattr(loop, "measure", lambda *_: {"next_holder": next(left)})


def checkpoint(out: Path) -> dict[str, Any]:
    return torch.load(out / "checkpoint.pt", weights_only=True)


def assert_same(a: object, b: object) -> None:
    """Compare nested dicts and lists of tensors and numbers, bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


@pytest.fixture(scope="module")
def trained(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TurnModel, Path]:
    """A real, short run on the small corpus."""
    from turnstream.models.dialogues.manifest import read_manifest

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


def test_resuming_ends_bit_for_bit_where_an_uninterrupted_run_ends(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(SETTINGS, dialogues, tmp_path / "whole")
    interrupted_run(dialogues, tmp_path / "parts", monkeypatch)
    assert checkpoint(tmp_path / "parts")["step"] == 3
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    torch.manual_seed(99)  # the random state of the resuming process must not matter
    train(SETTINGS, dialogues, tmp_path / "parts", resume=True)
    assert_same(checkpoint(tmp_path / "parts"), checkpoint(tmp_path / "whole"))
    assert (tmp_path / "parts" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()
    assert [
        json.loads(line)["step"]
        for line in (tmp_path / "parts" / "training.jsonl").read_text().splitlines()
    ] == [3, 6]


def forget_optimizer(saved: dict[str, Any]) -> None:
    saved["optimizer"]["state"] = {}


def forget_dropout(saved: dict[str, Any]) -> None:
    saved["cpu_generator"] = torch.Generator().manual_seed(1).get_state()[None]


def forget_state(saved: dict[str, Any]) -> None:
    saved["state"].zero_()


def forget_places(saved: dict[str, Any]) -> None:
    saved["stream"]["batch_rows"] = [[number, 0] for number, _ in saved["stream"]["batch_rows"]]


@pytest.mark.parametrize("forget", [forget_optimizer, forget_dropout, forget_state, forget_places])
def test_losing_any_part_of_a_checkpoint_would_show(
    forget: Any, dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(SETTINGS, dialogues, tmp_path / "whole")
    interrupted_run(dialogues, tmp_path / "parts", monkeypatch)
    saved = checkpoint(tmp_path / "parts")
    forget(saved)
    torch.save(saved, tmp_path / "parts" / "checkpoint.pt")
    train(SETTINGS, dialogues, tmp_path / "parts", resume=True)
    weights, expected = (
        checkpoint(tmp_path / run)["model"]["heads.weight"] for run in ("parts", "whole")
    )
    assert not torch.equal(weights, expected)


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


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 8}, "steps"),
        ({"learning_rate": 1e-3, "seed": 4}, "learning_rate, seed"),
        ({"model": dataclasses.replace(TINY, dropout=0.0)}, "model"),
    ],
)
def test_resuming_with_other_settings_is_refused_and_names_them(
    change: dict[str, Any], named: str, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    train(SETTINGS, dialogues, tmp_path)
    with pytest.raises(
        ConfigError, match=f"expected the settings of the run in .*, got another {named}$"
    ):
        train(dataclasses.replace(SETTINGS, **change), dialogues, tmp_path, resume=True)


def test_resuming_with_other_dialogues_is_refused(
    dialogues: list[Dialogue], tmp_path: Path
) -> None:
    train(SETTINGS, dialogues, tmp_path)
    with pytest.raises(
        ConfigError,
        match=(
            r"expected the dialogues of the run that is resumed \(4 dialogues, \w+\), got others "
            r"\(3 dialogues, \w+\)"
        ),
    ):
        train(SETTINGS, dialogues[:3], tmp_path, resume=True)


def test_resuming_from_nothing_or_from_rubbish_is_refused(
    dialogues: list[Dialogue], tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"expected a checkpoint to resume from at .*checkpoint.pt, got none"
    ):
        train(SETTINGS, dialogues, tmp_path, resume=True)
    (tmp_path / "checkpoint.pt").write_bytes(b"rubbish")
    with pytest.raises(ConfigError, match=r"checkpoint.pt: expected a checkpoint, got: "):
        train(SETTINGS, dialogues, tmp_path, resume=True)


def test_a_new_run_does_not_overwrite_another(dialogues: list[Dialogue], tmp_path: Path) -> None:
    train(SETTINGS, dialogues, tmp_path)
    with pytest.raises(
        ConfigError,
        match=(
            r"expected a folder without a run for a new one, got .* with checkpoint.pt; resume "
            r"it with --resume"
        ),
    ):
        train(SETTINGS, dialogues, tmp_path)


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


@pytest.mark.parametrize("frozen", [True, False])
def test_a_given_encoder_is_begun_with_and_learns_on_unless_it_is_frozen(
    frozen: bool, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    given = random_model(TINY)
    save_checkpoint(given, tmp_path / "given")
    settings = dataclasses.replace(SETTINGS, encoder=str(tmp_path / "given"), freeze_encoder=frozen)
    weights, begun = given.encoder.state_dict(), new_network(settings)
    assert all(
        torch.equal(tensor, weights[name]) for name, tensor in begun.encoder.state_dict().items()
    )
    assert not torch.equal(begun.heads.weight, given.heads.weight)
    trained = train(settings, dialogues, tmp_path / "run")
    assert all(
        torch.equal(tensor, weights[name]) == frozen
        for name, tensor in trained.encoder.state_dict().items()
    )
    assert not torch.equal(trained.heads.weight, begun.heads.weight)


def test_a_whole_network_is_begun_with(dialogues: list[Dialogue], tmp_path: Path) -> None:
    given = random_model(TINY)
    save_checkpoint(given, tmp_path / "given")
    settings = dataclasses.replace(
        SETTINGS, initial=str(tmp_path / "given"), freeze_encoder=True, given_rate=0.1
    )
    begun = new_network(settings)
    assert all(
        torch.equal(tensor, given.state_dict()[name]) for name, tensor in begun.state_dict().items()
    )
    trained = train(settings, dialogues, tmp_path / "run")
    assert all(
        torch.equal(tensor, given.encoder.state_dict()[name])
        for name, tensor in trained.encoder.state_dict().items()
    )
    assert not torch.equal(
        next(trained.speaker_rnn.parameters()), next(given.speaker_rnn.parameters())
    )
    assert not torch.equal(trained.heads.weight, given.heads.weight)
    other = dataclasses.replace(TINY, dialogue_rnn=dataclasses.replace(TINY.dialogue_rnn, hidden=9))
    with pytest.raises(
        ConfigError, match=r"expected the shape of .*given, .*hidden=10.*, got .*hidden=9"
    ):
        new_network(dataclasses.replace(settings, model=other))
    with pytest.raises(
        ConfigError, match=r"expected an encoder or a whole network to begin with, got both"
    ):
        dataclasses.replace(settings, encoder=str(tmp_path / "given"))


def test_an_encoder_of_another_shape_is_refused(tmp_path: Path) -> None:
    save_checkpoint(random_model(TINY), tmp_path)
    other = dataclasses.replace(TINY, encoder=dataclasses.replace(TINY.encoder, channels=7))
    with pytest.raises(
        ConfigError,
        match=r"expected a network with the encoder of .*channels=\d+.*, got .*channels=7",
    ):
        new_network(dataclasses.replace(SETTINGS, model=other, encoder=str(tmp_path)))


def test_a_run_from_an_encoder_goes_on_when_that_encoder_has_gone(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(random_model(TINY), tmp_path / "given")
    settings = dataclasses.replace(SETTINGS, encoder=str(tmp_path / "given"), freeze_encoder=True)
    whole = train(settings, dialogues, tmp_path / "whole")
    written = loop.write_validation

    def die(*arguments: Any) -> None:
        written(*arguments)
        raise InterruptedRunError

    with monkeypatch.context() as patched:
        patched.setattr(loop, "write_validation", die)
        with pytest.raises(InterruptedRunError):
            train(settings, dialogues, tmp_path / "cut")
    shutil.rmtree(tmp_path / "given")
    resumed = train(
        dataclasses.replace(settings, encoder="moved"), dialogues, tmp_path / "cut", resume=True
    )
    assert all(
        torch.equal(tensor, resumed.state_dict()[name])
        for name, tensor in whole.state_dict().items()
    )
