"""Measures how busy the server is and decides whether one more live session fits.

A session costs more when fewer sessions share a step. The cost of a new session is therefore
estimated from the cost of the present ones. New sessions count as soon as they open, before their
cost can be measured.

Two kinds of sessions do not count. Sessions that send faster than real time use only what is left
over. Sessions that send nothing cost nothing.

The measured lag is a second criterion, because other programs use the machine too. The caller
provides the time: this module has no clock.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

_SMOOTHING = 0.5  # weight of a new measurement against the past
# Share of the new sessions still counted one tick later. By then the others send audio and show in
# the measured share.
_NEWCOMERS_KEPT = 0.7
_LAG_MEMORY = 4  # ticks


@dataclass(slots=True)
class Load:
    """Counts the work between ticks, and updates the estimates at each tick (about every 0.25 s).

    Attributes:
        max_load: share of a core that live sessions may use.
        max_lag_s: lag above which no more session fits.
        per_session: share of a core that one live session is expected to use. It returns to its
            initial value while no session can be measured.
        share: share of a core that the live sessions use, smoothed.
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
        """Median over the last ticks of the worst lag of a live frame in a tick.

        The median keeps a single outlier from refusing clients.
        """
        return statistics.median_low(self._lags_s) if self._lags_s else 0.0

    def __post_init__(self) -> None:
        self._guess = self.per_session

    def opened(self) -> None:
        """Count a new session."""
        self._newcomers += 1

    def count(self, live: int, early: int, lag_s: float) -> None:
        """Count one engine step.

        Args:
            live: frames of live sessions.
            early: frames of sessions that send faster than real time.
            lag_s: worst lag of a live frame.
        """
        self._live += live
        self._early += early
        self._worst_lag_s = max(self._worst_lag_s, lag_s)

    def tick(self, now_s: float, cpu_s: float, frame_rate_hz: float) -> None:
        """Update the estimates.

        Args:
            now_s: time by a monotonic clock.
            cpu_s: processor time that this process has used so far.
            frame_rate_hz: frames per second of a live session.
        """
        if self._last is not None and now_s > self._last[0]:
            elapsed_s = now_s - self._last[0]
            frames = self._live + self._early
            used = (cpu_s - self._last[1]) / elapsed_s * (self._live / frames if frames else 0.0)
            self.share += _SMOOTHING * (used - self.share)
            sessions = self._live / (elapsed_s * frame_rate_hz)  # that send this many frames
            self.per_session += _SMOOTHING * (
                (used / sessions if sessions >= 1 else self._guess) - self.per_session
            )
            self._newcomers *= _NEWCOMERS_KEPT
        self._last = (now_s, cpu_s)
        self._lags_s = [*self._lags_s[1 - _LAG_MEMORY :], self._worst_lag_s]
        self._live, self._early, self._worst_lag_s = 0, 0, 0.0

    def refusal(self) -> str | None:
        """Return why one more session does not fit, or None if it fits."""
        others = self.share + self.per_session * self._newcomers
        expected = others + self.per_session
        # The first session always fits, however slow the machine is.
        if others > self.per_session / 2 and expected > self.max_load:
            return (
                f"at capacity: with one more session, {expected:.0%} of a core would be used, "
                f"the limit is {self.max_load:.0%}"
            )
        if self.lag_s > self.max_lag_s:
            return (
                f"at capacity: predictions lag by {self.lag_s * 1000:.0f} ms, "
                f"the limit is {self.max_lag_s * 1000:.0f} ms"
            )
        return None
