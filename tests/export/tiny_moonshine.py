"""A tiny model with the files, the inputs, the branches and the embedding of Moonshine's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from turnstream.stream.onnx_session import ort

TEXTS = ["<unk>", "<s>", "</s>", ".", ",", "...", "\N{LOWER ONE EIGHTH BLOCK}so", "long " * 40, "?"]
CHANNELS = 4
CACHE = ("past_key_values.0.decoder.key", "past_key_values.0.encoder.key")


def moonshine(folder: Path, *, tied: bool = True, mask: str = "attention_mask") -> Path:
    """Write the model, and return its folder.

    Args:
        folder: the folder.
        tied: whether the embedding is the matrix of the logits.
        mask: name of the encoder's mask.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    embedding = rng.integers(0, 255, (len(TEXTS), CHANNELS), np.uint8)
    matrix = embedding.T.copy() if tied else embedding.T[:, ::-1].copy()
    floats, integers = TensorProto.FLOAT, TensorProto.INT64
    encoder = [  # the samples that the mask lets through, as frames of four
        helper.make_node("Cast", [mask], ["factor"], to=floats),
        helper.make_node("Mul", ["input_values", "factor"], ["masked"]),
        helper.make_node("Reshape", ["masked", "frames"], ["last_hidden_state"]),
    ]
    _save_ort(
        folder / "encoder_model.ort",
        encoder,
        [("input_values", floats, ["B", "N"]), (mask, integers, ["B", "N"])],
        [("last_hidden_state", floats, ["B", "T", CHANNELS])],
        {"frames": np.array([1, -1, CHANNELS])},
    )

    def branch(name: str, *, cached: bool) -> onnx.GraphProto:
        """Logits = (embedding of the token + what was heard) @ matrix."""
        nodes = [
            helper.make_node("Gather", ["embedding_quantized", "input_ids"], [f"{name}/token"]),
            helper.make_node(
                "DequantizeLinear", [f"{name}/token", "scale", "zero_point"], [f"{name}/vector"]
            ),
            helper.make_node("Add", [f"{name}/vector", "heard"], [f"{name}/both"]),
            helper.make_node(
                "DequantizeLinear",
                ["matrix_quantized", "scale", "zero_point"],
                [f"{name}/matrix"],
            ),
            helper.make_node("MatMul", [f"{name}/both", f"{name}/matrix"], [f"{name}/logits"]),
            helper.make_node("Identity", [CACHE[1] if cached else "fresh"], [f"{name}/encoder"]),
            helper.make_node("Concat", [CACHE[0], "fresh"], [f"{name}/decoder"], axis=2),
        ]
        outputs = [
            helper.make_tensor_value_info(f"{name}/{part}", floats, None)
            for part in ("logits", "decoder", "encoder")
        ]
        return helper.make_graph(nodes, name, [], outputs)

    presents = [name.replace("past_key_values", "present") for name in CACHE]
    decoder = [
        helper.make_node("Cast", ["encoder_attention_mask"], ["factor"], to=floats),
        helper.make_node("ReduceMin", ["factor"], ["least"], keepdims=0),
        helper.make_node("ReduceMean", ["encoder_hidden_states"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "least"], ["heard"]),
        helper.make_node("Reshape", ["heard", "square"], ["fresh"]),
        helper.make_node(
            "If",
            ["use_cache_branch"],
            ["logits", *presents],
            then_branch=branch("then", cached=True),
            else_branch=branch("else", cached=False),
        ),
    ]
    _save_ort(
        folder / "decoder_model_merged.ort",
        decoder,
        [
            ("encoder_attention_mask", integers, ["B", "T"]),
            ("input_ids", integers, ["B", "L"]),
            ("encoder_hidden_states", floats, ["B", "T", CHANNELS]),
            (CACHE[0], floats, ["B", 1, "past", 1]),
            (CACHE[1], floats, ["B", 1, "frames", 1]),
            ("use_cache_branch", TensorProto.BOOL, [1]),
        ],
        [("logits", floats, None), *((name, floats, None) for name in presents)],
        {
            "embedding_quantized": embedding,
            "matrix_quantized": matrix,
            "scale": np.array(0.02, np.float32),
            "zero_point": np.array(128, np.uint8),
            "square": np.array([1, 1, 1, 1]),
        },
    )
    (folder / "tokenizer.bin").write_bytes(b"".join(map(_with_length, TEXTS)))
    return folder


def _with_length(text: str) -> bytes:
    content = text.encode()
    length = len(content)
    return bytes([length] if length < 128 else [128 + length % 128, length // 128]) + content


def _save_ort(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[tuple[str, int, Any]],
    outputs: list[tuple[str, int, Any]],
    constants: dict[str, NDArray[np.generic]],
) -> None:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(model.SerializeToString(), options)
