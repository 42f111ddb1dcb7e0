from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from turnstream.cli import main
from turnstream.export import pause_graph
from turnstream.export.pause_graph import LEAST_CORRELATION, export_pause_model
from turnstream.models.teachers.judge import Judge
from turnstream.models.teachers.judge_files import ALL, judge_path
from turnstream.models.teachers.saved_judge import PAUSE_MIX, WORDS, SavedJudge
from turnstream.models.teachers.stop_point_space import StopPointSpace
from turnstream.models.teachers.whisper_network import WhisperNetwork
from turnstream.stream.errors import ConfigError, ExportError
from turnstream.stream.onnx_session import open_session
from turnstream.stream.pause_model import PauseModel

from ..models.teachers.tiny_whisper import write_tiny_whisper
from ..recordings import buzz

SAMPLES = 128000


@dataclass(frozen=True)
class ExportedPauseModel:
    """What the command wrote and said, what it was given, and the graph before int8."""

    out: Path
    said: str
    whisper: Path
    judges: Path
    float_graph: bytes

    @property
    def judge(self) -> SavedJudge:
        return SavedJudge.load(judge_path(self.judges, ALL))

    def embed(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the network's embeddings in float32, (B, D)."""
        with torch.inference_mode():
            return WhisperNetwork(self.whisper).eval()(torch.from_numpy(audio)).numpy()

    def run(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the embeddings of the written graph, (B, D)."""
        return open_session(self.out).run(["embedding"], {"audio": audio})[0]


def speech(rows: int) -> NDArray[np.float32]:
    """Return syllables of one voice per row, with a pause at the end."""
    rng = np.random.default_rng(0)
    audio = np.stack([buzz(90 + 37 * row, 8, rng) for row in range(rows)])
    audio[:, -3200:] *= 1e-3
    return audio


def write_judges(folder: Path, whisper: Path) -> None:
    """Write a folder of judges with a made-up judge whose logits vary by some units."""
    with torch.inference_mode():
        embeddings = WhisperNetwork(whisper)(torch.from_numpy(speech(8))).numpy()
    space = StopPointSpace.fit(embeddings.astype(np.float16), 3)
    judge_path(folder, ALL).parent.mkdir()
    SavedJudge(
        Judge((np.array([3.0, -2.0, 1.0]) / space.deviation).astype(np.float32), -0.5), space
    ).save(judge_path(folder, ALL))
    (folder / "judges.json").write_text(json.dumps({"calls": {"a": 0.8, "b": 0.7}}))


@pytest.fixture(scope="module")
def exported_pauses(tmp_path_factory: pytest.TempPathFactory) -> ExportedPauseModel:
    """The command's own work on a tiny Whisper; an export takes seconds."""
    folder = tmp_path_factory.mktemp("pauses")
    whisper = write_tiny_whisper(folder / "whisper")
    (folder / "judged").mkdir()
    write_judges(folder / "judged", whisper)
    out, graphs = folder / "new" / "pause.onnx", []

    def keep(network: WhisperNetwork) -> bytes:
        graphs.append(pause_graph_of(network))
        return graphs[0]

    pause_graph_of = pause_graph._float_graph
    words = ["export", str(folder / "judged"), "--out", str(out), "--teacher", str(whisper)]
    with (
        patch.object(pause_graph, "_float_graph", keep),
        contextlib.redirect_stdout(io.StringIO()) as said,
    ):
        assert main(words) == 0
    return ExportedPauseModel(out, said.getvalue(), whisper, folder / "judged", graphs[0])


@pytest.fixture
def without_exporter(exported_pauses: ExportedPauseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the graph that was exported before."""
    monkeypatch.setattr(pause_graph, "_float_graph", lambda _: exported_pauses.float_graph)


def test_the_command_writes_an_encoder_and_a_head(exported_pauses: ExportedPauseModel) -> None:
    assert sorted(path.name for path in exported_pauses.out.parent.iterdir()) == [
        "pause.json",
        "pause.onnx",
    ]
    model = PauseModel(exported_pauses.out)
    assert model.samples == SAMPLES
    assert model.head == exported_pauses.judge.head("silences of 2 calls, and texts of utterances")
    assert model.head.mix == PAUSE_MIX
    assert exported_pauses.said.startswith(f"{exported_pauses.out}: ")
    assert " MB, verified: torch against ONNX " in exported_pauses.said


def test_the_logit_is_the_judges_of_the_network_in_float32(
    exported_pauses: ExportedPauseModel,
) -> None:
    model, audio = PauseModel(exported_pauses.out), speech(6)
    assert model.head.words == WORDS
    model = model.with_head(msgspec.structs.replace(model.head, words=0.0))
    found = np.array([model.logit(row) for row in audio])
    expected = exported_pauses.judge.logits(exported_pauses.embed(audio).astype(np.float16))
    assert expected.std() > 1
    np.testing.assert_allclose(found, expected, atol=0.3)  # int8
    assert np.abs(found - np.roll(expected, 1)).max() > 1


def test_the_float_graph_is_the_network_and_the_written_one_is_nearly_so(
    exported_pauses: ExportedPauseModel,
) -> None:
    audio = speech(3)
    expected = exported_pauses.embed(audio)
    plain = open_session(exported_pauses.float_graph).run(["embedding"], {"audio": audio})[0]
    np.testing.assert_allclose(plain, expected, atol=1e-4)
    written = exported_pauses.run(audio)
    assert np.corrcoef(written.ravel(), expected.ravel())[0, 1] > LEAST_CORRELATION
    assert np.abs(written - expected).max() > 1e-3  # it is int8
    assert exported_pauses.out.stat().st_size < 0.7 * len(exported_pauses.float_graph)


def test_a_batch_of_two_gives_what_each_gives_alone(exported_pauses: ExportedPauseModel) -> None:
    audio = speech(2)
    audio[1] *= 0.01
    together = exported_pauses.run(audio)
    for row in (0, 1):
        (alone,) = exported_pauses.run(audio[row : row + 1])
        # The rows share the scales of int8, which the layers keep nearly equal.
        np.testing.assert_allclose(together[row], alone, atol=0.03)
        assert np.abs(together[1 - row] - alone).max() > 1


@pytest.mark.parametrize("name", ["pause", "pause.json"])
def test_a_name_that_leaves_no_place_for_the_head_is_refused(
    name: str, exported_pauses: ExportedPauseModel, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=rf"expected the name of an \.onnx file .*{name}'$"):
        export_pause_model(
            exported_pauses.judge, exported_pauses.whisper, tmp_path / name, "made up"
        )
    assert not (tmp_path / name).exists()


@pytest.mark.usefixtures("without_exporter")
def test_int8_that_changes_too_much_is_refused_and_nothing_is_written(
    exported_pauses: ExportedPauseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export_again() -> None:
        export_pause_model(
            exported_pauses.judge, exported_pauses.whisper, tmp_path / "new" / "p.onnx", "made up"
        )

    with monkeypatch.context() as patched:
        patched.setattr(pause_graph, "LEAST_CORRELATION", 1.1)
        with pytest.raises(ExportError, match=r"at least 1\.1 with float32, got 0\.9\d*$"):
            export_again()
    assert not (tmp_path / "new").exists()
    export_again()
    assert PauseModel(tmp_path / "new" / "p.onnx").head.name == "made up"


@pytest.mark.usefixtures("without_exporter")
def test_a_float_graph_that_is_not_the_network_is_refused(
    exported_pauses: ExportedPauseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pause_graph, "MOST_DIFFERENCE", 0.0)
    with pytest.raises(ExportError, match=r"differs from torch by at most 0\.0, got \d\.\de-"):
        export_pause_model(
            exported_pauses.judge, exported_pauses.whisper, tmp_path / "p.onnx", "made up"
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--mel"], ["--golden", "golden.npz"]])
def test_options_of_a_network_are_refused_for_a_judge(
    exported_pauses: ExportedPauseModel, complaint: Callable[..., str], words: list[str]
) -> None:
    assert "expected no --mel, --golden and --quantize for a pause model" in complaint(
        "export", exported_pauses.judges, "--out", "pause.onnx", *words
    )


def test_a_teacher_is_refused_for_a_network(tmp_path: Path, complaint: Callable[..., str]) -> None:
    words = ["export", tmp_path, "--out", tmp_path / "m.onnx", "--teacher", "whisper"]
    line = "expected --teacher with a folder of `turnstream pretrain judge`"
    assert line in complaint(*words)


def test_a_folder_without_whisper_is_one_line_and_exit_code_2(
    exported_pauses: ExportedPauseModel, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    words = ["export", exported_pauses.judges, "--out", tmp_path / "pause.onnx"]
    line = complaint(*words, "--teacher", tmp_path)
    assert line.startswith(f"{tmp_path}: expected a Whisper model in")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError):
        export_pause_model(exported_pauses.judge, tmp_path, tmp_path / "pause.onnx", "made up")
