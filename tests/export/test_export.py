from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.export import export as export_module
from turnstream.export.export import export
from turnstream.export.step_input import MEL, PCM, StepInput
from turnstream.models.checkpoint import save_checkpoint
from turnstream.stream.contract import LABELS, METADATA_KEY
from turnstream.stream.engine import Engine
from turnstream.stream.errors import ConfigError, ExportError
from turnstream.stream.onnx_session import open_session

from ..networks import CONFIGS, random_model

Export = Callable[[str, StepInput], Any]


@pytest.fixture
def checkpoint(exported: Export, tmp_path: Path) -> Path:
    """The tiny network as a checkpoint folder."""
    save_checkpoint(exported("tiny", PCM).model, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_a_graph_that_is_not_the_network_is_not_written(
    exported: Export, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(random_model(CONFIGS["tiny"], seed=8), checkpoint)
    monkeypatch.setattr(export_module, "build", lambda *_: exported("tiny", PCM).graph)
    out = tmp_path / "new" / "model.onnx"
    with pytest.raises(ExportError, match="the graph was not written"):
        export(checkpoint, out)
    assert not out.parent.exists()


def test_a_file_that_is_there_survives_a_failed_export(
    exported: Export, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(random_model(CONFIGS["tiny"], seed=8), checkpoint)
    monkeypatch.setattr(export_module, "build", lambda *_: exported("tiny", PCM).graph)
    out = tmp_path / "model.onnx"
    out.write_bytes(b"the last good one")
    with pytest.raises(ExportError):
        export(checkpoint, out)
    assert out.read_bytes() == b"the last good one"


@pytest.mark.parametrize("name", ["model.onnx", "model.json", "golden.npz"])
def test_a_file_that_cannot_be_written_is_named(
    exported: Export, checkpoint: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "build", lambda *_: exported("tiny", PCM).graph)
    (tmp_path / name).mkdir()
    with pytest.raises(
        ExportError, match=rf"expected a file that can be written, got '.*{name}': Is a directory"
    ):
        export(checkpoint, tmp_path / "model.onnx", golden=tmp_path / "golden.npz")


@pytest.mark.parametrize("step_input", [PCM, MEL], ids=["pcm", "mel"])
def test_golden_inputs_give_the_golden_outputs_again(
    exported: Export,
    checkpoint: Path,
    tmp_path: Path,
    step_input: StepInput,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export_module, "build", lambda *_: exported("tiny", step_input).graph)
    export(
        checkpoint,
        tmp_path / "model.onnx",
        step_input=step_input,
        golden=tmp_path / "golden" / "tiny.npz",
    )
    with np.load(tmp_path / "golden" / "tiny.npz") as archive:
        golden = dict(archive)
    assert set(golden) == {"input", *LABELS}
    session = open_session(tmp_path / "model.onnx")
    name = session.get_inputs()[0].name
    state = np.zeros_like(golden["next_state"])
    for t in range(golden["input"].shape[2]):
        *outputs, state = session.run(
            list(LABELS), {name: np.ascontiguousarray(golden["input"][:, :, t]), "state": state}
        )
        for label, output in zip(LABELS, outputs, strict=False):
            np.testing.assert_array_equal(output, golden[label][:, t], err_msg=label)
    np.testing.assert_array_equal(state, golden["next_state"])


def test_the_command_writes_a_file_that_the_runtime_runs(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, golden = tmp_path / "new" / "model.onnx", tmp_path / "golden.npz"
    arguments = [
        "export",
        str(checkpoint),
        "--out",
        str(out),
        "--golden",
        str(golden),
        "--name",
        "little",
        "--model-version",
        "7",
    ]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "verified: torch whole against ONNX frame by frame" in said
    assert f"{golden}: golden inputs and outputs" in said
    engine = Engine(out)
    assert (engine.metadata.name, engine.metadata.version) == ("little", "7")
    stored = open_session(out).get_modelmeta().custom_metadata_map[METADATA_KEY]
    assert json.loads(out.with_suffix(".json").read_text()) == json.loads(stored)
    with np.load(golden) as archive:
        output, _ = engine.step(
            np.ascontiguousarray(archive["input"][:, :, 0]), engine.init_state(3)
        )
        np.testing.assert_allclose(output.p_next, archive["p_next"][:, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["model", "model.json"])
def test_a_name_that_leaves_no_place_for_the_metadata_is_refused(
    checkpoint: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ExportError, match=rf"expected the name of an \.onnx file .*{name}'$"):
        export(checkpoint, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_missing_checkpoint_is_one_line_and_exit_code_2(
    tmp_path: Path, complaint: Callable[..., str]
) -> None:
    line = complaint("export", tmp_path, "--out", tmp_path / "model.onnx")
    assert line.startswith(
        "expected a checkpoint folder with config.json and model.safetensors, got "
    )
    with pytest.raises(ConfigError):
        export(tmp_path, tmp_path / "model.onnx")


def test_a_checkpoint_needs_the_name_of_the_file(
    checkpoint: Path, complaint: Callable[..., str]
) -> None:
    assert "expected --out FILE, the .onnx file to write, got none" in complaint(
        "export", checkpoint
    )


@pytest.mark.parametrize("option", ["--out", "--golden", "--teacher"])
def test_folds_name_their_files_themselves(
    tmp_path: Path, complaint: Callable[..., str], option: str
) -> None:
    assert "expected no --out, --golden and --teacher with folds.json" in complaint(
        "export", tmp_path / "folds.json", option, "x.onnx"
    )


def test_the_package_runs_as_a_module() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "turnstream.export", "--help"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert ran.returncode == 0
    assert "RUN" in ran.stdout
