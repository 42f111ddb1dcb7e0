import dataclasses
import json
from pathlib import Path

import pytest

from turnstream.models.checkpoint import load_checkpoint
from turnstream.models.dialogues.manifest import read_manifest, write_manifest
from turnstream.models.training import loop
from turnstream.stream.cli import main

from ...networks import TINY


def test_train_writes_a_network_that_can_be_loaded(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"chunk_s": 1.0, "model": json.loads(TINY.to_json())}))
    out = tmp_path / "run"
    assert main(["train", "--manifest", str(manifest), "--out", str(out), "--settings", str(settings), "--steps", "2", "--lanes", "2"]) == 0
    assert load_checkpoint(out).config == TINY
    assert f"trained network in {out}; export it with: turnstream export {out}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("[]", "expected a JSON object, got list"),
        ("{", "expected a JSON file of training settings"),
        ('{"step": 3}', "settings: unknown field 'step'; known are steps, lanes"),
        ('{"lanes": 0}', "expected lanes > 0, got 0"),
        ('{"model": {"encoder": {"block": "dense"}}}', "settings.model.encoder.block: expected one of"),
    ],
)
def test_bad_settings_are_one_line_and_exit_code_2(settings: str, message: str, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "settings.json"
    path.write_text(settings)
    assert main(["train", "--manifest", str(manifest), "--out", str(tmp_path / "run"), "--settings", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("turnstream train: error: ")
    assert message in error
    assert error.count("\n") == 1


def test_dialogues_kept_for_validation_or_test_are_not_trained_on(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = ["train", "val", "", "test"]
    dialogues = [dataclasses.replace(dialogue, split=split) for dialogue, split in zip(read_manifest(manifest), splits, strict=True)]
    write_manifest(tmp_path / "mixed.jsonl", dialogues)
    trained_on: list[str] = []
    monkeypatch.setattr(loop, "train", lambda _settings, training, *_, **__: trained_on.extend(dialogue.split for dialogue in training))
    assert main(["train", "--manifest", str(tmp_path / "mixed.jsonl"), "--out", str(tmp_path / "run")]) == 0
    assert trained_on == ["train", ""]


@pytest.mark.parametrize(("split", "got"), [("val", "got 'val'"), (None, "got no dialogues")])
def test_a_manifest_with_nothing_to_train_on_is_named(split: str | None, got: str, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dialogues = [dataclasses.replace(dialogue, split=split) for dialogue in read_manifest(manifest)] if split else []
    write_manifest(tmp_path / "held_out.jsonl", dialogues)
    assert main(["train", "--manifest", str(tmp_path / "held_out.jsonl"), "--out", str(tmp_path / "run")]) == 2
    assert f"held_out.jsonl: expected dialogues whose split is 'train' or not given, {got}\n" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("device", ["foo", "cuda:99"])
def test_a_device_that_is_not_there_is_one_line_and_exit_code_2(device: str, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--manifest", str(manifest), "--out", str(tmp_path / "run"), "--device", device]) == 2
    error = capsys.readouterr().err
    assert f"expected a torch device of this machine, such as cpu or cuda, got '{device}': " in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_missing_manifest_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--manifest", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "run")]) == 2
    assert "expected a manifest of dialogues" in capsys.readouterr().err
