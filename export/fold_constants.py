"""Computes, at export, everything in a graph that depends on no input.

The exporter reorders the weights of recurrent layers with nodes of the graph. ONNX Runtime would
run them at every start.
"""

from __future__ import annotations

from typing import Any

from ..stream.onnx_session import open_session


def fold_constants(proto: Any) -> None:
    """Replace the nodes that depend on no input by their results, in place.

    Args:
        proto: onnx.ModelProto.
    """
    import onnx

    known = {initializer.name for initializer in proto.graph.initializer}
    constant: list[Any] = []
    varying: list[Any] = []
    for node in proto.graph.node:
        if all(name in known for name in node.input if name):
            constant.append(node)
            known.update(node.output)
        else:
            varying.append(node)
    needed = {name for node in varying for name in node.input} | {
        output.name for output in proto.graph.output
    }
    results = [name for node in constant for name in node.output if name in needed]
    if not results:
        return
    part = onnx.ModelProto()
    part.CopyFrom(proto)
    for field in (part.graph.input, part.graph.output, part.graph.node, part.graph.value_info):
        del field[:]
    part.graph.node.extend(constant)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in results)
    arrays = open_session(part.SerializeToString()).run(results, {})
    del proto.graph.node[:]
    proto.graph.node.extend(varying)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name)
        for name, array in zip(results, arrays, strict=True)
    )
