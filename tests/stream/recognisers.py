"""A tiny recogniser that writes a given text, and checks on the way how its cache is used."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from turnstream.stream.recogniser import Tokens

BEGIN, END, STOP, COMMA, WORD, OTHER = range(6)
TOKENS = Tokens("tiny", begin=BEGIN, end=END, complete=(STOP,), incomplete=(COMMA,))


def tiny_recogniser(folder: Path, logits: NDArray[np.float32], tokens: Tokens = TOKENS) -> Path:
    """Write a recogniser into a folder; return the path for `Recogniser`.

    What it hears is the loudest sample. Its decoder gives the rows of `logits`, one after the
    other, times that. From the second token on it takes the loudest sample from its cache, and
    gives NaN in place of a new one.

    Args:
        folder: the folder.
        logits: of six tokens, at each position of the text, (N, 6).
        tokens: what the tokens mean.
    """
    audio = helper.make_tensor_value_info("input_values", TensorProto.FLOAT, ["B", "N"])
    heard = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [1, "T", 1])
    encoder = [
        helper.make_node("Abs", ["input_values"], ["loudness"]),
        helper.make_node("ReduceMax", ["loudness"], ["loudest"], keepdims=1),
        helper.make_node("Reshape", ["loudest", "one_frame"], ["last_hidden_state"]),
    ]
    path = folder / "tiny_encoder.onnx"
    _save(path, encoder, [audio], [heard], {"one_frame": np.array([1, 1, 1])})

    def cache(name: str, length: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", 1, length, 1])

    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["B", "L"]),
        helper.make_tensor_value_info("encoder_hidden_states", TensorProto.FLOAT, ["B", "T", 1]),
        cache("past_key_values.0.decoder.key", "past"),
        cache("past_key_values.0.encoder.key", "frames"),
        helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", "L", logits.shape[1]]),
        cache("present.0.decoder.key", "length"),
        cache("present.0.encoder.key", "frames"),
    ]
    decoder = [
        helper.make_node("Shape", ["past_key_values.0.decoder.key"], ["position"], start=2, end=3),
        helper.make_node("Gather", ["table", "position"], ["row"]),
        helper.make_node("Reshape", ["encoder_hidden_states", "square"], ["fresh"]),
        helper.make_node("Where", ["use_cache_branch", "nan", "fresh"], ["present.0.encoder.key"]),
        helper.make_node(
            "Concat", ["past_key_values.0.encoder.key", "fresh"], ["old_and_new"], axis=2
        ),
        helper.make_node("Gather", ["old_and_new", "first"], ["loudest"], axis=2),
        helper.make_node("Reshape", ["loudest", "one"], ["factor"]),
        helper.make_node("Mul", ["row", "factor"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "as_logits"], ["logits"]),
        helper.make_node(
            "Concat",
            ["past_key_values.0.decoder.key", "fresh"],
            ["present.0.decoder.key"],
            axis=2,
        ),
    ]
    constants = {
        "table": logits.astype(np.float32),
        "square": np.array([1, 1, 1, 1]),
        "nan": np.full((1, 1, 1, 1), np.nan, np.float32),
        "first": np.array([0]),
        "one": np.array([1]),
        "as_logits": np.array([1, 1, logits.shape[1]]),
    }
    _save(folder / "tiny_decoder.onnx", decoder, inputs, outputs, constants)
    (folder / "tiny.json").write_bytes(msgspec.json.encode(tokens))
    return path


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, NDArray[np.generic]],
) -> None:
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
