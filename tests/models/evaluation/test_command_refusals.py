"""`turnstream evaluate` refuses what it cannot measure on with one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.cli import main
from turnstream.models.dialogues.manifest import Dialogue, write_manifest
from turnstream.models.evaluation import command
from turnstream.stream.errors import MissingExtraError

Complaint = Callable[..., str]


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run_models", lambda *_: pytest.fail("worked before it looked"))


def test_folds_that_lack_something_are_one_line(
    folds: Path, manifest: Path, tmp_path: Path, complaint: Complaint
) -> None:
    named = json.loads((folds / "folds.json").read_text())
    (tmp_path / "folds.json").write_text(
        json.dumps({name: file for name, file in named.items() if name != "call 1"})
    )
    expected = (
        f"{tmp_path / 'folds.json'}: expected a model for every dialogue, got none for 'call 1'"
    )
    assert complaint("evaluate", manifest, "--folds", tmp_path) == expected
    (tmp_path / "folds.json").write_text(json.dumps(named))
    expected = f"expected an ONNX model file, got '{tmp_path / 'early.onnx'}', which is not a file"
    assert complaint("evaluate", manifest, "--folds", tmp_path) == expected


@pytest.mark.usefixtures("no_work")
def test_a_judge_that_lacks_a_dialogue_is_one_line_before_any_work(
    manifest: Path, tiny_model_path: Path, tmp_path: Path, complaint: Complaint
) -> None:
    judge = tmp_path / "held_out.npz"
    scores = {"call 0": np.zeros((2, 700)), "call 2": np.zeros((2, 697))}
    np.savez(judge, **scores)  # pyright: ignore[reportArgumentType]
    words = ("evaluate", manifest, "--model", tiny_model_path, "--judge", tmp_path)
    expected = f"{judge}: expected scores of every dialogue, got none of 'call 1'"
    assert complaint(*words) == expected
    np.savez(judge, **scores, **{"call 1": np.zeros((2, 700))})  # pyright: ignore[reportArgumentType]
    expected = f"{judge}: dialogue 'call 2': expected scores of 700 frames of 20 ms, got 697"
    assert complaint(*words) == expected


def test_no_dialogues_is_one_line(manifest: Path, tmp_path: Path, complaint: Complaint) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    expected = f"{empty}: expected at least one dialogue, got none"
    assert complaint("evaluate", empty) == expected
    expected = f"{manifest}: expected at least one dialogue of split train, got none"
    assert complaint("evaluate", manifest, "--split", "train") == expected
    missing = complaint("evaluate", tmp_path / "missing.jsonl")
    assert "expected a manifest of dialogues" in missing


def manifest_of_zeros(folder: Path, *shape: int) -> Path:
    sf.write(folder / "a.wav", np.zeros(shape), 16000)
    np.savez(folder / "a.npz", activity=np.zeros((2, 50), bool))
    zeros = Dialogue("a", (folder / "a.wav",), ("a", "b"), activity=folder / "a.npz")
    write_manifest(folder / "m.jsonl", [zeros])
    return folder / "m.jsonl"


def test_no_events_is_one_line(tmp_path: Path, tiny_model_path: Path, complaint: Complaint) -> None:
    path = manifest_of_zeros(tmp_path, 16000, 2)
    assert complaint("evaluate", path, "--model", tiny_model_path) == (
        f"{path}: expected dialogues with pauses, shifts or holds, found none in 1 dialogues"
    )


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1000,), "expected 2 channels, got 1"), ((0, 2), "expected audio, got 0 samples")],
)
def test_a_recording_that_is_no_dialogue_is_one_line(
    shape: tuple[int, ...],
    expected: str,
    tmp_path: Path,
    tiny_model_path: Path,
    complaint: Complaint,
) -> None:
    path = manifest_of_zeros(tmp_path, *shape)
    assert expected in complaint("evaluate", path, "--model", tiny_model_path)


@pytest.mark.usefixtures("no_work")
def test_what_is_missing_is_said_before_any_work(
    manifest: Path, tmp_path: Path, complaint: Complaint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_installed() -> None:
        raise MissingExtraError("pipecat-ai", "bench")

    monkeypatch.setattr(command, "SmartTurn", not_installed)
    expected = "pipecat-ai is not installed; to install it: pip install 'turnstream[bench]'"
    assert complaint("evaluate", manifest, "--baselines") == expected
    file = tmp_path / "file"
    file.write_text("")
    line = complaint("evaluate", manifest, "--out", file)
    assert line.startswith(f"{file / 'mistakes'}: expected a folder to write into, got: ")
    line = complaint("evaluate", manifest, "--robustness", "--room", file)
    assert "expected an impulse response" in line
    assert "expected an ONNX model" in complaint("evaluate", manifest, "--model", file)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--jobs", "0"], "error:"),
        (["--jobs", "-1"], "error:"),
        (["--mistakes", "few"], "error:"),
        ([], "error:"),
        (["calls.jsonl", "--folds", "folds", "--model", "a.onnx"], "not allowed with argument"),
    ],
)
def test_nonsense_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", *words])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
