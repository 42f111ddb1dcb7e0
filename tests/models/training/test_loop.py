"""What resuming guarantees: weights, averaged weights, optimizer and schedule go on exactly where they were.

The order of the conversations does not: each lane begins a new conversation, drawn with another seed. So the tests that compare
bits give both runs the same chunks.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from turnstream.models.checkpoint import load_checkpoint
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.errors import ConfigError
from turnstream.models.training import loop
from turnstream.models.training.evaluation import validation_losses
from turnstream.models.training.loop import train
from turnstream.models.training.losses import TargetBatch
from turnstream.models.training.settings import TrainingSettings
from turnstream.models.training.stream import Chunk
from turnstream.models.turn_model import TurnModel

from ...networks import TINY

SETTINGS = TrainingSettings(
    steps=6, lanes=2, chunk_s=0.4, warmup_steps=2, validate_every=2, average_decay=0.5, model=dataclasses.replace(TINY, dropout=0.0), seed=3
)


class InterruptedRunError(Exception):
    """The machine went off."""


class FixedStream:
    """Chunk k of a run is the same however the run came to it; every chunk begins a conversation."""

    stop_before: int | None = None

    def __init__(self, _dialogues: object, settings: TrainingSettings) -> None:
        self.step = settings.seed - SETTINGS.seed  # the loop moves the seed on by the steps already done
        self.settings = settings

    def next_chunk(self) -> Chunk:
        if self.step == self.stop_before:
            raise InterruptedRunError
        rng = torch.Generator().manual_seed(self.step)
        self.step += 1
        lanes, frames = self.settings.lanes, round(self.settings.chunk_s * 50)
        vad = (torch.rand(lanes, 2, frames, generator=rng) < 0.5).float()
        audio = 0.2 * torch.randn(lanes, 2, frames * 320, generator=rng)
        holder = torch.randint(2, (lanes, frames), generator=rng)
        classes = torch.randint(256, (lanes, frames), generator=rng)
        return Chunk(audio, TargetBatch(vad, classes, holder, torch.ones(lanes, frames), 1 - vad), torch.ones(lanes, dtype=torch.bool))


def checkpoint(out: Path) -> dict[str, object]:
    return torch.load(out / "checkpoint.pt", weights_only=True)


def assert_same(a: object, b: object) -> None:
    """Nested dicts and lists of tensors and numbers, bit for bit."""
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
        steps=40, lanes=4, chunk_s=2.0, warmup_steps=5, validate_every=20, average_decay=0.7, learning_rate=1e-2, mute_share=0.0, model=TINY
    )
    dialogues = read_manifest(manifest)
    return train(settings, dialogues, out, validation=dialogues, real=dialogues), out


def test_training_lowers_the_loss(trained: tuple[TurnModel, Path], dialogues: list[Dialogue]) -> None:
    torch.manual_seed(0)
    before = validation_losses(TurnModel(TINY).eval(), dialogues)
    after = validation_losses(trained[0], dialogues)
    for name in ("vad", "projection", "backchannel"):  # who is next is a coin toss in this corpus
        assert after[name] < 0.8 * before[name], name
    assert after["vad"] < 0.5 * before["vad"]  # noise or no noise is easy


def test_a_run_leaves_the_network_its_settings_and_its_log(trained: tuple[TurnModel, Path], dialogues: list[Dialogue]) -> None:
    model, out = trained
    assert not model.training
    assert validation_losses(load_checkpoint(out), dialogues) == validation_losses(model, dialogues)
    assert json.loads((out / "training.json").read_text())["steps"] == 40
    log = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [20, 40]
    assert set(log[0]) == {"step", "vad", "projection", "next_holder", "backchannel", "real_balanced_accuracy_250ms"} | {
        f"real_auc_{ms}ms" for ms in (50, 250, 500)
    }
    assert log[1]["vad"] == pytest.approx(validation_losses(model, dialogues)["vad"])
    assert list(out.glob("events.out.tfevents.*"))
    assert not (out / "checkpoint.pt.part").exists()


def test_resuming_ends_bit_for_bit_where_an_uninterrupted_run_ends(dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "ConversationStream", FixedStream)
    train(SETTINGS, dialogues, tmp_path / "whole")
    monkeypatch.setattr(FixedStream, "stop_before", 5)  # after the checkpoint at step 4
    with pytest.raises(InterruptedRunError):
        train(SETTINGS, dialogues, tmp_path / "parts")
    assert checkpoint(tmp_path / "parts")["step"] == 4
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    monkeypatch.setattr(FixedStream, "stop_before", None)
    train(SETTINGS, dialogues, tmp_path / "parts", resume=True)
    assert_same(checkpoint(tmp_path / "parts"), checkpoint(tmp_path / "whole"))
    assert (tmp_path / "parts" / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "training.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6]


def test_losing_the_optimizers_state_would_show(dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "ConversationStream", FixedStream)
    train(SETTINGS, dialogues, tmp_path / "whole")
    monkeypatch.setattr(FixedStream, "stop_before", 5)
    with pytest.raises(InterruptedRunError):
        train(SETTINGS, dialogues, tmp_path / "parts")
    saved = checkpoint(tmp_path / "parts")
    saved["optimizer"]["state"] = {}  # pyright: ignore[reportIndexIssue]
    torch.save(saved, tmp_path / "parts" / "checkpoint.pt")
    monkeypatch.setattr(FixedStream, "stop_before", None)
    train(SETTINGS, dialogues, tmp_path / "parts", resume=True)
    weights, expected = (checkpoint(tmp_path / run)["model"]["heads.weight"] for run in ("parts", "whole"))  # pyright: ignore[reportIndexIssue]
    assert not torch.equal(weights, expected)


def test_state_is_carried_on_and_cleared_where_a_conversation_begins(dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begins = [[True, True], [False, False], [False, True], [True, False]]
    handed: list[np.ndarray] = []
    left: list[np.ndarray] = []

    class Stream(FixedStream):
        def next_chunk(self) -> Chunk:
            step = self.step
            return dataclasses.replace(super().next_chunk(), begins=torch.tensor(begins[step]))

    class Model(TurnModel):
        def forward(self, audio: torch.Tensor, state: torch.Tensor) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
            handed.append(state.detach().numpy().copy())
            output, after = super().forward(audio, state)
            left.append(after.detach().numpy().copy())
            return output, after

    monkeypatch.setattr(loop, "ConversationStream", Stream)
    monkeypatch.setattr(loop, "TurnModel", Model)
    train(dataclasses.replace(SETTINGS, steps=4, validate_every=4), dialogues, tmp_path)
    for step in range(4):
        for lane in range(2):
            expected = np.zeros_like(handed[step][lane]) if begins[step][lane] else left[step - 1][lane]
            assert np.array_equal(handed[step][lane], expected)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 8}, "steps"),
        ({"learning_rate": 1e-3, "seed": 4}, "learning_rate, seed"),
        ({"model": TINY}, "model"),  # its dropout differs
    ],
)
def test_resuming_with_other_settings_is_refused_and_names_them(
    change: dict[str, object], named: str, dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "ConversationStream", FixedStream)
    train(SETTINGS, dialogues, tmp_path)
    with pytest.raises(ConfigError, match=f"expected the settings of the run in .*, got another {named}$"):
        train(dataclasses.replace(SETTINGS, **change), dialogues, tmp_path, resume=True)  # pyright: ignore[reportArgumentType]


def test_resuming_from_nothing_is_refused(dialogues: list[Dialogue], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a checkpoint to resume from at .*checkpoint.pt, got none"):
        train(SETTINGS, dialogues, tmp_path, resume=True)


def test_training_on_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected at least one dialogue to train on, got none"):
        train(SETTINGS, [], tmp_path)
