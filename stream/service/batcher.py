"""Collects the waiting frames of all conversations into engine steps, earliest deadline first.

A step takes at most one frame from each conversation. A live frame is due when its last sample
arrives. If a client sends faster than real time, the frame is due when its last sample would have
arrived in real time. Until then the frame is early.

The frame with the earliest deadline is taken first. Early frames only fill what is left of a step,
and at most `_MAX_EARLY` of them; fewer if what follows from them takes longer than `_EARLY_S`. That
includes the audio that the conversation then takes from its client, and resamples. Once a live
frame has waited for `_LATE_S`, a step takes a single early one. So a file is processed as fast as
the engine allows, and delays no live conversation.

Steps run in the event loop. A step of 64 frames takes about 2 ms. A thread would compete with the
loop for the interpreter lock. A server that needs more than one core runs several processes.

The pause model takes much longer, so it runs in a thread of its own, which starts a second one for
the words; on Linux it has the same niceness. Meanwhile the conversation
that asked it waits, and no other one does. Conversations are answered in the order in which they
asked, each at most once at a time. The server admits no more of them than the measured load allows.

The busier the server, the longer a step may wait for more frames (`gather_s`). A frame in a large
step costs a fifth of a frame that is processed alone.

This module knows no sockets. `audio_queue.py` has the frames of one conversation.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from ..engine import Float32, ModelMetadata, StepOutput
from ..pause_model import PauseModel
from ..prediction import Prediction
from ..session import Session
from .audio_queue import AudioQueue

logger = logging.getLogger(__name__)

_MAX_EARLY = 16  # most early frames in one step; a live frame may have to wait for them
_EARLY_S = 0.002  # time for the results of the early frames of one step
_LATE_S = 0.02
_PAUSE_NICENESS = 10  # of the pause model's thread


class Steps(Protocol):
    """The part of an `Engine` that the batcher uses."""

    @property
    def metadata(self) -> ModelMetadata:
        """Metadata of the model."""
        ...

    def step(self, audio: Float32, state: Float32) -> tuple[StepOutput, Float32]:
        """Advance every conversation in the batch by one frame; see `Engine.step`."""
        ...


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(str(error))


def _yield_to_loop() -> None:
    """Let the event loop's thread go first where the two share a core."""
    with contextlib.suppress(AttributeError, OSError):  # Linux has priorities of threads
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _PAUSE_NICENESS)


