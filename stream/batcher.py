"""Collects the waiting frames of all conversations into one engine step. Knows no sockets.

Every conversation has a lane. A step takes at most one frame from a lane, and a lane that has more to give goes to the
back of the queue, so a client that sends a file as fast as it can gets no more than its turn. The step runs on one worker
thread (ONNX Runtime lets go of the interpreter lock), so sockets are served meanwhile and the next batch gathers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from .engine import Float32, ModelMetadata, StepOutput
from .session import FrameResult, Session

logger = logging.getLogger(__name__)


class Steps(Protocol):
    """What the batcher needs of an `Engine`."""

    @property
    def metadata(self) -> ModelMetadata:
        """The model's description."""
        ...

    def step(self, audio: Float32, state: Float32) -> tuple[StepOutput, Float32]:
        """Advance every conversation by one frame; see `Engine.step`."""
        ...


class Lane:
    """One conversation's place in the batcher; made by `Batcher.open_lane`.

    Args:
        session: gives frames, takes outputs; only its owner pushes audio into it.
        on_result: called in the event loop with every frame's result, in order.
        on_error: called once, if the engine fails on this conversation; nothing comes after it.
    """

    def __init__(self, batcher: Batcher, session: Session, on_result: Callable[[FrameResult], None], on_error: Callable[[Exception], None]) -> None:
        self.session = session
        self._batcher = batcher
        self._on_result = on_result
        self._on_error = on_error
        self._queued = False  # in the batcher's queue
        self._stepping = False  # in the step that runs now
        self._held = False
        self._closed = False
        self._waiter: tuple[int, asyncio.Future[None]] | None = None

    def wake(self) -> None:
        """Tell the batcher that frames may be waiting."""
        if self.session.frames_waiting and not (self._queued or self._stepping or self._held or self._closed):
            self._queued = True
            self._batcher.enqueue(self)

    def hold(self) -> None:
        """Predict no further frame until `release`; one that is being predicted now still comes."""
        self._held = True

    def release(self) -> None:
        """Go on after `hold`."""
        self._held = False
        self.wake()

    def close(self) -> None:
        """Leave; no callback comes any more and nobody waits."""
        self._closed = True
        self._let_go()

    @property
    def backlog(self) -> int:
        """Frames without a result, the one in the running step included."""
        return self.session.frames_waiting + self._stepping

    async def wait_for_backlog(self, frames: int) -> None:
        """Wait until the backlog is at most `frames`, or the lane is closed. One waiter at a time."""
        if self.backlog > frames and not self._closed:
            self._waiter = (frames, asyncio.get_running_loop().create_future())
            await self._waiter[1]

    def take(self) -> tuple[Float32, Float32] | None:
        """For the batcher: the next frame and the state before it, None if there is nothing to predict on."""
        self._queued = False
        if self._closed or self._held or not self.session.frames_waiting:
            return None
        self._stepping = True
        return self.session.take_frame(), self.session.state

    def accept(self, outcome: tuple[StepOutput, int, Float32] | Exception) -> None:
        """For the batcher: the outcome of the step that the last taken frame was in."""
        self._stepping = False
        if self._closed:
            return
        try:
            if isinstance(outcome, Exception):
                raise outcome
            output, row, next_state = outcome
            self.session.state = next_state.copy()  # a view would keep the whole batch's states alive
            self._on_result(self.session.accept(output, row))
        except Exception as error:  # reported to this conversation's client; the others go on
            self.close()
            self._on_error(error)
            return
        self.wake()
        if self._waiter is not None and self.backlog <= self._waiter[0]:
            self._let_go()

    def _let_go(self) -> None:
        if self._waiter is not None and not self._waiter[1].done():
            self._waiter[1].set_result(None)
        self._waiter = None


class Batcher:
    """Steps the engine for all lanes; an async context manager.

    Args:
        engine: shared by all conversations.
        max_batch: most frames in one step. A larger batch costs less per frame but makes everyone in it wait longer.
    Attributes:
        largest_batch: most frames that one step has had so far.
    """

    def __init__(self, engine: Steps, *, max_batch: int = 64) -> None:
        if max_batch < 1:
            raise ValueError(f"expected max_batch >= 1, got {max_batch}")
        self._engine = engine
        self._max_batch = max_batch
        self._queue: deque[Lane] = deque()  # at most one entry per lane
        self._work = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="turnstream-engine")
        self._task: asyncio.Task[None] | None = None
        self.largest_batch = 0

    async def __aenter__(self) -> Batcher:
        self._task = asyncio.create_task(self._run(), name="turnstream-batcher")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._thread.shutdown()

    def open_lane(self, session: Session, on_result: Callable[[FrameResult], None], on_error: Callable[[Exception], None]) -> Lane:
        """Give a conversation its place."""
        return Lane(self, session, on_result, on_error)

    def enqueue(self, lane: Lane) -> None:
        """For the lane: put it at the back of the queue."""
        self._queue.append(lane)
        self._work.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            candidates = [self._queue.popleft() for _ in range(min(self._max_batch, len(self._queue)))]
            if not self._queue:
                self._work.clear()
            taken = [(lane, *frame) for lane in candidates if (frame := lane.take()) is not None]
            if not taken:
                continue
            self.largest_batch = max(self.largest_batch, len(taken))
            lanes, audio, states = zip(*taken, strict=True)
            outcomes = await loop.run_in_executor(self._thread, self._step, np.stack(audio), np.stack(states))
            for lane, outcome in zip(lanes, outcomes, strict=True):
                lane.accept(outcome)

    def _step(self, audio: Float32, state: Float32) -> Sequence[tuple[StepOutput, int, Float32] | Exception]:
        """One step, on the worker thread: each row's outputs, row and next state, or the error that it caused.

        When a batch fails, its rows are tried alone, so that only those at fault fail; states are values, so a second try is safe.
        """
        try:
            output, next_state = self._engine.step(audio, state)
        except Exception as error:  # each affected conversation reports it to its client
            logger.exception("engine step failed for a batch of %d", len(audio))
            if len(audio) == 1:
                return [error]
            return [outcome for row in range(len(audio)) for outcome in self._step(audio[row : row + 1], state[row : row + 1])]
        return [(output, row, next_state[row]) for row in range(len(audio))]
