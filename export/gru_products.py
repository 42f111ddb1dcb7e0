"""Replaces GRU nodes of one step by matrix products and gates.

ONNX Runtime's GRU is made for long sequences. On one frame its products are slower than plain ones,
and it has no int8 form.

Source: Cho et al. 2014, with the reset gate after the recurrent product, as in torch and cuDNN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .node_names import node_name, part_of


def gru_products(proto: Any) -> None:
    """Replace every GRU node, in place.

    Args:
        proto: onnx.ModelProto of one step. Its GRU nodes have one direction, their weights and
            biases are initializers, and their sequences have length 1.
    """
    import onnx

    constants = {i.name: i for i in proto.graph.initializer}
    nodes: list[Any] = []

    def constant(name: str, array: Any) -> str:
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        return name

    def emit(kind: str, inputs: list[str], *outputs: str, **attributes: Any) -> None:
        name = node_name(part, len(nodes), f"Gru{kind}")
        nodes.append(onnx.helper.make_node(kind, inputs, list(outputs), name, **attributes))

    for node in proto.graph.node:
        part = part_of(node.name)
        if node.op_type != "GRU":
            nodes.append(node)
            continue
        x, before = node.input[0], node.input[5]
        input_weight, recurrent_weight, bias = (
            onnx.numpy_helper.to_array(constants[name])[0] for name in node.input[1:4]
        )
        out, hidden = node.output[0], recurrent_weight.shape[1]
        # ONNX orders the gates: update (z), reset (r), new (n).
        input_zr, input_n = np.split(input_weight.T, [2 * hidden], axis=1)
        recurrent_zr, recurrent_n = np.split(recurrent_weight.T, [2 * hidden], axis=1)
        input_zr_bias, input_n_bias, recurrent_zr_bias, recurrent_n_bias = np.split(
            bias, np.cumsum([2 * hidden, hidden, 2 * hidden])
        )
        emit("Concat", [x, before], f"{out}_x_h", axis=-1)
        for name, source, matrix, offset in (
            ("zr_sum", f"{out}_x_h", [input_zr, recurrent_zr], input_zr_bias + recurrent_zr_bias),
            ("input_n", x, [input_n], input_n_bias),
            ("recurrent_n", before, [recurrent_n], recurrent_n_bias),
        ):
            weight = constant(f"{out}_{name}_weight", np.concatenate(matrix))
            emit("MatMul", [source, weight], f"{out}_{name}_product")
            product = f"{out}_{name}_product"
            emit("Add", [product, constant(f"{out}_{name}_bias", offset)], f"{out}_{name}")
        sizes = constant(f"{out}_sizes", np.array([hidden, hidden], np.int64))
        emit("Sigmoid", [f"{out}_zr_sum"], f"{out}_zr")
        emit("Split", [f"{out}_zr", sizes], f"{out}_z", f"{out}_r", axis=-1)
        emit("Mul", [f"{out}_r", f"{out}_recurrent_n"], f"{out}_reset")
        emit("Add", [f"{out}_input_n", f"{out}_reset"], f"{out}_n_sum")
        emit("Tanh", [f"{out}_n_sum"], f"{out}_n")
        emit("Sub", [before, f"{out}_n"], f"{out}_change")
        emit("Mul", [f"{out}_z", f"{out}_change"], f"{out}_kept")
        emit("Add", [f"{out}_n", f"{out}_kept"], node.output[1])
        direction = constant(f"{out}_direction", np.array([1], np.int64))
        emit("Unsqueeze", [node.output[1], direction], out)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
