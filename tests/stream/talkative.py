"""A tiny model that hears speech.

The random network's speech probabilities never reach the threshold, so nobody would hold the
floor.
"""

from __future__ import annotations

from pathlib import Path

import onnx


def talkative_model(tiny_model: Path, out: Path) -> Path:
    """Write the model with its speech probabilities doubled, up to 1."""
    model = onnx.load(str(tiny_model))
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == "vad":
                    names[index] = "vad_before"
    graph.initializer.append(onnx.helper.make_tensor("vad_gain", onnx.TensorProto.FLOAT, [], [2.0]))
    graph.initializer.append(
        onnx.helper.make_tensor("vad_ceiling", onnx.TensorProto.FLOAT, [], [1.0])
    )
    graph.node.append(onnx.helper.make_node("Mul", ["vad_before", "vad_gain"], ["vad_doubled"]))
    graph.node.append(onnx.helper.make_node("Min", ["vad_doubled", "vad_ceiling"], ["vad"]))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(out))
    return out
