"""`turnstream info`: the model file's metadata, for a person and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from turnstream import Engine
from turnstream.cli import main


def test_a_person_reads_what_the_file_holds(
    tiny_model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", "--model", str(tiny_model_path)]) == 0
    metadata = Engine(tiny_model_path).metadata
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["model"] == f"tiny 0, float32, weights {metadata.weights_sha256[:12]}"
    assert lines["file"].startswith(str(tiny_model_path))
    assert lines["audio"] == "16000 Hz, 2 channels, 320 samples a frame (20 ms)"
    assert (
        lines["state"]
        == f"{metadata.state_size} floats a conversation ({metadata.state_size * 4 / 1024:.1f} KB)"
    )
    # 12 hops of 20 ms, and a window of 40 ms: the tiny encoder sees 13 frames
    assert lines["sees"].startswith("0.28 s of past sound at once")
    assert lines["latents"].split()[0] == str(metadata.latent_size)
    assert str(metadata.latent_speaker_size) in lines["latents"]


def test_json_holds_everything(tiny_model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json", "--model", str(tiny_model_path)]) == 0
    assert json.loads(capsys.readouterr().out) == asdict(Engine(tiny_model_path).metadata)


def test_a_file_that_is_no_model_is_one_clear_line(
    tmp_path: Path, complaint: Callable[..., str]
) -> None:
    (tmp_path / "text.onnx").write_text("not a model")
    line = complaint("info", "--model", tmp_path / "text.onnx")
    assert line.startswith(f"{tmp_path / 'text.onnx'}: expected an ONNX model")
