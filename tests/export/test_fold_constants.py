from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from turnstream.export.fold_constants import fold_constants
from turnstream.stream.onnx_session import open_session


def graph() -> onnx.ModelProto:
    """Return x (B, 2) times a matrix that two nodes make from constants."""
    constants = {
        "weight": np.arange(6, dtype=np.float32).reshape(3, 2),
        "zero": np.array([0], np.int64),
        "two": np.array([2], np.int64),
    }
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Slice", ["weight", "zero", "two", "zero"], ["top"]),
                helper.make_node("Transpose", ["top"], ["turned"]),
                helper.make_node("MatMul", ["x", "turned"], ["y"]),
            ],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 2])],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )


def test_what_no_input_changes_is_computed_once() -> None:
    before, after = graph(), graph()
    fold_constants(after)
    assert [node.op_type for node in after.graph.node] == ["MatMul"]
    onnx.checker.check_model(after)
    x = np.array([[1, 2], [3, 4]], np.float32)
    expected, found = (
        open_session(proto.SerializeToString()).run(["y"], {"x": x})[0] for proto in (before, after)
    )
    np.testing.assert_array_equal(found, expected)
    assert np.any(found)


def test_a_graph_without_such_nodes_stays_as_it_is() -> None:
    proto = graph()
    fold_constants(proto)
    once = proto.SerializeToString()
    fold_constants(proto)
    assert proto.SerializeToString() == once
