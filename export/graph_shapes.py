"""The shape of every tensor in the graph of one step, in terms of the batch."""

from __future__ import annotations

from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..stream.errors import ExportError
from ..stream.onnx_session import open_session

Dim = int | str  # a fixed size, "B" (conversations), or "R" = 2 B (one row per speaker)
Shape = tuple[Dim, ...]

# Batch sizes of the two runs. No dimension of the network has this ratio by chance.
_PROBES = (3, 5)


def probe_shapes(
    proto: Any, inputs: dict[str, NDArray[np.float32]], constants: dict[str, NDArray[Any]]
) -> dict[str, Shape]:
    """Returns the shape of every tensor, from two runs with different batch sizes."""
    import onnx

    probe = onnx.ModelProto()
    probe.CopyFrom(proto)
    del probe.graph.output[:]
    names = [
        name for node in proto.graph.node for name in node.output if name and name not in constants
    ]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = open_session(probe.SerializeToString(), optimize=False)
    seen: list[dict[str, tuple[int, ...]]] = []
    for batch in _PROBES:
        feed = {name: np.repeat(array, batch, axis=0) for name, array in inputs.items()}
        seen.append(
            {
                name: np.shape(array)
                for name, array in {
                    **feed,
                    **dict(zip(names, session.run(names, feed), strict=True)),
                }.items()
            }
        )
    return {
        name: tuple(_dim(name, *sizes) for sizes in zip(seen[0][name], seen[1][name], strict=True))
        for name in seen[0]
    }


def _dim(name: str, first: int, second: int) -> Dim:
    """Returns the dimension that has these sizes in the two runs.

    Raises:
        ExportError: it is not fixed, not the batch, and not twice the batch.
    """
    if first == second:
        return first
    symbols: dict[tuple[int, int], Dim] = {_PROBES: "B", (2 * _PROBES[0], 2 * _PROBES[1]): "R"}
    if (first, second) not in symbols:
        raise ExportError(
            f"{name}: expected every dimension to be fixed, the batch, or twice the batch, "
            f"got {first} and {second} for batches of {_PROBES[0]} and {_PROBES[1]}"
        )
    return symbols[first, second]


def size_per_conversation(shape: Shape) -> int:
    """Returns how many numbers a tensor of this shape has per conversation."""
    return prod(2 if dim == "R" else 1 if dim == "B" else cast("int", dim) for dim in shape)


def row_axis(shape: Shape) -> int | None:
    """Returns the batch axis if only axes of length 1 come before it, else None."""
    axis = next((i for i, dim in enumerate(shape) if dim != 1), None)
    return axis if axis is not None and isinstance(shape[axis], str) else None


def batch_leads(shape: Shape, axis: int) -> bool:
    """Returns whether only the batch and axes of length 1 come before this axis."""
    return row_axis(shape) is not None and all(
        isinstance(dim, str) or dim == 1 for dim in shape[:axis]
    )


def matrix_shape(shape: Shape) -> Shape:
    """Returns the shape as a matrix: the batch, and all later axes in one."""
    row = cast("int", row_axis(shape))
    return (shape[row], prod(cast("tuple[int, ...]", shape[row + 1 :])))
