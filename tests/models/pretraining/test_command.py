"""`turnstream pretrain teacher`, `distill` and `judge`, with a fake in place of the teacher."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.checkpoint import load_encoder
from turnstream.models.dialogues.utterances import UtterancePool
from turnstream.models.distillation import loop
from turnstream.models.teachers import extraction, judging
from turnstream.models.teachers.extraction import Extraction

from ...networks import TINY
from ..teaching import FakeEncoder, write_calls


@pytest.fixture(autouse=True)
def fake_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (extraction, judging):
        monkeypatch.setattr(module, "WhisperEncoder", FakeEncoder)
    monkeypatch.setattr(loop, "VALIDATION_ROWS", 2)


@pytest.fixture
def speech(speech_folder: Path, speech_cache: Path, speech_sets: list[Path]) -> list[str]:
    return ["--data", str(speech_folder), "--cache", str(speech_cache)]


@pytest.fixture
def settings(tmp_path: Path) -> str:
    described = {
        name: dataclasses.asdict(getattr(TINY, name))
        for name in ("features", "encoder", "speaker_rnn")
    }
    described |= {"chunk_s": 1.0, "components": 6, "place_components": 18, "warmup_steps": 0}
    (tmp_path / "settings.json").write_text(json.dumps(described))
    return str(tmp_path / "settings.json")


def test_utterances_become_a_teachers_words_a_network_and_judges(
    speech: list[str],
    settings: str,
    speech_sets: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    teacher, distilled, judged = (
        str(tmp_path / name) for name in ("teacher", "distilled", "judged")
    )
    words = ["--out", teacher, "--components", "6", "--stop-points", "30"]
    assert main(["pretrain", "teacher", *speech, *words]) == 0
    assert (
        f"continue with: turnstream pretrain distill --teacher {teacher}" in capsys.readouterr().out
    )
    assert len(Extraction(tmp_path / "teacher", UtterancePool(speech_sets)).stop_points()[0]) == 30
    options = ["--settings", settings, "--steps", "2", "--batch-rows", "2", "--accelerator", "cpu"]
    assert (
        main(["pretrain", "distill", *speech, "--teacher", teacher, "--out", distilled, *options])
        == 0
    )
    assert f"continue with: turnstream train --encoder {distilled}" in capsys.readouterr().out
    assert load_encoder(tmp_path / "distilled").speaker_rnn == TINY.speaker_rnn
    write_calls(tmp_path / "calls", calls=3)
    calls = ["--calls", str(tmp_path / "calls" / "calls.jsonl"), "--each"]
    assert main(["pretrain", "judge", *speech, "--teacher", teacher, "--out", judged, *calls]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "AUC of each call by the judge of the others, at the moments of a silence in turn: "
    )
    assert said.endswith(f"scores are in {judged}\n")
    assert (tmp_path / "judged" / "without_call2.npz").is_file()
    assert any(
        one.completeness
        for one in UtterancePool(speech_sets, tmp_path / "judged" / "completeness").utterances
    )


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("teacher", ["--data", "--out", "--whisper", "--components", "--stop-points", "--jobs"]),
        (
            "distill",
            [
                "--teacher",
                "--settings",
                "--steps",
                "--batch-rows",
                "--seed",
                "--resume",
                "--accelerator",
                "--devices",
            ],
        ),
        ("judge", ["--teacher", "--calls", "--each", "--whisper"]),
    ],
)
def test_each_methods_help_names_its_options(
    method: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["pretrain", method, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert all(word in said for word in words)


def test_the_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["pretrain", "--help"])
    said = capsys.readouterr().out
    assert all(
        f"  {method} " in said
        for method in ("autoencoder", "cpc", "reconstruct", "teacher", "distill", "judge")
    )


TEACHER = ["teacher", "--out", "out"]
DISTILL = ["distill", "--out", "out", "--teacher", "TEACHER"]
JUDGE = ["judge", "--out", "out", "--teacher", "TEACHER", "--calls", "nowhere.jsonl"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            [*TEACHER, "--data", "nowhere"],
            "nowhere: expected utterances in speech/*/manifest.csv, got none",
        ),
        (
            [*DISTILL, "--data", "nowhere"],
            "nowhere: expected utterances in speech/*/manifest.csv, got none",
        ),
        (
            [*JUDGE, "--data", "nowhere"],
            "nowhere: expected utterances in speech/*/manifest.csv, got none",
        ),
        (
            [*TEACHER, "--components", "0"],
            "expected at least one component of a frame to keep, got 0",
        ),
        (
            [*DISTILL, "--teacher", "nowhere"],
            (
                "nowhere: expected what a teacher said of the utterances (`turnstream pretrain "
                "teacher`), got no components.npz"
            ),
        ),
        ([*DISTILL, "--batch-rows", "0"], "expected batch_rows > 0, got 0"),
        (
            [*DISTILL, "--settings", "nowhere.json"],
            "nowhere.json: expected a JSON file of training settings",
        ),
        (
            [*DISTILL, "--resume"],
            "expected at most 6 components, as many as were extracted, got 128",
        ),
        ([*JUDGE], "expected a manifest of dialogues"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: list[str],
    message: str,
    speech: list[str],
    taught: Extraction,
    tmp_path: Path,
    complaint: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    method, *options = [str(taught.folder) if word == "TEACHER" else word for word in words]
    assert message in complaint("pretrain", method, *speech, *options)


def test_two_calls_are_one_line_and_exit_code_2(
    speech: list[str], taught: Extraction, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    write_calls(tmp_path / "calls", calls=2)
    options = ["--teacher", taught.folder, "--out", tmp_path / "judged"]
    options += ["--calls", tmp_path / "calls" / "calls.jsonl"]
    line = "expected at least three calls, so that each can be judged by the others, got 2"
    assert line in complaint("pretrain", "judge", *speech, *options)
    assert not (tmp_path / "judged").exists()


@pytest.mark.skipif(
    importlib.util.find_spec("faster_whisper") is None, reason="faster-whisper is not installed"
)
def test_a_folder_without_a_whisper_model_is_named(
    speech: list[str],
    tmp_path: Path,
    complaint: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from turnstream.models.teachers.whisper import WhisperEncoder

    monkeypatch.setattr(extraction, "WhisperEncoder", WhisperEncoder)
    options = ["--out", tmp_path / "teacher", "--whisper", tmp_path]
    assert complaint("pretrain", "teacher", *speech, *options).endswith(
        f"{tmp_path}: expected a Whisper model in CTranslate2's format (model.bin, config.json), "
        "got no model.bin"
    )


def test_a_made_up_call_is_as_its_activity_says(tmp_path: Path) -> None:
    """A check of the test data: the judges find what was planted."""
    (call,) = write_calls(tmp_path / "calls", calls=1)
    from turnstream.models.dialogues.annotation import load_annotated

    audio, activity, _ = load_annotated(call, 16000)
    level = np.sqrt((audio[:, : activity.shape[1] * 320].reshape(2, -1, 320) ** 2).mean(axis=2))
    assert ((level > 0.005) == activity).mean() > 0.97
