"""How busy the server is, measured, and whether one more live session would fit. No clock of its own.

A session costs the more the fewer share a step, so the cost of one more is taken from what the present ones use: with n live
sessions on a share s of a core, n + 1 are expected to use s (n + 1) / n. Sessions that send faster than real time do not count: they only use
what is left over. The measured lag stands beside it, because other programs use the machine, too.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

_SMOOTHING = 0.5  # of each new second against the past
_LAG_MEMORY = 4  # ticks


@dataclass(slots=True)
class Load:
    """Counts work between ticks; a tick is about a quarter of a second.

    Attributes:
        share: of a core that live sessions used, smoothed.
        per_session: of a core that one live session is expected to use; a guess until some were measured.
    """

    max_load: float
    max_lag_s: float
    per_session: float
    share: float = 0.0
    _live: int = 0
    _early: int = 0
    _worst_lag_s: float = 0.0
    _lags_s: list[float] = field(default_factory=list[float])
    _last: tuple[float, float] | None = None

    @property
    def lag_s(self) -> float:
        """Worst lag of a live frame in a tick, the middle one of the last ticks, so that a single hiccup refuses nobody."""
        return statistics.median_low(self._lags_s) if self._lags_s else 0.0

    def count(self, live: int, early: int, lag_s: float) -> None:
        """One step: its frames of live sessions and of those ahead of time, and the worst lag of a live one."""
        self._live += live
        self._early += early
        self._worst_lag_s = max(self._worst_lag_s, lag_s)

    def tick(self, now_s: float, cpu_s: float, frame_rate_hz: float) -> None:
        """Take stock.

        Args:
            now_s: a steady clock.
            cpu_s: processor time used so far.
            frame_rate_hz: of a live session.
        """
        if self._last is not None and now_s > self._last[0]:
            elapsed_s = now_s - self._last[0]
            frames = self._live + self._early
            used = (cpu_s - self._last[1]) / elapsed_s * (self._live / frames if frames else 0.0)
            self.share += _SMOOTHING * (used - self.share)
            sessions = self._live / (elapsed_s * frame_rate_hz)  # as many as would make so many frames
            if sessions >= 1:
                self.per_session += _SMOOTHING * (used / sessions - self.per_session)
        self._last = (now_s, cpu_s)
        self._lags_s = [*self._lags_s[1 - _LAG_MEMORY :], self._worst_lag_s]
        self._live, self._early, self._worst_lag_s = 0, 0, 0.0

    def refusal(self, sessions: int) -> str | None:
        """Why one more session than these does not fit, or None."""
        expected = self.per_session * (sessions + 1)
        if sessions and expected > self.max_load:
            return f"at capacity: one more than {sessions} sessions would use {expected:.0%} of a core, the limit is {self.max_load:.0%}"
        if self.lag_s > self.max_lag_s:
            return f"at capacity: predictions lag by {self.lag_s * 1000:.0f} ms, the limit is {self.max_lag_s * 1000:.0f} ms"
        return None
