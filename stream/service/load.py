"""Measures how busy the server is and decides whether one more live session fits.

The processor time of the process is divided among the kinds of work, in proportion to the time
that the event loop spent on each. Only what live audio took counts as load. Handshakes, controls,
pings and files do not, because they wait for live audio (`turns.py`, `batcher.py`).

A session costs more when fewer sessions share a step: a frame in a step of many costs half as much
as a frame that is processed alone. A new session is therefore expected to cost what a frame costs
in full steps. Once the live sessions use half of `max_load`, steps are shared, and the measured
cost of the present sessions replaces this guess.

The measured lag is a second criterion, because other programs use the machine too. Neither
criterion refuses the first two sessions. The caller provides the time: this module has no clock.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

TICK_S = 0.25  # time between two ticks
_SMOOTHING = 0.5  # weight of a new measurement against the past
# Share of a new session that still counts one tick later: the audio that it sends then shows in
# the measured share.
_NEWCOMER_KEPT = 0.7
_NEWCOMER_S = 3.0  # age at which nothing is left of it
_LAG_MEMORY = 4  # ticks
_ALWAYS_ADMITTED = 2  # sessions


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
    _frames: int = 0
    _worst_lag_s: float = 0.0
    _lags_s: list[float] = field(default_factory=list[float])
    _last: tuple[float, float, float, float] | None = None
    _guess: float = field(init=False)

    @property
    def lag_s(self) -> float:
        """Median over the last ticks of the worst lag of a live frame in a tick.

        The median keeps a single outlier from refusing clients.
        """
        return statistics.median_low(self._lags_s) if self._lags_s else 0.0

    def __post_init__(self) -> None:
        self._guess = self.per_session

    def count(self, live: int, lag_s: float) -> None:
        """Count one engine step.

        Args:
            live: frames of live sessions.
            lag_s: worst lag of a live frame.
        """
        self._frames += live
        self._worst_lag_s = max(self._worst_lag_s, lag_s)

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
            sending = self._frames / (elapsed_s * frame_rate_hz)
            is_shared = used > self.max_load / 2 and sending >= 1
            self.share += _SMOOTHING * (used - self.share)
            self.sessions += _SMOOTHING * (sending - self.sessions)
            self.per_session += _SMOOTHING * (
                (used / sending if is_shared else self._guess) - self.per_session
            )
        self._last = (now_s, cpu_s, live_s, other_s)
        self._lags_s = [*self._lags_s[1 - _LAG_MEMORY :], self._worst_lag_s]
        self._frames, self._worst_lag_s = 0, 0.0

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


def newcomer_weight(age_s: float) -> float:
    """Return how much of a session of this age the measured share does not contain yet."""
    return _NEWCOMER_KEPT ** (age_s / TICK_S) if age_s < _NEWCOMER_S else 0.0
