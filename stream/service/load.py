"""Measures how busy the server is and decides whether one more live session fits.

The processor time of the process is divided among the kinds of work, in proportion to the time
that the event loop spent on each. Only what live audio took counts as load. Handshakes, controls,
pings and files do not, because they wait for live audio (`turns.py`, `batcher.py`).

A frame in a step of many costs a third of a frame that is processed alone, so what the sessions
cost on average does not tell what one more costs. While few sessions are live, a new one is
expected to cost what a frame costs in full steps. Once the live sessions use half of `max_load`,
the measured cost of one more row in a step replaces this guess: the average, without that part of
the steps which does not depend on their rows.

The measured lag is a second criterion, because other programs use the machine too. Neither
criterion refuses the first two sessions. The caller provides the time: this module has no clock.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

import numpy as np

TICK_S = 0.25  # time between two ticks
_SMOOTHING = 0.5  # weight of a new measurement against the past
_STEPS_KEPT = 0.8  # share of the past steps that still counts one tick later
_LEAST_MARGINAL = 0.5  # least share of the average cost that one more session is expected to cost
# Share of a session without audio that still counts one tick after it began.
_SILENT_KEPT = 0.7
_NEWCOMER_S = 3.0  # age at which nothing is left of it
_LAG_MEMORY = 4  # ticks
_ALWAYS_ADMITTED = 2  # sessions


class StepCosts:
    """Sums over the recent steps, for a line that tells their duration from their rows."""

    def __init__(self) -> None:
        # Of ones, rows, seconds, squared rows, and rows times seconds.
        self._sums = np.zeros(5)

    def add(self, rows: int, seconds: float) -> None:
        """Count one step."""
        self._sums += (1, rows, seconds, rows * rows, rows * seconds)

    def fade(self) -> None:
        """Let all steps so far count less; called at each tick."""
        self._sums *= _STEPS_KEPT

    @property
    def marginal(self) -> float:
        """Share of the steps' time that depends on their rows; 1 if it is not known."""
        count, rows, seconds, squares, products = self._sums.tolist()
        spread = count * squares - rows**2
        if not seconds or spread <= rows**2 / 100:  # all steps have about as many rows
            return 1.0
        return min(1.0, (count * products - rows * seconds) / spread * rows / seconds)


@dataclass(slots=True)
class Load:
    """Counts the work between ticks, and updates the estimates at each tick.

    Attributes:
        max_load: share of a core that live sessions may use.
        max_lag_s: lag above which no more session fits.
        per_session: share of a core that one more live session is expected to use.
        share: share of a core that the live sessions use, smoothed.
        sessions: number of live sessions that send audio, smoothed.
    """

    max_load: float
    max_lag_s: float
    per_session: float
    share: float = 0.0
    sessions: float = 0.0
    _rows: int = 0
    _step_s: float = 0.0
    _worst_lag_s: float = 0.0
    _lags_s: list[float] = field(default_factory=list[float])
    _last: tuple[float, float, float, float] | None = None
    _guess: float = field(init=False)
    _steps: StepCosts = field(default_factory=StepCosts)

    @property
    def lag_s(self) -> float:
        """Median over the last ticks of the worst lag of a live frame in a tick.

        The median keeps a single outlier from refusing clients.
        """
        return statistics.median_low(self._lags_s) if self._lags_s else 0.0

    def __post_init__(self) -> None:
        self._guess = self.per_session

    def count(self, seconds: float, live: int, early: int, lag_s: float) -> None:
        """Count one engine step.

        Args:
            seconds: duration of the step.
            live: its frames of live sessions.
            early: its other frames.
            lag_s: worst lag of a live frame.
        """
        self._rows += live
        self._worst_lag_s = max(self._worst_lag_s, lag_s)
        if not early:
            self._step_s += seconds
            self._steps.add(live, seconds)

    def tick(
        self, now_s: float, cpu_s: float, live_s: float, other_s: float, frame_rate_hz: float
    ) -> None:
        """Update the estimates.

        Args:
            now_s: time by a monotonic clock.
            cpu_s: processor time that this process has used so far.
            live_s: time that the event loop has spent on live audio so far.
            other_s: time that it has spent on everything else so far.
            frame_rate_hz: frames per second of a live session.
        """
        if self._last is not None and now_s > self._last[0]:
            elapsed_s, cpu, live, other = (
                now - before
                for now, before in zip((now_s, cpu_s, live_s, other_s), self._last, strict=True)
            )
            used = cpu / elapsed_s * (live / (live + other) if live > 0 else 0.0)
            sending = self._rows / (elapsed_s * frame_rate_hz)
            measured = self._guess
            if used > self.max_load / 2 and sending >= 1:
                fixed = (1 - self._steps.marginal) * min(1.0, self._step_s / live)
                measured = used / sending * max(_LEAST_MARGINAL, 1 - fixed)
            self.share += _SMOOTHING * (used - self.share)
            self.sessions += _SMOOTHING * (sending - self.sessions)
            self.per_session += _SMOOTHING * (measured - self.per_session)
        self._last = (now_s, cpu_s, live_s, other_s)
        self._lags_s = [*self._lags_s[1 - _LAG_MEMORY :], self._worst_lag_s]
        self._rows, self._step_s, self._worst_lag_s = 0, 0.0, 0.0
        self._steps.fade()

    def newcomer_weight(self, now_s: float, began_s: float, audio_s: float | None) -> float:
        """Return how much of a session's cost `share` does not contain yet, from 0 to 1.

        Args:
            now_s: the time.
            began_s: when the session began.
            audio_s: when its first audio came; None before. From then on, `share` approaches the
                session's cost by `_SMOOTHING` with each tick.
        """
        if now_s - began_s >= _NEWCOMER_S:
            return 0.0
        if audio_s is None:
            return _SILENT_KEPT ** ((now_s - began_s) / TICK_S)
        measured_s = 0.0 if self._last is None else max(0.0, self._last[0] - audio_s)
        return (1 - _SMOOTHING) ** (measured_s / TICK_S)

    def refusal(self, newcomers: float = 0.0) -> str | None:
        """Return why one more session does not fit, or None if it fits.

        Args:
            newcomers: sessions whose cost cannot be measured yet, each with its `newcomer_weight`.
        """
        if self.sessions + newcomers + 0.5 < _ALWAYS_ADMITTED:
            return None
        expected = self.share + self.per_session * (newcomers + 1)
        if expected > self.max_load:
            return (
                f"at capacity: with one more session, {expected:.0%} of a core would be used, "
                f"the limit is {self.max_load:.0%}"
            )
        if self.lag_s > self.max_lag_s:
            return (
                f"busy: predictions lag by {self.lag_s * 1000:.0f} ms, "
                f"the limit is {self.max_lag_s * 1000:.0f} ms; try again soon"
            )
        return None
