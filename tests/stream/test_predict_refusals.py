"""`turnstream predict` refuses what it cannot predict on with one clear line."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from turnstream.cli import main

Refused = Callable[..., str]


@pytest.fixture
def refused(complaint: Callable[..., str], tiny_model_path: Path) -> Refused:
    """Run `turnstream predict` with a small model; return why it refused."""
    return partial(complaint, "predict", "--model", tiny_model_path)


def test_a_missing_file_is_one_clear_line(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "none.wav"
    assert refused(path) == f"expected an audio file, got a path that does not exist: {path}"


def test_a_file_without_audio_is_one_clear_line(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "letter.wav"
    path.write_text("Dear Sir or Madam, " * 20)
    line = refused(path)
    assert "expected an audio file, got one that libsndfile cannot read" in line
    assert "letter.wav" in line


def test_a_missing_model_is_one_clear_line(
    refused: Refused, recording: Path, tmp_path: Path
) -> None:
    assert "none.onnx" in refused(recording, "--model", tmp_path / "none.onnx")


@pytest.mark.parametrize("option", ["--out", "--events"])
def test_a_full_disk_is_one_line_that_names_the_file(
    refused: Refused, recording: Path, option: str
) -> None:
    other = [] if option == "--out" else ["--out", "/dev/null"]
    line = refused(recording, *other, option, "/dev/full", code=1)
    assert line == "/dev/full: No space left on device"


@pytest.mark.parametrize(
    ("option", "name", "expected"),
    [
        ("--out", "p.txt", ".csv or .jsonl or .json"),
        ("--events", "e", ".csv or .jsonl or .json"),
        ("--latents", "l.npy", ".npz"),
        ("--plot", "p.gif", ".png, .svg, .pdf, .html"),
    ],
)
def test_a_suffix_that_is_not_known_is_refused_before_any_work(
    refused: Refused, recording: Path, tmp_path: Path, option: str, name: str, expected: str
) -> None:
    line = refused(recording, option, tmp_path / name)
    assert expected in line
    assert name in line
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("option", "name"),
    [("--out", "p.csv"), ("--events", "e.jsonl"), ("--latents", "l.npz"), ("--plot", "p.png")],
)
def test_a_folder_that_does_not_exist_is_refused_before_any_work(
    refused: Refused, recording: Path, tmp_path: Path, option: str, name: str
) -> None:
    path = tmp_path / "nowhere" / name
    line = f"expected a file that can be written, got {str(path)!r}: no folder {str(path.parent)!r}"
    assert refused(recording, option, path) == line


@pytest.mark.parametrize(
    ("option", "name"), [("--out", "p.csv"), ("--latents", "l.npz"), ("--plot", "p.png")]
)
def test_an_output_that_cannot_be_written_is_one_clear_line(
    refused: Refused, recording: Path, tmp_path: Path, option: str, name: str
) -> None:
    (tmp_path / name).mkdir()
    line = f"expected a file that can be written, got {str(tmp_path / name)!r}: Is a directory"
    assert refused(recording, option, tmp_path / name) == line


@pytest.mark.parametrize("extra", [[], ["--latents", "l.npz"], ["--plot", "p.html"]])
def test_empty_standard_input_is_one_clear_line(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert refused("-", *extra) == "expected audio on standard input, got none"


def test_standard_input_that_ends_inside_a_sample_is_one_clear_line(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(4003))))
    assert "got 3 bytes of one at the end" in refused("-")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--encoding", "opus"), ("--channels", "x"), ("--end-threshold", "high")],
)
def test_a_bad_option_is_refused(
    recording: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["predict", str(recording), option, value])
    assert caught.value.code == 2
    assert value in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--policy", "quick"], "policy: expected one of fast, balanced, patient; got 'quick'"),
        (["--end-threshold", "2"], "end_threshold: expected a number from 0 to 1, got 2.0"),
        (["--policy", "none.json"], "expected a JSON file of policies"),
    ],
)
def test_a_policy_that_cannot_be_is_one_clear_line(
    refused: Refused, recording: Path, words: list[str], expected: str
) -> None:
    assert expected in refused(recording, *words)


@pytest.mark.parametrize(("option", "value"), [("--channels", "3"), ("--sample-rate", "10")])
def test_raw_audio_of_an_impossible_form_is_one_clear_line(
    refused: Refused, option: str, value: str
) -> None:
    assert f"got {value}" in refused("-", option, value)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--channels", "1"), ("--sample-rate", "16000"), ("--encoding", "pcm_s16le")],
)
def test_a_file_says_itself_what_raw_audio_needs_options_for(
    refused: Refused, recording: Path, option: str, value: str
) -> None:
    expected = f"expected {option} with -, for raw audio on standard input"
    assert expected in refused(recording, option, value)


def test_rows_and_events_do_not_go_into_one_file(
    refused: Refused, recording: Path, tmp_path: Path
) -> None:
    path, same = tmp_path / "a.csv", tmp_path / "again" / ".." / "a.csv"
    (tmp_path / "again").mkdir()
    line = refused(recording, "--out", path, "--events", same)
    assert "expected two files for --out and --events, got" in line
    assert not path.exists()
