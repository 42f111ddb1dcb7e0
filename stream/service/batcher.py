"""Collects the waiting frames of all conversations into one engine step, the most urgent first. Knows no sockets.

Every conversation has a lane, and a step takes at most one frame from a lane. A frame is due when its last sample has come; from a client
that sends faster than real time, when it would have come at the pace of speech. The frames that are due longest go first
(earliest deadline first), and those ahead of time only fill what is left, `_MAX_EARLY` a step: a file gets all the speed there is
and delays no live conversation. Steps run in the event loop: a step of 64 frames takes about 2 ms, and a thread for it would contend with the
loop for the interpreter's lock; a server that needs more than one core runs several processes. The busier the server, the longer a
step may wait for company (`gather_s`), because a frame costs a fifth in a large step of what it costs alone.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ..engine import Float32, ModelMetadata, StepOutput
from ..session import FrameResult, Session

logger = logging.getLogger(__name__)

_MAX_EARLY = 16  # frames ahead of time in one step: what a live frame may have to wait for
_BURST_S = 2.0  # audio that may come at once and still count as live, because a stalled network lets go of so much
_MOST_LEAD_S = 2.0  # ahead of time; more makes no difference
_FORGIVEN = 0.1  # of a lead, per second: who has become live counts as live again, and a sound card's clock may be a little fast


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
        on_result: called with every frame's result, in order.
        on_error: called once, if the engine fails on this conversation; nothing comes after it.
    """

    def __init__(
        self,
        batcher: Batcher,
        session: Session,
        on_result: Callable[[FrameResult], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self.session = session
        self._batcher = batcher
        self._on_result = on_result
        self._on_error = on_error
        self._arrivals: deque[tuple[int, float]] = (
            deque()
        )  # (frames complete after a push, when the last of them is due)
        self._paced_s = 0.0  # when the audio so far would have ended at the pace of speech
        self._pushed_s = self._accepted_s = 0.0  # the last push, and the last result
        self._queued = False
        self._held = False
        self._closed = False

    def pushed(self, seconds: float) -> None:
        """Tell that so much audio was pushed into the session."""
        now_s = self._batcher.clock()
        paced_s = (
            max(self._paced_s - _FORGIVEN * (now_s - self._pushed_s), now_s - _BURST_S) + seconds
        )
        self._paced_s, self._pushed_s = min(paced_s, now_s + _MOST_LEAD_S), now_s
        frames = self.session.frames_done + self.session.frames_waiting
        if self.session.frames_waiting and (not self._arrivals or self._arrivals[-1][0] < frames):
            self._arrivals.append((frames, max(now_s, self._paced_s)))
        self._wake()

    def forget(self) -> None:
        """The session was reset; its frames count from 0 again."""
        self._arrivals.clear()

    def hold(self) -> None:
        """Predict no further frame until `release`."""
        self._held = True

    def release(self) -> None:
        """Go on after `hold`."""
        if self._held:
            self._held = False
            self._wake()

    def close(self) -> None:
        """Leave; no callback comes any more, and nothing here keeps the conversation alive."""
        self._closed = True
        self._on_result = self._on_error = _ignore

    @property
    def is_early(self) -> bool:
        """Whether the audio has come faster than real time."""
        return self._paced_s > self._batcher.clock()

    @property
    def due_s(self) -> float:
        """When the next frame is due, by the batcher's clock."""
        return self._arrivals[0][1] if self._arrivals else 0.0

    @property
    def waiting_since_s(self) -> float:
        """Since when the next frame could have been predicted on: it is due, and the one before it is done."""
        return max(self.due_s, self._accepted_s)

    def _wake(self) -> None:
        if self.session.frames_waiting and not (self._queued or self._held or self._closed):
            self._queued = True
            self._batcher.enqueue(self)

    def take(self) -> tuple[Float32, Float32] | None:
        """For the batcher: the next frame and the state before it, None if there is nothing to predict on."""
        self._queued = False
        if self._closed or self._held or not self.session.frames_waiting:
            return None
        return self.session.take_frame(), self.session.state

    def accept(self, outcome: tuple[StepOutput, int, Float32] | Exception) -> None:
        """For the batcher: the outcome of the step that the last taken frame was in."""
        if self._closed:
            return
        try:
            if isinstance(outcome, Exception):
                raise outcome
            output, row, next_state = outcome
            self.session.state = (
                next_state.copy()
            )  # a view would keep the whole batch's states alive
            result = self.session.accept(output, row)
            while self._arrivals and self._arrivals[0][0] <= self.session.frames_done:
                self._arrivals.popleft()
            self._accepted_s = self._batcher.clock()
            self._on_result(result)
        except Exception as error:  # reported to this conversation's client; the others go on
            report = self._on_error
            self.close()
            report(error)
            return
        self._wake()


def _ignore(outcome: object) -> None:
    """For a lane that is closed."""


class Batcher:
    """Steps the engine for all lanes, in the event loop it is used in.

    Args:
        engine: shared by all conversations.
        max_batch: most frames in one step. A larger batch costs less per frame but makes everyone in it wait longer.
        on_step: told of every step: seconds it took, frames of live conversations in it, frames ahead of time, worst lag in seconds from
            when a live frame could have been predicted on to when its result had been delivered.
        clock: steady, in seconds.
    Attributes:
        clock: the same.
        gather_s: least time from the start of one step to that of the next, while all that waits is live.
        largest_batch: most frames that one step has had so far.
    """

    def __init__(
        self,
        engine: Steps,
        *,
        max_batch: int = 64,
        on_step: Callable[[float, int, int, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"expected max_batch >= 1, got {max_batch}")
        self.clock = clock
        self.gather_s = 0.0
        self.largest_batch = 0
        self._engine = engine
        self._max_batch = max_batch
        self._on_step = on_step
        self._queue: list[tuple[float, int, Lane]] = []  # a heap; at most one entry per lane
        self._order = itertools.count()  # who came first, among frames due at the same time
        self._scheduled = False
        self._stepped_s = 0.0  # when the last step began

    def open_lane(
        self,
        session: Session,
        on_result: Callable[[FrameResult], None],
        on_error: Callable[[Exception], None],
    ) -> Lane:
        """Give a conversation its place."""
        return Lane(self, session, on_result, on_error)

    def enqueue(self, lane: Lane) -> None:
        """For the lane: it has a frame to predict on."""
        heapq.heappush(self._queue, (lane.due_s, next(self._order), lane))
        self._schedule(lane.is_early)

    def _schedule(self, at_once: bool) -> None:
        """One step after the sockets have been looked at, so that what has come meanwhile can join it."""
        if self._scheduled:
            return
        self._scheduled = True
        loop, wait_s = (
            asyncio.get_running_loop(),
            0.0 if at_once else self._stepped_s + self.gather_s - self.clock(),
        )
        if wait_s > 0:
            loop.call_later(wait_s, self._run)
        else:
            loop.call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        self._stepped_s = began_s = self.clock()
        taken, since_s, early = self._gather(began_s)
        if taken:
            lanes, frames = zip(*taken, strict=True)
            audio, states = zip(*frames, strict=True)
            outcomes = self._step(np.stack(audio), np.stack(states))
            for lane, outcome in zip(lanes, outcomes, strict=True):
                lane.accept(outcome)
            self.largest_batch = max(self.largest_batch, len(taken))
            if self._on_step is not None:
                now_s = self.clock()
                self._on_step(now_s - began_s, len(taken) - early, early, now_s - since_s)
        if self._queue:
            self._schedule(early > 0 or len(taken) == self._max_batch)

    def _gather(
        self, now_s: float
    ) -> tuple[list[tuple[Lane, tuple[Float32, Float32]]], float, int]:
        """The frames of the next step, since when the live one that has waited longest has waited (now, if none is), and how many are ahead of time."""
        taken: list[tuple[Lane, tuple[Float32, Float32]]] = []
        since_s, early = now_s, 0
        while self._queue and len(taken) < self._max_batch:
            due_s, _, lane = self._queue[0]
            if due_s > now_s and early == _MAX_EARLY:
                break
            heapq.heappop(self._queue)
            waiting_since_s, frame = lane.waiting_since_s, lane.take()
            if frame is not None:
                taken.append((lane, frame))
                since_s = min(since_s, waiting_since_s)
                early += due_s > now_s
        return taken, since_s, early

    def _step(
        self, audio: Float32, state: Float32
    ) -> Sequence[tuple[StepOutput, int, Float32] | Exception]:
        """Each row's outputs, row and next state, or the error that it caused.

        When a batch fails, its rows are tried alone, so that only those at fault fail; states are values, so a second try is safe.
        """
        try:
            output, next_state = self._engine.step(audio, state)
        except Exception as error:  # each affected conversation reports it to its client
            logger.exception("engine step failed for a batch of %d", len(audio))
            if len(audio) == 1:
                return [error]
            return [
                outcome
                for row in range(len(audio))
                for outcome in self._step(audio[row : row + 1], state[row : row + 1])
            ]
        return [(output, row, next_state[row]) for row in range(len(audio))]
