import json
from pathlib import Path

import pytest

from turnstream.models.checkpoint import load_checkpoint
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


def test_a_missing_manifest_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--manifest", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "run")]) == 2
    assert "expected a manifest of dialogues" in capsys.readouterr().err
