"""A model repository for Triton: what its own parser reads, and what its implicit state does.

No Triton server runs here. `Sequences` does by ONNX Runtime what config.pbtxt asks Triton for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2

from turnstream.cli import main
from turnstream.export.step_input import PCM, StepInput
from turnstream.models.checkpoint import save_checkpoint
from turnstream.stream.contract import LABELS
from turnstream.stream.engine import Engine, bundled_model
from turnstream.stream.onnx_session import open_session

FLOAT32 = model_config_pb2.TYPE_FP32


def read_config(folder: Path) -> Any:
    """Parse config.pbtxt as Triton does: an unknown field or a wrong type is an error."""
    config = model_config_pb2.ModelConfig()
    return text_format.Parse((folder / "config.pbtxt").read_text(), config)


class Sequences:
    """The "oldest" strategy with implicit state: a step takes one frame of some sequences."""

    def __init__(self, folder: Path) -> None:
        self.config = read_config(folder)
        self.session = open_session(folder / "1" / "model.onnx")
        (self.state,) = self.config.sequence_batching.state
        self.states: dict[int, NDArray[np.float32]] = {}

    def step(self, frames: dict[int, NDArray[np.float32]]) -> dict[int, list[NDArray[Any]]]:
        """Take a frame of each of these sequences; return their outputs."""
        assert len(frames) <= self.config.max_batch_size
        (initial,) = self.state.initial_state
        assert initial.zero_data
        first = np.zeros([*initial.dims], np.float32)
        names = [output.name for output in self.config.output]
        *outputs, states = self.session.run(
            [*names, self.state.output_name],
            {
                self.config.input[0].name: np.stack([*frames.values()]),
                self.state.input_name: np.stack([self.states.get(n, first) for n in frames]),
            },
        )
        self.states |= dict(zip(frames, states, strict=True))
        return {n: [output[row] for output in outputs] for row, n in enumerate(frames)}


def test_the_bundled_model_becomes_a_repository_that_tritons_parser_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--triton", str(tmp_path / "models")]) == 0
    folder = tmp_path / "models" / "turnstream"
    assert capsys.readouterr().out.startswith(f"{folder}: ")
    assert (folder / "1" / "model.onnx").read_bytes() == bundled_model().read_bytes()
    config, session = read_config(folder), open_session(bundled_model())
    assert (config.name, config.backend) == ("turnstream", "onnxruntime")
    (state,) = config.sequence_batching.state
    described = {one.name: [*one.dims] for one in [*config.input, *config.output]}
    described |= {state.input_name: [*state.dims], state.output_name: [*state.dims]}
    tensors = [*session.get_inputs(), *session.get_outputs()]
    assert described == {one.name: one.shape[1:] for one in tensors}
    kinds = {one.data_type for one in [*config.input, *config.output, state, *state.initial_state]}
    assert kinds == {FLOAT32}
    assert [*state.initial_state[0].dims] == [*state.dims]
    assert config.sequence_batching.WhichOneof("strategy_choice") == "oldest"


def test_sequences_that_share_steps_get_what_each_would_get_alone(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    assert main(["export", str(tiny_model_path), "--triton", str(tmp_path)]) == 0
    triton, engine = Sequences(tmp_path / "tiny"), Engine(tiny_model_path)
    audio = np.random.default_rng(3).standard_normal((3, 12, 2, 320)).astype(np.float32) / 10
    alone: dict[int, list[Any]] = {}
    for n, frames in enumerate(audio):
        state, alone[n] = np.zeros((1, engine.metadata.state_size), np.float32), []
        for frame in frames:
            output, state = engine.step(frame[None], state)
            alone[n].append([getattr(output, name)[0] for name in LABELS if name != "next_state"])
    done = dict.fromkeys(alone, 0)
    for members in [(0,), (0, 1), (2, 1, 0), (1, 2)] * 6:
        batch = {n: audio[n][done[n]] for n in members if done[n] < audio.shape[1]}
        for n, outputs in (triton.step(batch) if batch else {}).items():
            for got, expected in zip(outputs, alone[n][done[n]], strict=True):
                np.testing.assert_allclose(got, expected, atol=1e-5)
            done[n] += 1
    assert set(done.values()) == {audio.shape[1]}
    forgetful = Sequences(tmp_path / "tiny")  # the control: without its state, a frame differs
    outputs = forgetful.step({0: audio[0][-1]})[0]
    assert (
        max(
            np.abs(got - expected).max()
            for got, expected in zip(outputs, alone[0][-1], strict=True)
        )
        > 1e-3
    )


def test_a_checkpoint_is_exported_and_written_in_one_go(
    exported: Callable[[str, StepInput], Any], tmp_path: Path
) -> None:
    save_checkpoint(exported("tiny", PCM).model, tmp_path / "run")
    out, repository = tmp_path / "mine.onnx", tmp_path / "models"
    words = ["export", str(tmp_path / "run"), "--out", str(out), "--name", "mine"]
    assert main([*words, "--triton", str(repository)]) == 0
    assert (repository / "mine" / "1" / "model.onnx").read_bytes() == out.read_bytes()
    assert read_config(repository / "mine").name == "mine"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "expected RUN, a folder of `turnstream train`, or --triton DIR, got neither"),
        (
            ["--triton", "models", "--quantize"],
            "expected --triton alone for a network that is exported already, got it with an "
            "option that exports one",
        ),
        (
            ["run", "--triton", "models"],
            "expected --triton with an ONNX file, or with a folder of `turnstream train`, --out "
            "FILE and no --mel; got it with 'run'",
        ),
        (
            ["none.onnx", "--triton", "models"],
            "expected an ONNX model file, got 'none.onnx', which is not a file",
        ),
    ],
)
def test_what_cannot_be_written_is_one_line(
    words: list[str], line: str, complaint: Callable[..., str]
) -> None:
    assert complaint("export", *words) == line


def test_a_model_whose_name_is_no_folders_is_refused(
    exported: Callable[[str, StepInput], Any], tmp_path: Path, complaint: Callable[..., str]
) -> None:
    save_checkpoint(exported("tiny", PCM).model, tmp_path / "run")
    words = ["export", str(tmp_path / "run"), "--out", str(tmp_path / "m.onnx"), "--name", "../up"]
    assert "because its folder gets this name, got '../up'" in complaint(
        *words, "--triton", tmp_path / "models"
    )
    assert not (tmp_path / "up").exists()
