"""Names, shapes and places of everything a conversation remembers. No torch.

A layer's state is a tensor or a dict of its children's states (nested). At the boundary of the network it is
one packed float32 vector per conversation, (B, S): speaker 0's half first, then speaker 1's, each laid out alike,
so that swapping the halves swaps the speakers.
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

    name: str  # path of the layer, dots between
    shape: Shape  # without the batch axis
    offset: int  # within the half, in floats

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class StateLayout:
    """Where each tensor lies within a speaker's half of the packed state."""

    entries: tuple[StateEntry, ...]

    @classmethod
    def of(cls, shapes: ShapeTree) -> StateLayout:
        """Lay out a tree of shapes in its own order; tensors of size 0 are left out."""
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
        """Floats of one speaker."""
        return sum(entry.size for entry in self.entries)

    @property
    def size(self) -> int:
        """Floats of one conversation, S."""
        return 2 * self.speaker_size


def _leaves(shapes: ShapeTree, path: str) -> Iterator[tuple[str, Shape]]:
    if isinstance(shapes, dict):
        for name, child in shapes.items():
            yield from _leaves(child, f"{path}.{name}" if path else name)
    else:
        yield path, shapes
