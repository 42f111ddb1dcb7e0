"""Rewrites the graph of one step so that every activation is a matrix.

A matrix has one row per speaker (or per conversation) and one column per number. A step has a
single frame, so the time axis has length 1. The exporter's graph spends more time on reshaping,
slicing and transposing than on arithmetic. The rewritten graph is faster:

- Nodes that leave the memory unchanged disappear. Their outputs become views of the same matrix.
- A product with a bias becomes one 2-D product, which ONNX Runtime fuses.
- Cuts and joins of columns are postponed, and meet in one node where a matrix is needed
  (columns.py).
- A choice of columns that transposes a small matrix becomes a transposition.

A node that cannot work on matrices is kept, with its inputs in their original shapes. Two runs with
different batch sizes show the shape of every tensor (graph_shapes.py). The caller verifies the
rewritten graph against torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .columns import Columns, Joined, Layers, join, transposed_shape
from .dead_nodes import name_results, without_dead
from .graph_shapes import (
    Shape,
    batch_leads,
    matrix_shape,
    probe_shapes,
    row_axis,
    size_per_conversation,
)
from .node_names import REST, node_name, part_of

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
        self.results = name_results(proto.graph)
        self.constants: dict[str, NDArray[Any]] = {
            i.name: onnx.numpy_helper.to_array(i) for i in self.graph.initializer
        }
        for node in self.graph.node:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        self.shapes = probe_shapes(proto, inputs, self.constants)
        self.values: dict[str, _Value | Joined | Layers] = {
            i.name: _Value(i.name, self.shapes[i.name]) for i in self.graph.input
        }
        self.nodes: list[Any] = []
        self.part = REST  # of the network, to which new nodes belong
        self.added: dict[str, NDArray[Any]] = {}
        self.reshaped: dict[tuple[str, Shape], str] = {}
        self.widths: dict[str, int] = {}  # name of a matrix that is cut: its number of columns
        self.cuts: dict[Joined, str] = {}  # what was already collected in a matrix of this name

    def run(self) -> None:
        for node in self.graph.node:
            self.part = part_of(node.name)
            if node.op_type != "Constant" and not self._on_matrices(node):
                self._as_it_was(node)
        self.part = REST
        for output in self.graph.output:
            promised = str(output.name)
            computed = self.results.get(promised, promised)
            self._emit("Identity", [self._in_shape(computed, self.shapes[computed])], promised)
        del self.graph.node[:]
        self.graph.node.extend(without_dead(self.nodes, {o.name for o in self.graph.output}))
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
        if not any(name in self.values for name in node.input):
            return False
        if node.op_type == "Split":
            return self._split(node)
        if len(node.output) != 1:
            return False
        shape = self.shapes[node.output[0]]
        source, given = node.input[0], self.shapes.get(node.input[0], ())
        if (
            node.op_type in _VIEWS
            and source in self.values
            and size_per_conversation(shape) == size_per_conversation(given)
            and self._keeps_order(node, given, shape)
        ):
            same = None not in (row_axis(given), row_axis(shape)) and (
                matrix_shape(given) == matrix_shape(shape)
            )
            self.values[node.output[0]] = self.values[source] if same else self._made(source)
            return True
        if self._layers(node, given, shape):
            return True
        if row_axis(shape) is None:
            return False
        if node.op_type == "Concat":
            axis = self._attribute(node, "axis") % len(shape)
            return batch_leads(shape, axis) and self._concat(node)
        if node.op_type == "Slice":
            return self._slice(node, given)
        if node.op_type == "Gather" and node.input[1] in self.constants:
            axis = self._attribute(node, "axis", 0) % len(given)
            order = self.constants[node.input[1]]
            if axis != len(given) - 1 or not batch_leads(given, axis) or order.ndim > 1:
                return False
            return self._column(node, order, shape) or (
                order.ndim == 1
                and self._matrix_node(node, node.input[:1], shape, node.input[1:], axis=1)
            )
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
        copy.name = node_name(self.part, len(self.nodes), node.op_type)
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

    def _slice(self, node: Any, given: Shape) -> bool:
        starts, ends, axes, *rest = (self.constants[name] for name in node.input[1:])
        source = node.input[0]
        if len(axes) != 1 or (rest and rest[0][0] != 1):
            return False
        axis = int(axes[0]) % len(given)
        length = given[axis]
        if isinstance(length, str) or not batch_leads(given, axis):
            return False
        inner = prod(cast("tuple[int, ...]", given[axis + 1 :]))
        first, last, _ = slice(int(starts[0]), int(ends[0])).indices(length)
        columns = cast("Joined", self._columns(source))
        self.values[node.output[0]] = columns.cut(first * inner, last * inner)
        return True

    def _split(self, node: Any) -> bool:
        source, given = node.input[0], self.shapes[node.input[0]]
        axis = self._attribute(node, "axis", 0) % len(given)
        columns = self._columns(source) if batch_leads(given, axis) else None
        if columns is None:
            return False
        widths = [matrix_shape(self.shapes[name])[1] for name in node.output]
        bounds = accumulate(cast("list[int]", widths), initial=0)
        for name, (first, last) in zip(node.output, pairwise(bounds), strict=True):
            self.values[name] = columns.cut(first, last)
        return True

    def _concat(self, node: Any) -> bool:
        matrices = [self._columns(name) for name in node.input]
        if None in matrices:
            return False
        self.values[node.output[0]] = join(*cast("list[Joined]", matrices))
        return True

    def _layers(self, node: Any, given: Shape, shape: Shape) -> bool:
        """Postpone a node that turns (R, L, H) to (L, R, H), or takes or joins its layers.

        Returns:
            False if the node does something else.
        """
        source, result = self.values.get(node.input[0]), node.output[0]
        turns = node.op_type == "Transpose" and list(self._attribute(node, "perm")) == [1, 0, 2]
        if isinstance(source, Layers):
            if turns:
                self.values[result] = join(*source.layers)
            elif node.op_type == "Slice" and list(self.constants[node.input[3]]) == [0]:
                starts, ends = (self.constants[name] for name in node.input[1:3])
                chosen = source.layers[slice(int(starts[0]), int(ends[0]))]
                self.values[result] = chosen[0] if len(chosen) == 1 else Layers(chosen)
            return result in self.values
        if turns and row_axis(given) == 0 and shape[0] != 1:
            columns = cast("Joined", self._columns(node.input[0]))
            count, width = cast("tuple[int, int]", (shape[0], shape[2]))
            self.values[result] = Layers(
                tuple(columns.cut(width * i, width * (i + 1)) for i in range(count))
            )
        elif node.op_type == "Concat" and self._attribute(node, "axis") == 0 and len(shape) == 3:
            layers = [self._columns(name) for name in node.input]
            if None not in layers and all(self.shapes[name][0] == 1 for name in node.input):
                self.values[result] = Layers(tuple(cast("list[Joined]", layers)))
        return result in self.values

    def _column(self, node: Any, order: NDArray[np.integer], shape: Shape) -> bool:
        """Replace a Gather of one column, or of columns that transpose a small matrix.

        Returns:
            False if it gathers others.
        """
        turned = (1, 1) if order.size == 1 else transposed_shape(order - order.min())
        columns = self._columns(node.input[0])
        if turned is None or columns is None:
            return False
        result, first = node.output[0], int(order.min())
        chosen = columns.cut(first, first + order.size)
        if order.size == 1:
            self.values[result] = chosen
            return True
        rows, straight = matrix_shape(shape)[0], f"{result}_straight"
        self.values[straight], self.shapes[straight] = chosen, matrix_shape(shape)
        self._emit("Transpose", [self._in_shape(straight, (rows, *turned))], result, perm=[0, 2, 1])
        self.values[result] = _Value(result, (rows, *turned[::-1]))
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
        self._emit(node.op_type, inputs, node.output[0])
        self.nodes[-1].attribute.extend(node.attribute)
        self.values[node.output[0]] = _Value(node.output[0], matrix_shape(shape))
        return True

    def _matrix_node(
        self, node: Any, operands: Any, shape: Shape, others: Any = (), **attributes: int
    ) -> bool:
        if any(name not in self.values or row_axis(self.shapes[name]) is None for name in operands):
            return False
        inputs = [*(self._as_matrix(name) for name in operands), *others]
        self._emit(node.op_type, inputs, node.output[0], **attributes)
        self.values[node.output[0]] = _Value(node.output[0], matrix_shape(shape))
        return True

    # ---- names in the new graph ----

    def _columns(self, name: str) -> Joined | None:
        """Returns the columns that a tensor consists of, or None if it is no matrix."""
        value = self.values.get(name)
        if isinstance(value, Joined):
            return value
        if value is None or row_axis(self.shapes[name]) is None:
            return None
        matrix, width = self._as_matrix(name), cast("int", matrix_shape(self.shapes[name])[1])
        self.widths[matrix] = width
        return Joined((Columns(matrix, 0, width),))

    def _made(self, name: str) -> _Value:
        """Returns the value of a tensor; adds the nodes that collect it if necessary."""
        value = self.values[name]
        if isinstance(value, Joined):
            value = _Value(self._collected(value), matrix_shape(self.shapes[name]))
        elif isinstance(value, Layers):
            count, rows, width = self.shapes[name]
            joined = f"{name}_by_rows"
            self.values[joined] = join(*value.layers)
            self.shapes[joined] = (rows, count, width)
            by_rows = self._in_shape(joined, self.shapes[joined])
            self._emit("Transpose", [by_rows], name, perm=[1, 0, 2])
            value = _Value(name, self.shapes[name])
        self.values[name] = value
        return value

    def _collected(self, joined: Joined) -> str:
        """Returns the name of a matrix with these columns; adds Slice and Concat if necessary."""
        (first, *others) = joined.pieces
        if not others and (first.first, first.last) == (0, self.widths[first.matrix]):
            return first.matrix
        if joined not in self.cuts:
            if others:
                parts = [self._collected(Joined((piece,))) for piece in joined.pieces]
                name = f"joined_{len(self.cuts)}"
                self._emit("Concat", parts, name, axis=1)
            else:
                name = f"{first.matrix}_{first.first}_to_{first.last}"
                limits = [np.array([bound], np.int64) for bound in (first.first, first.last, 1)]
                self._emit("Slice", [first.matrix, *map(self._constant, limits)], name)
            self.cuts[joined] = name
        return self.cuts[joined]

    def _as_matrix(self, name: str) -> str:
        return self._in_shape(name, matrix_shape(self.shapes[name]))

    def _in_shape(self, name: str, shape: Shape) -> str:
        """Returns the name of the value in this shape; adds a Reshape node if necessary."""
        value = self._made(name)
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

    def _emit(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        name = node_name(self.part, len(self.nodes), kind)
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], name, **attributes))

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