class Batcher:
    """Runs the engine for all conversations, in the event loop of the caller.

    Args:
        engine: shared by all conversations.
        max_batch: most frames in one step. A larger batch costs less per frame, but every frame
            in it waits longer.
        on_step: called after every step with its duration in seconds, its number of live frames,
            its number of early frames, and its worst lag in seconds. The lag of a live frame runs
            from when it was ready to the delivery of its result.
        clock: monotonic clock, in seconds.
        pause_model: asked in the pauses of all conversations; None for none.
    Attributes:
        clock, pause_model: the same.
        metadata: metadata of the engine's model.
        live_s, early_s: time spent so far on steps, for live and for early frames.
        gather_s: least time between the starts of two steps while only live frames wait.
        largest_batch: most frames that one step has had so far.
    Raises:
        ValueError: max_batch is below 1.
    """

    def __init__(
        self,
        engine: Steps,
        *,
        max_batch: int = 64,
        on_step: Callable[[float, int, int, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause_model: PauseModel | None = None,
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"expected max_batch >= 1, got {max_batch}")
        self.clock = clock
        self.pause_model = pause_model
        self.metadata = engine.metadata
        # One thread, which has nothing to do without a pause model and is then never started.
        self._thread = ThreadPoolExecutor(1, "pause-model", initializer=_yield_to_loop)
        self._thread_closed = False
        self.gather_s = 0.0
        self.largest_batch = 0
        self.live_s = self.early_s = 0.0
        self._engine = engine
        self._max_batch = max_batch
        self._on_step = on_step
        self._queue: list[tuple[float, int, AudioQueue]] = []  # a heap; one entry per conversation
        self._order = itertools.count()  # orders frames that are due at the same time
        self._scheduled = False
        self._stepped_s = 0.0  # when the last step began
        self._most_early = _MAX_EARLY

    def open_audio_queue(
        self,
        session: Session,
        on_result: Callable[[Prediction], None],
        on_error: Callable[[Exception], None],
    ) -> AudioQueue:
        """Return a new frame queue for one conversation; see `AudioQueue` for the arguments."""
        return AudioQueue(self, session, on_result, on_error)

    def enqueue(self, audio_queue: AudioQueue) -> None:
        """Schedule a conversation that has a frame to predict. Only `AudioQueue` calls this."""
        heapq.heappush(self._queue, (audio_queue.due_s, next(self._order), audio_queue))
        self._schedule(audio_queue.is_early)

    def ask_pause_model(
        self, audio: Float32, on_answer: Callable[[float | Exception], None]
    ) -> None:
        """Score a pause in the thread, and pass the logit or the error to `on_answer`.

        Only `AudioQueue` calls this. A conversation asks at most once at a time.
        """
        assert self.pause_model is not None
        if self._thread_closed:
            return
        asked = asyncio.get_running_loop().run_in_executor(
            self._thread, self.pause_model.logit, audio
        )

        def answered(future: asyncio.Future[float]) -> None:
            if not future.cancelled():
                error = future.exception()
                on_answer(future.result() if error is None else _as_exception(error))

        asked.add_done_callback(answered)

    def close(self) -> None:
        """Stop the thread of the pause model; conversations that wait for it get no answer."""
        self._thread_closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _schedule(self, at_once: bool) -> None:
        """Schedule the next step.

        The event loop reads the sockets before the step, so frames that have just arrived join it.

        Args:
            at_once: do not wait for `gather_s`.
        """
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
            audio_queues, frames = zip(*taken, strict=True)
            audio, states = zip(*frames, strict=True)
            # As `np.stack` does, in half of its time.
            batch = np.concatenate(audio).reshape(len(audio), *audio[0].shape)
            outcomes = self._step(batch, np.concatenate(states).reshape(len(states), -1))
            results = list(zip(audio_queues, outcomes, strict=True))
            live = len(taken) - early  # they come first
            for audio_queue, outcome in results[:live]:
                audio_queue.accept(outcome)
            live_done_s = self.clock()
            for audio_queue, outcome in results[live:]:
                audio_queue.accept(outcome)
            self._count(began_s, live_done_s, live, early, since_s)
        if self._queue:
            self._schedule(early > 0 or len(taken) == self._max_batch)

    def _count(
        self, began_s: float, live_done_s: float, live: int, early: int, since_s: float
    ) -> None:
        """Note the cost of a step, and how many early frames the next one may have."""
        now_s = self.clock()
        live_s = (live_done_s - began_s) * live / (live + early)
        self.live_s += live_s
        self.early_s += now_s - began_s - live_s
        if early:
            each_s = (now_s - live_done_s) / early
            fitting = int(_EARLY_S / each_s) if each_s else _MAX_EARLY
            self._most_early = max(1, min(_MAX_EARLY, fitting))
        self.largest_batch = max(self.largest_batch, live + early)
        if self._on_step is not None:
            self._on_step(now_s - began_s, live, early, live_done_s - since_s)

    def _gather(
        self, now_s: float
    ) -> tuple[list[tuple[AudioQueue, tuple[Float32, Float32]]], float, int]:
        """Take the frames of the next step from the queue.

        Returns:
            The batch, as pairs of an `AudioQueue` and what its `take` returned; when the
            longest-waiting live frame became ready (`now_s` if there is none); and the number of
            early frames.
        """
        taken: list[tuple[AudioQueue, tuple[Float32, Float32]]] = []
        since_s, early = now_s, 0
        while self._queue and len(taken) < self._max_batch:
            due_s, _, audio_queue = self._queue[0]
            most_early = 1 if now_s - since_s > _LATE_S else self._most_early
            if due_s > now_s and early >= most_early:
                break
            heapq.heappop(self._queue)
            waiting_since_s, frame = audio_queue.waiting_since_s, audio_queue.take()
            if frame is not None:
                taken.append((audio_queue, frame))
                since_s = min(since_s, waiting_since_s)
                early += due_s > now_s
        return taken, since_s, early

    def _step(
        self, audio: Float32, state: Float32
    ) -> Sequence[tuple[StepOutput, int, Float32] | Exception]:
        """Run one engine step.

        If the batch fails, each row is tried alone, so that only the rows at fault fail. The engine
        does not change its inputs, so a second try is safe.

        Returns:
            For each row: the outputs of its batch, its index in that batch and its next state; or
            the error that it caused.
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
