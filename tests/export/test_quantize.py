"""The int8 graph: what it keeps of the float graph, and what makes it refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from turnstream.cli import main
from turnstream.export import quantize as quantize_module
from turnstream.export import verify_int8 as verify_module
from turnstream.export.quantize import quantize
from turnstream.export.speech import calibration_frames, comparison_frames
from turnstream.export.step_input import MEL, PCM, StepInput
from turnstream.export.verify import run_frames, run_torch, verification_audio
from turnstream.export.verify_int8 import verify_int8
from turnstream.models.checkpoint import save_checkpoint
from turnstream.stream.contract import LABELS, METADATA_KEY
from turnstream.stream.engine import Engine
from turnstream.stream.errors import ExportError
from turnstream.stream.onnx_session import open_session

from ..networks import CONFIGS

Export = Callable[[str, StepInput], Any]
each_graph = pytest.mark.parametrize(
    ("name", "step_input"), [*((name, PCM) for name in CONFIGS), ("tiny", MEL)]
)


def frames(one: Any, step_input: StepInput) -> np.ndarray:
    return run_torch(one.model, step_input, verification_audio(one.model))[0]


@each_graph
def test_the_int8_graph_predicts_nearly_the_same(
    exported: Export, name: str, step_input: StepInput
) -> None:
    one = exported(name, step_input)
    x = frames(one, step_input)
    small = quantize(one.graph, x)
    expected, found = (
        run_frames(open_session(graph), one.model, step_input, x) for graph in (one.graph, small)
    )
    for label in ("vad", "p_next", "p_now", "p_future", "p_backchannel"):
        gap = np.abs(found[label] - expected[label])
        assert gap.mean() < 0.01, label
    assert not np.array_equal(found["latent"], expected["latent"])


@each_graph
def test_a_conversation_in_a_batch_gets_the_same_bits_as_alone_in_int8(
    exported: Export, name: str, step_input: StepInput
) -> None:
    one = exported(name, step_input)
    x = frames(one, step_input)
    session = open_session(quantize(one.graph, x))
    # A loud neighbour would change a scale that is measured on the batch.
    x = np.concatenate([x, 20 * x[:1], 0 * x[:1]])[:, :, :20]
    together = run_frames(session, one.model, step_input, x)
    for row in range(len(x)):
        alone = run_frames(session, one.model, step_input, x[row : row + 1])
        for label in LABELS:
            np.testing.assert_array_equal(alone[label][0], together[label][row], err_msg=label)


def test_every_product_of_the_layers_is_int8_and_the_features_are_not(exported: Export) -> None:
    one = exported("tiny", PCM)
    proto = onnx.load_from_string(quantize(one.graph, frames(one, PCM)))
    products = {
        kind: {node.name.partition("/")[0] for node in proto.graph.node if node.op_type == kind}
        for kind in ("MatMul", "MatMulIntegerToFloat")
    }
    assert products["MatMulIntegerToFloat"] == {"encoder", "speaker_rnn", "dialogue_rnn", "heads"}
    assert products["MatMul"] == {"features", "rest"}
    for node in proto.graph.node:
        if node.op_type == "MatMulIntegerToFloat":
            weight = next(i for i in proto.graph.initializer if i.name == node.input[1])
            assert np.abs(onnx.numpy_helper.to_array(weight)).max() <= quantize_module.WEIGHT_LEVELS


def test_the_metadata_tell_the_two_graphs_apart(exported: Export) -> None:
    one = exported("tiny", PCM)
    plain, small = (
        json.loads(open_session(graph).get_modelmeta().custom_metadata_map[METADATA_KEY])
        for graph in (one.graph, quantize(one.graph, frames(one, PCM)))
    )
    assert small["precision"] == "int8"
    assert small["quantized_from"] == plain["weights_sha256"] != small["weights_sha256"]
    changed = {"precision", "quantized_from", "weights_sha256"}
    assert {k: v for k, v in small.items() if k not in changed} == {
        k: v for k, v in plain.items() if k not in changed
    }


def test_too_coarse_weights_are_refused(exported: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    one = exported("tiny", PCM)
    x = comparison_frames(one.model, PCM)[:, :, :400]
    monkeypatch.setattr(quantize_module, "WEIGHT_LEVELS", 1)
    monkeypatch.setattr(verify_module, "MOST_MEAN", 1e-3)
    with pytest.raises(ExportError, match=r"int8: expected \w+ to change by at most 0\.15, and by"):
        verify_int8(quantize(one.graph, x), one.graph, one.model, PCM, x)


def test_the_halves_of_the_call_are_not_the_same_speech(exported: Export) -> None:
    model = exported("tiny", PCM).model
    measured, compared = calibration_frames(model, PCM), comparison_frames(model, PCM)
    assert measured.shape[2] == compared.shape[2] > 1000
    assert not np.array_equal(measured[2], compared[0])
    assert np.abs(measured).max() == 1  # the loudest is clipped


def test_the_command_writes_both_graphs(
    exported: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(exported("tiny", PCM).model, tmp_path / "checkpoint")
    out = tmp_path / "model.onnx"
    assert main(["export", str(tmp_path / "checkpoint"), "--out", str(out), "--quantize"]) == 0
    assert "verified: int8 against float" in capsys.readouterr().out
    small, plain = Engine(tmp_path / "model.int8.onnx"), Engine(out)
    assert (small.metadata.precision, plain.metadata.precision) == ("int8", "float32")
    assert small.path.stat().st_size < plain.path.stat().st_size
    about = json.loads((tmp_path / "model.int8.json").read_text())
    assert about["weights_sha256"] == small.metadata.weights_sha256
