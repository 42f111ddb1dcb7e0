"""The frames of one conversation that wait for the batcher, and when each of them is due.

A live frame is due when its last sample arrives. If a client sends faster than real time, a frame
is due when its last sample would have arrived in real time; until then it is early.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..engine import Float32, StepOutput
from ..prediction import Prediction
from ..session import Session

# Audio that may arrive at once and still count as live: a stalled network delivers it in a burst.
_BURST_S = 2.0
_MOST_LEAD_S = 2.0  # longest lead over real time that is counted
# Seconds of lead that are forgiven per second. A client that slows down to real time counts as
# live again, and a sound card's clock may run slightly fast.
_FORGIVEN = 0.1


class Scheduler(Protocol):
    """The part of a `Batcher` that its queues use."""

    @property
    def clock(self) -> Callable[[], float]:
        """Monotonic clock, in seconds."""
        ...

    def enqueue(self, audio_queue: AudioQueue) -> None:
        """Schedule a conversation that has a frame to predict."""
        ...

    def ask_pause_model(
        self, audio: Float32, on_answer: Callable[[float | Exception], None]
    ) -> None:
        """Score a pause, and pass the logit or the error to `on_answer`."""
        ...


class AudioQueue:
    """The queue of one conversation's frames in the batcher; created by `Batcher.open_audio_queue`.

    Args:
        batcher: runs the engine.
        session: provides frames and takes outputs. Only its owner pushes audio into it.
        on_result: called with the prediction of every frame, in order. Its latents must not be
            kept: they are views of the whole batch.
        on_error: called once with the exception if a step or `on_result` fails; no further call
            follows.
    Attributes:
        session: the same.
    """

    def __init__(
        self,
        batcher: Scheduler,
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
            # Into the present array, because a view would keep the states of the whole batch alive.
            self.session.state[:] = next_state
            result = self.session.accept(output, row, copy=False)
            while self._arrivals and self._arrivals[0][0] <= self.session.frames_done:
                self._arrivals.popleft()
            self._free_s = self._batcher.clock()
            self._on_result(result)
        except Exception as error:  # reported to this conversation's client only
            self._fail(error)
            return
        self._wake()


def _ignore(outcome: object) -> None:
    """Do nothing: the callback of a closed conversation."""
