"""Names, shapes and offsets of the tensors in a conversation's state. No torch.

A layer's state is a tensor, or a (nested) dict of its children's states. At the boundary of the
network, the state is one packed float32 vector per conversation, (B, S). Its first half belongs to
speaker 0, its second half to speaker 1. Both halves have the same layout, so swapping them swaps
the speakers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
ShapeTree = Shape | dict[str, Any]  # a shape without the batch axis, or a dict of ShapeTrees


@dataclass(frozen=True)
class StateEntry:
    """One tensor within a speaker's half of the packed state."""

    name: str  # path of the layer, separated by dots
    shape: Shape  # without the batch axis
    offset: int  # within the half, in floats

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class StateLayout:
    """The position of each tensor within a speaker's half of the packed state."""

    entries: tuple[StateEntry, ...]

    @classmethod
    def of(cls, shapes: ShapeTree) -> StateLayout:
        """Return the layout of a tree of shapes, in its order; tensors of size 0 are left out."""
        entries: list[StateEntry] = []
        offset = 0
        for name, shape in _leaves(shapes, ""):
            entry = StateEntry(name, shape, offset)
            if entry.size:
                entries.append(entry)
                offset += entry.size
        return cls(tuple(entries))

    @property
    def speaker_size(self) -> int:
        """Floats per speaker."""
        return sum(entry.size for entry in self.entries)

    @property
    def size(self) -> int:
        """Floats per conversation, S."""
        return 2 * self.speaker_size


def _leaves(shapes: ShapeTree, path: str) -> Iterator[tuple[str, Shape]]:
    if isinstance(shapes, dict):
        for name, child in shapes.items():
            yield from _leaves(child, f"{path}.{name}" if path else name)
    else:
        yield path, shapes
