"""A resumed run ends bit for bit where an uninterrupted run ends, on one process."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from turnstream.models.checkpoint import save_checkpoint
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.training import loop
from turnstream.models.training.loop import train
from turnstream.models.training.stream import Chunk, ConversationStream
from turnstream.stream.errors import ConfigError

from ...networks import TINY, random_model
from ..interruption import InterruptedRunError, interrupted_after_validation
from .short_runs import SETTINGS, assert_same, checkpoint


def interrupted_run(dialogues: list[Dialogue], out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until the machine is switched off after four chunks, one after the checkpoint."""
    given = 0

    class Stream(ConversationStream):
        def next_chunk(self) -> Chunk:
            nonlocal given
            if given == 4:
                raise InterruptedRunError
            given += 1
            return super().next_chunk()

    with monkeypatch.context() as patch:
        patch.setattr(loop, "ConversationStream", Stream)
        with pytest.raises(InterruptedRunError):
            train(SETTINGS, dialogues, out)


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


def test_a_run_from_an_encoder_goes_on_when_that_encoder_has_gone(
    dialogues: list[Dialogue], tmp_path: Path
) -> None:
    save_checkpoint(random_model(TINY), tmp_path / "given")
    settings = dataclasses.replace(SETTINGS, encoder=str(tmp_path / "given"), freeze_encoder=True)
    whole = train(settings, dialogues, tmp_path / "whole")
    with interrupted_after_validation(loop):
        train(settings, dialogues, tmp_path / "cut")
    shutil.rmtree(tmp_path / "given")
    resumed = train(
        dataclasses.replace(settings, encoder="moved"), dialogues, tmp_path / "cut", resume=True
    )
    assert all(
        torch.equal(tensor, resumed.state_dict()[name])
        for name, tensor in whole.state_dict().items()
    )


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
