"""A fake microphone that returns what a test gives it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import numpy as np

from turnstream.stream.devices.microphone import Microphone, MicrophoneSource
from turnstream.stream.errors import DeviceError
from turnstream.stream.pcm import Block

MICROPHONE = Microphone(3, "Headset", 1, 48000, True)


class FakeMicrophone(MicrophoneSource):
    """Returns blocks without a device.

    Args:
        blocks: the blocks that it returns. An error among them is raised. A function among them is
            called and gives no block.
        endless: wait for `close` after the last block.
    """

    def __init__(
        self, blocks: Iterable[object], sample_rate_hz: int = 48000, *, endless: bool = False
    ) -> None:
        self.microphone = MICROPHONE
        self.sample_rate_hz = sample_rate_hz
        self.channels = 1
        self.captured_samples = self.dropped_samples = self.overflows = 0
        self.closed = False
        self._given = iter(blocks)
        self._endless = endless
        self._end = threading.Event()

    @property
    def latency_s(self) -> float:
        return 0.01

    def start(self) -> None:
        """Do nothing: blocks come anyway."""

    def __iter__(self) -> Iterator[Block]:
        for given in self._given:
            if self.closed:
                return
            if isinstance(given, DeviceError):
                raise given
            if callable(given):
                given()
            else:
                assert isinstance(given, np.ndarray)
                self.channels = given.shape[1]
                yield given
        if self._endless:
            self._end.wait()

    def take_waiting(self) -> Block:
        """Return the next block, or an empty block when there is none."""
        given = next(self._given, np.zeros((0, 1), np.float32))
        assert isinstance(given, np.ndarray)
        return given

    def close(self) -> None:
        self.closed = True
        self._end.set()
