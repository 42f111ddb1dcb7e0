"""Flattening on small graphs made by hand; on the network's own graphs see test_onnx_graph.py."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from turnstream.export.flatten import flatten
from turnstream.stream.errors import ExportError
from turnstream.stream.onnx_session import open_session

ROWS, WIDTH = 4, 3


def graph(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    """Return a model from x (batch, 2, ROWS, WIDTH) to y, whose shape is inferred."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2, ROWS, WIDTH])
    y = helper.make_empty_tensor_value_info("y")
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    proto = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], initializers),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    inferred = onnx.shape_inference.infer_shapes(proto)
    if not inferred.graph.output[0].type.HasField("tensor_type"):
        inferred.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return inferred


def by_rows(last: str = "rows") -> onnx.NodeProto:
    """Return the node that reshapes conversations to rows, one per speaker."""
    return helper.make_node("Reshape", ["x", "to_rows"], [last])


TO_ROWS = {"to_rows": np.array([-1, ROWS, WIDTH], np.int64)}
WEIGHT = {
    "weight": np.arange(WIDTH * 5, dtype=np.float32).reshape(WIDTH, 5) / 10,
    "bias": np.arange(5, dtype=np.float32),
}


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


GRAPHS: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray]]] = {
    "product with bias on one frame": (
        [
            by_rows(),
            helper.make_node("Slice", ["rows", "one", "two", "one"], ["frame"]),  # (R, 1, WIDTH)
            helper.make_node("MatMul", ["frame", "weight"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["sum"]),
            helper.make_node("Relu", ["sum"], ["y"]),
        ],
        TO_ROWS | WEIGHT | {"one": integers(1), "two": integers(2)},
    ),
    "taps side by side": (
        [
            by_rows(),
            *(
                helper.make_node("Slice", ["rows", f"at{i}", f"at{i + 1}", "at1"], [f"tap{i}"])
                for i in range(ROWS)
            ),  # each (R, 1, WIDTH)
            helper.make_node("Concat", [f"tap{i}" for i in range(ROWS)], ["joined"], axis=2),
            helper.make_node("Tanh", ["joined"], ["y"]),
        ],
        TO_ROWS | {f"at{i}": integers(i) for i in range(ROWS + 1)},
    ),
    "taps apart": (
        [
            by_rows(),
            helper.make_node("Slice", ["rows", "zero", "one", "one"], ["first"]),
            helper.make_node("Slice", ["rows", "two", "three", "one"], ["third"]),
            helper.make_node("Concat", ["third", "first"], ["joined"], axis=2),
            helper.make_node("Sigmoid", ["joined"], ["y"]),
        ],
        TO_ROWS
        | {"zero": integers(0), "one": integers(1), "two": integers(2), "three": integers(3)},
    ),
    "a transpose that moves numbers": (
        [
            by_rows(),
            helper.make_node("Transpose", ["rows"], ["turned"], perm=[0, 2, 1]),
            helper.make_node("Relu", ["turned"], ["y"]),
        ],
        TO_ROWS,
    ),
    "a reversed slice": (
        [
            by_rows(),
            helper.make_node(
                "Slice", ["rows", "minus_one", "before_all", "one", "minus_one"], ["reversed"]
            ),
            helper.make_node("Relu", ["reversed"], ["y"]),
        ],
        TO_ROWS | {"one": integers(1), "minus_one": integers(-1), "before_all": integers(-(2**31))},
    ),
    "speakers exchanged": (
        [
            helper.make_node("Slice", ["x", "zero", "one", "one"], ["own"]),
            helper.make_node("Slice", ["x", "one", "two", "one"], ["other"]),
            helper.make_node("Concat", ["other", "own"], ["exchanged"], axis=1),
            helper.make_node("Sub", ["x", "exchanged"], ["y"]),
        ],
        {"zero": integers(0), "one": integers(1), "two": integers(2)},
    ),
    "a softmax of the last axis and one of another": (
        [
            by_rows(),
            helper.make_node("Softmax", ["rows"], ["last"], axis=-1),
            helper.make_node("Softmax", ["rows"], ["inner"], axis=1),
            helper.make_node("Mul", ["last", "inner"], ["y"]),
        ],
        TO_ROWS,
    ),
    "columns picked by number": (
        [
            by_rows(),
            helper.make_node("Gather", ["rows", "order"], ["picked"], axis=2),
            helper.make_node("Relu", ["picked"], ["y"]),
        ],
        TO_ROWS | {"order": integers(2, 0, 1, 1)},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_numbers_stay_what_they_were_for_any_batch(name: str) -> None:
    before, after = graph(*GRAPHS[name]), graph(*GRAPHS[name])
    x = np.random.default_rng(0).standard_normal((1, 2, ROWS, WIDTH)).astype(np.float32)
    flatten(after, {"x": x})
    onnx.checker.check_model(after)
    for batch in (1, 2, 7):
        x = np.random.default_rng(batch).standard_normal((batch, 2, ROWS, WIDTH)).astype(np.float32)
        expected, found = (
            open_session(proto.SerializeToString(), optimize=False).run(["y"], {"x": x})[0]
            for proto in (before, after)
        )
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-6)


def test_taps_side_by_side_are_taken_as_they_lie() -> None:
    proto = graph(*GRAPHS["taps side by side"])
    flatten(proto, {"x": np.zeros((1, 2, ROWS, WIDTH), np.float32)})
    assert not {"Slice", "Concat"} & {node.op_type for node in proto.graph.node}


def test_a_product_becomes_one_of_plain_matrices() -> None:
    proto = graph(*GRAPHS["product with bias on one frame"])
    flatten(proto, {"x": np.zeros((1, 2, ROWS, WIDTH), np.float32)})
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    (product,) = [node for node in inferred.graph.node if node.op_type == "MatMul"]
    shapes = {
        value.name: len(value.type.tensor_type.shape.dim) for value in inferred.graph.value_info
    }
    assert shapes[product.output[0]] == 2


def test_a_dimension_that_is_neither_fixed_nor_the_batch_is_refused() -> None:
    proto = graph([by_rows("y")], {"to_rows": integers(-1, WIDTH)})  # 2 * ROWS rows a conversation
    with pytest.raises(
        ExportError,
        match=(
            "expected every dimension to be fixed, the batch, or twice the batch, got 24 and 40 "
            "for batches of 3 and 5"
        ),
    ):
        flatten(proto, {"x": np.zeros((1, 2, ROWS, WIDTH), np.float32)})
