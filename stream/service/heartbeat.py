"""Tells which worker no longer answers the supervisor.

A worker is silent while a ping to it waits for its answer. Only time in which the supervisor itself
ran counts: a machine that was suspended, or too busy to run the supervisor, kills no worker. After
a worker has been found hung, the others get the whole time again. So whatever stops all workers,
such as a log that nobody reads, does not end them all at once. This module has no clock.
"""

from __future__ import annotations


class Heartbeat:
    """Counts for how long each worker has been silent.

    Args:
        timeout_s: silence after which a worker counts as hung.
        period_s: time between two calls of `tick`; a longer pause counts as one period.
    """

    def __init__(self, timeout_s: float, period_s: float) -> None:
        self._timeout_s = timeout_s
        self._period_s = period_s
        self._silent_s: dict[int, float] = {}  # of the workers that have not answered yet
        self._last_s: float | None = None

    def awaits(self, worker: int) -> bool:
        """Return whether a ping to this worker has no answer yet."""
        return worker in self._silent_s

    def asked(self, worker: int) -> None:
        """Note a ping to a worker that has answered the last one."""
        self._silent_s[worker] = 0.0

    def forget(self, worker: int) -> None:
        """Note that a worker has answered, or that it has ended."""
        self._silent_s.pop(worker, None)

    def tick(self, now_s: float) -> int | None:
        """Count the time since the last call.

        Args:
            now_s: time by a monotonic clock.
        Returns:
            A worker that has been silent for too long, or None.
        """
        elapsed_s = 0.0 if self._last_s is None else min(now_s - self._last_s, self._period_s)
        self._last_s = now_s
        for worker in self._silent_s:
            self._silent_s[worker] += elapsed_s
        hung = next(
            (worker for worker, silent_s in self._silent_s.items() if silent_s >= self._timeout_s),
            None,
        )
        if hung is not None:
            self._silent_s = dict.fromkeys(self._silent_s, 0.0)
        return hung
