"""A server in a thread of this process, for faults inside it: a failing engine, a jumping clock."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np

from turnstream.stream.engine import Engine, Float32, StepOutput
from turnstream.stream.service.batcher import Steps
from turnstream.stream.service.limits import Limits
from turnstream.stream.service.server import Server

FATAL_SAMPLE = b"\x00\x80" * 2  # full scale in both channels: no speech has it
FULL_SCALE = 0.9999
ROOMY = Limits(max_load=1000, max_lag_s=1000)  # does not refuse a session when the machine is busy


class FailsOnFullScale:
    """An engine that raises when a conversation of the batch has a sample at full scale."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.metadata = engine.metadata
        self.failures = 0

    def step(self, audio: Float32, state: Float32) -> tuple[StepOutput, Float32]:
        if np.abs(audio).max() >= FULL_SCALE:
            self.failures += 1
            raise RuntimeError("made to fail")
        return self._engine.step(audio, state)


@contextlib.contextmanager
def local_server(engine: Steps) -> Iterator[int]:
    """Serve in a thread; yield the port."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()
    port = 0

    async def serve() -> None:
        nonlocal port
        async with Server(engine, port=0, limits=ROOMY) as server:
            port = server.port
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextlib.contextmanager
def jumping_clock(seed: int) -> Iterator[list[float]]:
    """Make the wall clock jump by up to a day, forwards or backwards, at every reading.

    Yields:
        The jumps so far, in seconds.
    """
    rng, jumps, real = random.Random(seed), list[float](), time.time

    def jumped() -> float:
        jumps.append(rng.uniform(-86400, 86400))
        return real() + jumps[-1]

    with patch("time.time", jumped):
        yield jumps
