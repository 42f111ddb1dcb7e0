"""Rewrites the graph of one step so that every activation is a matrix.

A matrix has one row per speaker (or per conversation) and one column per number. A step has a
single frame, so the time axis has length 1. The exporter's graph spends more time on reshaping,
slicing and transposing than on arithmetic, although these nodes leave the memory unchanged. The
rewritten graph is faster:

- Nodes that leave the memory unchanged disappear. Their outputs become views of the same matrix.
- A product with a bias becomes one 2-D product, which ONNX Runtime fuses.
- Adjacent slices that are concatenated again (the taps of a convolution) become the whole matrix.

A node that cannot work on matrices is kept, with its inputs in their original shapes.

Two runs with different batch sizes show the shape of every tensor. A dimension that changes is the
batch, or twice the batch. The caller verifies the rewritten graph against torch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .graph_shapes import (
    Shape,
    batch_leads,
    matrix_shape,
    probe_shapes,
    row_axis,
    size_per_conversation,
)

_VIEWS = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Transpose", "Gather", "Slice"}
_ELEMENTWISE = {"Relu", "Sigmoid", "Tanh", "Log", "Mul", "Add", "Sub", "Div", "Erf", "Gelu"}


@dataclass(frozen=True)
class _Value:
    """A tensor of the new graph. It holds the numbers of an old tensor in the same order.

    Attributes:
        name: name in the new graph.
        shape: shape in the new graph; the old tensor may have another shape.
    """

    name: str
    shape: Shape


class _Flattener:
    def __init__(self, proto: Any, inputs: dict[str, NDArray[np.float32]]) -> None:
        import onnx

        self.onnx = onnx
        self.graph = proto.graph
        self.results = _name_results(proto.graph)
        self.constants: dict[str, NDArray[Any]] = {
            i.name: onnx.numpy_helper.to_array(i) for i in self.graph.initializer
        }
        for node in self.graph.node:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        self.shapes = probe_shapes(proto, inputs, self.constants)
        self.values = {i.name: _Value(i.name, self.shapes[i.name]) for i in self.graph.input}
        self.nodes: list[Any] = []
        self.added: dict[str, NDArray[Any]] = {}
        self.reshaped: dict[tuple[str, Shape], str] = {}
        # Old name of a slice: the matrix it is cut from, its first column, and the column after its
        # last.
        self.cuts: dict[str, tuple[str, int, int]] = {}
        self.widths: dict[str, int] = {}  # name of such a matrix: its number of columns

    def run(self) -> None:
        for node in self.graph.node:
            if node.op_type != "Constant" and not self._on_matrices(node):
                self._as_it_was(node)
        for output in self.graph.output:
            promised = str(output.name)
            computed = self.results.get(promised, promised)
            self._emit("Identity", [self._in_shape(computed, self.shapes[computed])], promised)
        del self.graph.node[:]
        self.graph.node.extend(_without_dead(self.nodes, {o.name for o in self.graph.output}))
        used = {name for node in self.graph.node for name in node.input}
        del self.graph.initializer[:]
        del self.graph.value_info[:]
        kept = {
            name: array for name, array in {**self.constants, **self.added}.items() if name in used
        }
        self.graph.initializer.extend(
            self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
            for name, array in kept.items()
        )

    # ---- one node at a time ----

    def _on_matrices(self, node: Any) -> bool:
        """Add the node to the new graph as a view or as an operation on matrices.

        Returns:
            False if neither is possible.
        """
        if len(node.output) != 1 or not any(name in self.values for name in node.input):
            return False
        shape = self.shapes[node.output[0]]
        source, given = node.input[0], self.shapes.get(node.input[0], ())
        if (
            node.op_type in _VIEWS
            and source in self.values
            and size_per_conversation(shape) == size_per_conversation(given)
            and self._keeps_order(node, given, shape)
        ):
            self.values[node.output[0]] = _Value(
                self.values[source].name, self.values[source].shape
            )
            return True
        if row_axis(shape) is None:
            return False
        if node.op_type == "Concat":
            axis = self._attribute(node, "axis") % len(shape)
            return batch_leads(shape, axis) and (
                self._rejoined(node, shape) or self._matrix_node(node, node.input, shape, axis=1)
            )
        if node.op_type == "Slice":
            return self._slice(node, given, shape)
        if node.op_type == "Gather" and node.input[1] in self.constants:
            axis = self._attribute(node, "axis", 0) % len(given)
            last: bool = (
                axis == len(given) - 1
                and batch_leads(given, axis)
                and self.constants[node.input[1]].ndim == 1
            )
            return last and self._matrix_node(node, node.input[:1], shape, node.input[1:], axis=1)
        if node.op_type == "MatMul" and node.input[1] in self.constants:
            plain = batch_leads(shape, len(shape) - 1) and self.constants[node.input[1]].ndim == 2
            return plain and self._matrix_node(node, node.input[:1], shape, node.input[1:])
        if node.op_type == "Softmax":
            axis = self._attribute(node, "axis", -1) % len(shape)
            return (
                axis == len(shape) - 1
                and batch_leads(shape, axis)
                and self._matrix_node(node, node.input, shape, axis=1)
            )
        if node.op_type in _ELEMENTWISE:
            return self._elementwise(node, shape)
        return False

    def _as_it_was(self, node: Any) -> None:
        """Copy a node to the new graph, with its inputs in the shapes that it expects."""
        copy = type(node)()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend(
            self._in_shape(name, self.shapes[name]) if name in self.values else name
            for name in node.input
        )
        self.nodes.append(copy)
        for name in node.output:
            if name:
                self.values[name] = _Value(name, self.shapes[name])

    def _keeps_order(self, node: Any, given: Shape, shape: Shape) -> bool:
        """Returns whether a node in `_VIEWS` keeps the order of all numbers in memory.

        The caller has checked that the node keeps their count.
        """
        if node.op_type == "Transpose":
            order = list(self._attribute(node, "perm"))
            moved = [axis for axis in order if given[axis] != 1]
            return moved == sorted(moved)
        if node.op_type == "Slice":
            steps = self.constants[node.input[4]] if len(node.input) > 4 else np.ones(1)
            return all(int(step) > 0 for step in steps)
        if node.op_type == "Gather":
            return given[int(self._attribute(node, "axis", 0))] == 1
        return True

    def _slice(self, node: Any, given: Shape, shape: Shape) -> bool:
        starts, ends, axes, *rest = (self.constants[name] for name in node.input[1:])
        if len(axes) != 1 or (rest and rest[0][0] != 1):
            return False
        axis = int(axes[0]) % len(given)
        length = given[axis]
        if isinstance(length, str) or not batch_leads(given, axis):
            return False
        inner = prod(cast("tuple[int, ...]", given[axis + 1 :]))
        first, last, _ = slice(int(starts[0]), int(ends[0])).indices(length)
        limits = [
            self._constant(np.array([bound], np.int64))
            for bound in (first * inner, last * inner, 1)
        ]
        source = self._as_matrix(node.input[0])
        self.widths[source] = inner * length
        self.cuts[node.output[0]] = (source, first * inner, last * inner)
        return self._matrix_node(node, node.input[:1], shape, limits)

    def _rejoined(self, node: Any, shape: Shape) -> bool:
        """Replace a Concat of adjacent slices by the matrix they were cut from.

        Such slices are the taps of a convolution without dilation.

        Returns:
            False if the slices are not adjacent or do not cover the whole matrix.
        """
        cuts = [self.cuts.get(name) for name in node.input]
        if (
            any(a is None or b is None or a[0] != b[0] or a[2] != b[1] for a, b in pairwise(cuts))
            or not cuts[0]
            or not cuts[-1]
        ):
            return False
        source, first, last = cuts[0][0], cuts[0][1], cuts[-1][2]
        if (first, last) != (0, self.widths[source]):
            return False
        self.values[node.output[0]] = _Value(source, matrix_shape(shape))
        return True

    def _elementwise(self, node: Any, shape: Shape) -> bool:
        inputs: list[str] = []
        for name in node.input:
            if name in self.values:
                if (
                    size_per_conversation(self.shapes[name]) != size_per_conversation(shape)
                    or row_axis(self.shapes[name]) is None
                ):
                    return False
                inputs.append(self._as_matrix(name))
            elif self.constants[name].size == 1:
                inputs.append(self._constant(self.constants[name].reshape(())))
            elif self.constants[name].ndim == 1 and batch_leads(shape, len(shape) - 1):
                inputs.append(name)
            else:
                return False
        self._emit(node.op_type, inputs, node.output[0], node.attribute)
        self.values[node.output[0]] = _Value(node.output[0], matrix_shape(shape))
        return True

    def _matrix_node(
        self, node: Any, operands: Any, shape: Shape, others: Any = (), **attributes: int
    ) -> bool:
        if any(name not in self.values or row_axis(self.shapes[name]) is None for name in operands):
            return False
        inputs = [*(self._as_matrix(name) for name in operands), *others]
        self._emit(
            node.op_type,
            inputs,
            node.output[0],
            [self.onnx.helper.make_attribute(*pair) for pair in attributes.items()],
        )
        self.values[node.output[0]] = _Value(node.output[0], matrix_shape(shape))
        return True

    # ---- names in the new graph ----

    def _as_matrix(self, name: str) -> str:
        return self._in_shape(name, matrix_shape(self.shapes[name]))

    def _in_shape(self, name: str, shape: Shape) -> str:
        """Returns the name of the value in this shape; adds a Reshape node if necessary."""
        value = self.values[name]
        if value.shape == shape:
            return value.name
        key = (value.name, shape)
        if key not in self.reshaped:
            target = np.array([-1 if isinstance(dim, str) else dim for dim in shape], np.int64)
            self.reshaped[key] = f"{value.name}_as_{'_'.join(map(str, shape))}"
            self._emit("Reshape", [value.name, self._constant(target)], self.reshaped[key])
        return self.reshaped[key]

    def _constant(self, array: NDArray[Any]) -> str:
        name = (
            f"{array.dtype}_{'x'.join(map(str, array.shape))}_{'_'.join(map(str, array.ravel()))}"
        )
        self.added[name] = array
        return name

    def _emit(self, kind: str, inputs: list[str], output: str, attributes: Any = ()) -> None:
        node = self.onnx.helper.make_node(kind, inputs, [output])
        node.attribute.extend(attributes)
        self.nodes.append(node)

    def _attribute(self, node: Any, name: str, default: Any = None) -> Any:
        for attribute in node.attribute:
            if attribute.name == name:
                return self.onnx.helper.get_attribute_value(attribute)
        return default


def flatten(proto: Any, inputs: dict[str, NDArray[np.float32]]) -> None:
    """Rewrite the graph of one step in place.

    Args:
        proto: onnx.ModelProto. Its batch size is dynamic and all other dimensions are fixed.
        inputs: an example of each input for one conversation, (1, ...).
    Raises:
        ExportError: a dimension is not fixed, not the batch, and not twice the batch.
    """
    _Flattener(proto, inputs).run()


def _name_results(graph: Any) -> dict[str, str]:
    """Rename the tensors that have the names of the graph's outputs, and return old name to new.

    The rewritten graph uses the original names for its own outputs.
    """
    made = {name for node in graph.node for name in node.output}
    renamed = {
        output.name: f"{output.name}_computed" for output in graph.output if output.name in made
    }
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = renamed.get(name, name)
    return renamed


def _without_dead(nodes: list[Any], outputs: set[str]) -> list[Any]:
    """Returns the nodes without those that are not needed.

    It drops nodes whose results are not used. It also drops an Identity node if the value that it
    copies can take the name of the copy.
    """
    needed, alive = set(outputs), list[Any]()
    for node in reversed(nodes):
        if any(name in needed for name in node.output):
            alive.append(node)
            needed.update(node.input)
    alive.reverse()
    uses = Counter(name for node in alive for name in node.input)
    makers = {name: node for node in alive for name in node.output}
    kept: list[Any] = []
    for node in alive:
        source = node.input[0] if node.op_type == "Identity" else ""
        if source in makers and uses[source] == 1:
            outputs_of = list(makers[source].output)
            del makers[source].output[:]
            makers[source].output.extend(
                node.output[0] if name == source else name for name in outputs_of
            )
        else:
            kept.append(node)
    return kept
