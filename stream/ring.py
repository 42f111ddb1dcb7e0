"""A ring buffer for PCM audio: a queue of fixed size for blocks of any size.

`push` allocates no memory. When the ring is full, `push` raises and takes none of the samples, so
the caller checks `free` first. The caller decides what happens to audio that does not fit (wait,
drop or refuse), because only the caller can report it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import ShapeError


class PcmRing:
    """A first-in, first-out queue of float32 samples.

    Args:
        channels: channels C of every block.
        capacity_samples: samples per channel that fit. The capacity never grows.

    Raises:
        ShapeError: channels or capacity is below 1.
    """

    def __init__(self, channels: int, capacity_samples: int) -> None:
        if channels < 1 or capacity_samples < 1:
            raise ShapeError(
                "expected at least 1 channel and 1 sample, "
                f"got {channels} channels and {capacity_samples} samples"
            )
        self._samples = np.zeros((channels, capacity_samples), dtype=np.float32)
        self._start = 0
        self._count = 0

    @property
    def channels(self) -> int:
        """Channels C of every block."""
        return self._samples.shape[0]

    @property
    def capacity_samples(self) -> int:
        """Samples per channel that fit."""
        return self._samples.shape[1]

    @property
    def available(self) -> int:
        """Samples per channel that can be popped now."""
        return self._count

    @property
    def free(self) -> int:
        """Samples per channel that can be pushed now."""
        return self.capacity_samples - self._count

    def push(self, samples: NDArray[np.float32]) -> None:
        """Append samples, (N, C) float32, 0 <= N <= `free`.

        Raises:
            ShapeError: another shape or type, or more than `free` samples. The ring is unchanged.
        """
        if samples.ndim != 2 or samples.shape[1] != self.channels or samples.dtype != np.float32:
            raise ShapeError(
                f"expected float32 samples of shape (N, {self.channels}), "
                f"got {samples.dtype} {samples.shape}"
            )
        count = samples.shape[0]
        if count > self.free:
            raise ShapeError(
                f"the ring holds {self.capacity_samples} samples and has room for {self.free}, "
                f"got {count}"
            )
        end = (self._start + self._count) % self.capacity_samples
        before_wrap = min(count, self.capacity_samples - end)
        self._samples[:, end : end + before_wrap] = samples[:before_wrap].T
        if before_wrap < count:
            self._samples[:, : count - before_wrap] = samples[before_wrap:].T
        self._count += count

    def pop(self, count: int) -> NDArray[np.float32]:
        """Remove and return the oldest samples, 0 <= count <= `available`.

        Returns:
            A new array, (count, C) float32. In memory it lies channel by channel, so its `.T` is
            contiguous and ready for a model.

        Raises:
            ShapeError: fewer than `count` samples are available. The ring is unchanged.
        """
        popped = self.peek(count)
        self._start = (self._start + count) % self.capacity_samples
        self._count -= count
        return popped

    def peek(self, count: int) -> NDArray[np.float32]:
        """Returns what `pop(count)` would return, without removing it.

        `peek(available)` returns the whole content of the ring.

        Raises:
            ShapeError: fewer than `count` samples are available.
        """
        if not 0 <= count <= self._count:
            raise ShapeError(
                f"expected to read 0 to {self._count} samples, which is what the ring holds, "
                f"got {count}"
            )
        before_wrap = min(count, self.capacity_samples - self._start)
        oldest = self._samples[:, self._start : self._start + before_wrap]
        if before_wrap < count:
            return np.concatenate([oldest, self._samples[:, : count - before_wrap]], axis=1).T
        return oldest.copy().T

    def clear(self) -> None:
        """Remove all samples."""
        self._start = 0
        self._count = 0
