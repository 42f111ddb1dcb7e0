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

The pause model takes much longer, so it runs in a thread of its own. Meanwhile the conversation
that asked it waits, and no other one does. Conversations are answered in the order in which they
asked, each at most once at a time. The server admits no more of them than the measured load allows.

The busier the server, the longer a step may wait for more frames (`gather_s`). A frame in a large
step costs a fifth of a frame that is processed alone.

This module knows no sockets. It is long because a queue and the batcher call each other.
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
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from ..engine import Float32, ModelMetadata, StepOutput
from ..pause_model import PauseModel
from ..prediction import Prediction
from ..session import Session

logger = logging.getLogger(__name__)

_MAX_EARLY = 16  # most early frames in one step; a live frame may have to wait for them
_EARLY_S = 0.002  # time for the results of the early frames of one step
_LATE_S = 0.02
# Audio that may arrive at once and still count as live: a stalled network delivers it in a burst.
_BURST_S = 2.0
_MOST_LEAD_S = 2.0  # longest lead over real time that is counted
_PAUSE_NICENESS = 10  # of the pause model's thread
# Seconds of lead that are forgiven per second. A client that slows down to real time counts as
# live again, and a sound card's clock may run slightly fast.
_FORGIVEN = 0.1


class Steps(Protocol):
    """The part of an `Engine` that the batcher uses."""

    @property
    def metadata(self) -> ModelMetadata:
        """Metadata of the model."""
        ...

    def step(self, audio: Float32, state: Float32) -> tuple[StepOutput, Float32]:
        """Advance every conversation in the batch by one frame; see `Engine.step`."""
        ...


class AudioQueue:
    """The queue of one conversation's frames in the batcher; created by `Batcher.open_audio_queue`.

    Args:
        batcher: runs the engine.
        session: provides frames and takes outputs. Only its owner pushes audio into it.
        on_result: called with the prediction of every frame, in order.
        on_error: called once with the exception if a step or `on_result` fails; no further call
            follows.
    Attributes:
        session: the same.
    """

    def __init__(
        self,
        batcher: Batcher,
        session: Session,
        on_result: Callable[[Prediction], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self.session = session
        self._batcher = batcher
        self._on_result = on_result
        self._on_error = on_error
        # Pairs: number of frames complete after a push, and when the last of them is due.
        self._arrivals: deque[tuple[int, float]] = deque()
        self._paced_s = 0.0  # when the audio so far would have ended in real time
        self._pushed_s = 0.0  # time of the last push
        self._free_s = 0.0  # time of the last result, or of the pause model's answer to it
        self._queued = False
        self._held = False
        self._asking = False  # the pause model
        self._closed = False

    def pushed(self, seconds: float) -> None:
        """Note that this many seconds of audio were pushed into the session."""
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
        """Forget all deadlines. The session was reset, so its frames count from 0 again."""
        self._arrivals.clear()

    def hold(self) -> None:
        """Take no further frame until `release`."""
        self._held = True

    def release(self) -> None:
        """Resume after `hold`."""
        if self._held:
            self._held = False
            self._wake()

    def close(self) -> None:
        """Leave the batcher.

        No callback is called any more, and this object no longer keeps the conversation alive.
        """
        self._closed = True
        self._on_result = self._on_error = _ignore

    @property
    def is_early(self) -> bool:
        """Whether the audio so far has arrived faster than real time."""
        return self._paced_s > self._batcher.clock()

    @property
    def due_s(self) -> float:
        """When the next frame is due, by the batcher's clock; 0 if this is not known."""
        return self._arrivals[0][1] if self._arrivals else 0.0

    @property
    def waiting_since_s(self) -> float:
        """When the next frame is ready: it is due, and the frame before it is done.

        A frame is done after the pause model has answered, if it was asked.
        """
        return max(self.due_s, self._free_s)

    def _wake(self) -> None:
        if self._queued or self._held or self._asking or self._closed:
            return
        if self.session.pause_due:
            self._asking = True
            self._batcher.ask_pause_model(self.session.pause_audio(), self._answer)
        elif self.session.frames_waiting:
            self._queued = True
            self._batcher.enqueue(self)

    def _answer(self, outcome: float | Exception) -> None:
        """Take the answer of the pause model, or its error."""
        self._asking = False
        if self._closed:
            return
        if isinstance(outcome, Exception):
            self._fail(outcome)
            return
        if self.session.pause_due:  # it is not if the session was reset meanwhile
            self.session.answer_pause(outcome)
        self._free_s = self._batcher.clock()
        self._wake()

    def _fail(self, error: Exception) -> None:
        """Report an error to this conversation alone, and leave the batcher."""
        report = self._on_error
        self.close()
        report(error)

    def take(self) -> tuple[Float32, Float32] | None:
        """Return the next frame and the state before it; None if no frame is to be predicted.

        Only the batcher calls this.
        """
        self._queued = False
        if self._closed or self._held or not self.session.frames_waiting:
            return None
        return self.session.take_frame(), self.session.state

    def accept(self, outcome: tuple[StepOutput, int, Float32] | Exception) -> None:
        """Handle the outcome of the step that contained the last taken frame.

        Only the batcher calls this.

        Args:
            outcome: outputs of the batch, row of this frame in it, and next state; or the error.
        """
        if self._closed:
            return
        try:
            if isinstance(outcome, Exception):
                raise outcome
            output, row, next_state = outcome
            # A copy, because a view would keep the states of the whole batch alive.
            self.session.state = next_state.copy()
            result = self.session.accept(output, row)
            while self._arrivals and self._arrivals[0][0] <= self.session.frames_done:
                self._arrivals.popleft()
            self._free_s = self._batcher.clock()
            self._on_result(result)
        except Exception as error:  # reported to this conversation's client only
            self._fail(error)
            return
        self._wake()


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(str(error))


def _yield_to_loop() -> None:
    """Let the event loop's thread go first where the two share a core."""
    with contextlib.suppress(AttributeError, OSError):  # Linux has priorities of threads
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _PAUSE_NICENESS)


def _ignore(outcome: object) -> None:
    """Do nothing: the callback of a closed conversation."""


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
            results = list(
                zip(audio_queues, self._step(np.stack(audio), np.stack(states)), strict=True)
            )
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
