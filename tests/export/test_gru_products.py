from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from turnstream.export.gru_products import gru_products
from turnstream.stream.onnx_session import open_session

INPUTS, HIDDEN = 5, 4


def graph(seed: int = 0) -> onnx.ModelProto:
    """Return one GRU over one frame: x (1, R, INPUTS) and h (1, R, HIDDEN) to both outputs."""
    rng = np.random.default_rng(seed)
    shapes = {
        "W": (1, 3 * HIDDEN, INPUTS),
        "R": (1, 3 * HIDDEN, HIDDEN),
        "B": (1, 6 * HIDDEN),
    }
    node = helper.make_node(
        "GRU", ["x", "W", "R", "B", "", "h"], ["Y", "Y_h"], "dialogue_rnn/3_GRU"
    )
    node.attribute.extend(
        [
            helper.make_attribute("hidden_size", HIDDEN),
            helper.make_attribute("linear_before_reset", 1),
        ]
    )
    return helper.make_model(
        helper.make_graph(
            [node],
            "g",
            [
                helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "R", INPUTS]),
                helper.make_tensor_value_info("h", TensorProto.FLOAT, [1, "R", HIDDEN]),
            ],
            [
                helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1, 1, "R", HIDDEN]),
                helper.make_tensor_value_info("Y_h", TensorProto.FLOAT, [1, "R", HIDDEN]),
            ],
            [
                numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
                for name, shape in shapes.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_products_and_gates_are_the_gru(rows: int) -> None:
    before, after = graph(), graph()
    gru_products(after)
    onnx.checker.check_model(after, full_check=True)
    rng = np.random.default_rng(rows)
    feed = {
        "x": rng.standard_normal((1, rows, INPUTS)).astype(np.float32),
        "h": rng.uniform(-1, 1, (1, rows, HIDDEN)).astype(np.float32),
    }
    expected, found = (
        open_session(proto.SerializeToString()).run(["Y", "Y_h"], feed) for proto in (before, after)
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=1e-6, rtol=0)
    forgotten = feed | {"h": np.zeros_like(feed["h"])}
    (without,) = open_session(after.SerializeToString()).run(["Y"], forgotten)
    assert np.abs(without - expected[0]).max() > 1e-2


def test_the_nodes_are_named_after_the_part_of_the_network() -> None:
    proto = graph()
    gru_products(proto)
    assert {node.name.partition("/")[0] for node in proto.graph.node} == {"dialogue_rnn"}
    assert len({node.name for node in proto.graph.node}) == len(proto.graph.node)
