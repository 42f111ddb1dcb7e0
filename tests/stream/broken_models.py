"""Models that give NaN or infinity: always, or when the audio is loud."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto
from onnx.helper import make_node, make_tensor

LOUD = 0.9


def broken_model(
    model: Path, out: Path, output: str, value: float, *, when_loud: bool = True
) -> Path:
    """Write the model with `value` added to one output.

    Args:
        model: the whole model.
        out: file to write.
        output: name of the output.
        value: NaN or infinity.
        when_loud: whether it is added only in a frame with a sample of LOUD or more, in any
            conversation of the batch.
    """
    proto = onnx.load(str(model))
    graph = proto.graph
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == output:
                    names[index] = "whole"
    limit = LOUD if when_loud else -1.0
    for name, number in (("limit", limit), ("bad", value), ("good", 0.0)):
        graph.initializer.append(make_tensor(name, TensorProto.FLOAT, [], [number]))
    graph.node.extend(
        [
            make_node("Abs", ["audio"], ["amplitude"]),
            make_node("ReduceMax", ["amplitude"], ["peak"], keepdims=0),
            make_node("Greater", ["peak", "limit"], ["loud"]),
            make_node("Where", ["loud", "bad", "good"], ["added"]),
            make_node("Add", ["whole", "added"], [output]),
        ]
    )
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, str(out))
    return out
