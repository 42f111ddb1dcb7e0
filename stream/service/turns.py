"""Gives all work that is not live audio one small share of the event loop.

Handshakes, plain requests, controls, pings and files wait here, whatever connection they came
over. They take turns, each for one slice of its bytes. Together they may use the loop for
`_ROUND_S`; then they rest, so that they get at most a fifth of a core while more waits. However
many connections misbehave, a live frame waits for one round at most.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

_ROUND_S = 0.001
_REST = 4.0  # pause after a round, as a multiple of its duration


class Turns:
    """The queue of that work. Its bound is one entry for each connection.

    Attributes:
        live_s: time spent so far on the bytes of live audio, which does not wait here.
        other_s: time spent so far on everything else.
    """

    def __init__(self) -> None:
        self.live_s = 0.0
        self.other_s = 0.0
        self._waiting: deque[Callable[[], bool]] = deque()
        self._is_scheduled = False
        self._rested_s = 0.0  # when the next round may begin

    def enqueue(self, take_turn: Callable[[], bool]) -> None:
        """Call `take_turn` in a turn of its own, again and again until it returns False."""
        self._waiting.append(take_turn)
        if not self._is_scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._is_scheduled = True
        loop, rest_s = asyncio.get_running_loop(), self._rested_s - time.monotonic()
        if rest_s > 0:
            loop.call_later(rest_s, self._after_live_frames)
        else:
            self._after_live_frames()

    def _after_live_frames(self) -> None:
        """Begin a round after the step of the frames that arrive in this turn of the loop."""
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._run_round)

    def _run_round(self) -> None:
        # The rest follows from processor time: on a busy machine, a round may be interrupted.
        began_s, began_cpu_s = time.monotonic(), time.thread_time()
        now_s = began_s
        while self._waiting and now_s - began_s < _ROUND_S:
            take_turn = self._waiting.popleft()
            if take_turn():
                self._waiting.append(take_turn)
            now_s = time.monotonic()
        self.other_s += now_s - began_s
        self._rested_s = now_s + _REST * (time.thread_time() - began_cpu_s)
        self._is_scheduled = False
        if self._waiting:
            self._schedule()
