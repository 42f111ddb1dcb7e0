"""How busy the server is, measured, and whether one more live session would fit. No clock of its own.

A session costs the more the fewer share a step, so the cost of one more is taken from what the present ones use. Newcomers count before they can
be measured. Sessions that send faster than real time do not count: they only use what is left over; nor do those that send nothing.
The measured lag stands beside it, because other programs use the machine, too.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

_SMOOTHING = 0.5  # of each new second against the past
_NEWCOMERS_KEPT = (
    0.7  # of them, from tick to tick: they begin to send, and then to show in the measured share
)
_LAG_MEMORY = 4  # ticks


@dataclass(slots=True)
class Load:
    """Counts work between ticks; a tick is about a quarter of a second.

    Attributes:
        per_session: of a core that one live session is expected to use; the guess that it was made with while there is none to measure.
        share: of a core that live sessions used, smoothed.
    """

    max_load: float
    max_lag_s: float
    per_session: float
    share: float = 0.0
    _newcomers: float = 0.0
    _live: int = 0
    _early: int = 0
    _worst_lag_s: float = 0.0
    _lags_s: list[float] = field(default_factory=list[float])
    _last: tuple[float, float] | None = None
    _guess: float = field(init=False)

    @property
    def lag_s(self) -> float:
        """Worst lag of a live frame in a tick, the middle one of the last ticks, so that a single hiccup refuses nobody."""
        return statistics.median_low(self._lags_s) if self._lags_s else 0.0

    def __post_init__(self) -> None:
        self._guess = self.per_session

    def opened(self) -> None:
        """A session has begun."""
        self._newcomers += 1

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
            sessions = self._live / (
                elapsed_s * frame_rate_hz
            )  # as many as would make so many frames
            self.per_session += _SMOOTHING * (
                (used / sessions if sessions >= 1 else self._guess) - self.per_session
            )
            self._newcomers *= _NEWCOMERS_KEPT
        self._last = (now_s, cpu_s)
        self._lags_s = [*self._lags_s[1 - _LAG_MEMORY :], self._worst_lag_s]
        self._live, self._early, self._worst_lag_s = 0, 0, 0.0

    def refusal(self) -> str | None:
        """Why one more session does not fit, or None."""
        others = self.share + self.per_session * self._newcomers
        expected = others + self.per_session
        if (
            others > self.per_session / 2 and expected > self.max_load
        ):  # the first one always fits, however slow the machine
            return f"at capacity: with one more session, {expected:.0%} of a core would be used, the limit is {self.max_load:.0%}"
        if self.lag_s > self.max_lag_s:
            return f"at capacity: predictions lag by {self.lag_s * 1000:.0f} ms, the limit is {self.max_lag_s * 1000:.0f} ms"
        return None
