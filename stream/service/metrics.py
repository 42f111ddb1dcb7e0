"""Prometheus metrics of the server: sessions, frames, steps, lag, load, refusals, errors.

Every `Metrics` has its own registry, so that several servers in one process do not clash.

With several workers, the supervisor (workers.py) names a folder in PROMETHEUS_MULTIPROC_DIR. The
workers write their values to files there, so any worker can report the values of all. A worker has
one `Metrics`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus-client when it is imported

_STEP_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
_BATCH_FRAMES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_LAG_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.5, 1, 5)


class _Shown(Collector):
    """A registry without its `_created` series, which say when each counter began."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
            yield metric


class Metrics:
    """The metrics of one server.

    All calls must come from one thread. A call takes a few microseconds at most.
    """

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._sessions = Gauge(
            "turnstream_sessions",
            "Sessions now, parked ones included.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._parked = Gauge(
            "turnstream_sessions_parked",
            "Sessions that lost their connection and can be resumed.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._load = Gauge(
            "turnstream_load_ratio",
            "Share of a core that the live sessions of the busiest worker use.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._store_ready = Gauge(
            "turnstream_store_ready",
            "1 while sessions are saved, or do not have to be; 0 while the store fails.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._opened = Counter(
            "turnstream_sessions_opened", "Sessions that began.", registry=registry
        )
        self._closed = Counter(
            "turnstream_sessions_closed",
            "Sessions that ended, by reason.",
            ["reason"],
            registry=registry,
        )
        self._resumed = Counter(
            "turnstream_sessions_resumed",
            "Connections that resumed a session.",
            registry=registry,
        )
        self._refused = Counter(
            "turnstream_refusals",
            "Requests that were refused, by HTTP status.",
            ["status"],
            registry=registry,
        )
        self._malformed = Counter(
            "turnstream_malformed_requests",
            "Connections that sent something else than an HTTP request.",
            registry=registry,
        )
        self._errors = Counter(
            "turnstream_errors", "Errors reported to clients, by code.", ["code"], registry=registry
        )
        self._frames = Counter("turnstream_frames", "Frames predicted.", registry=registry)
        self._step = Histogram(
            "turnstream_step_seconds",
            "Time of one engine step.",
            registry=registry,
            buckets=_STEP_S,
        )
        self._batch = Histogram(
            "turnstream_batch_frames",
            "Frames in one engine step.",
            registry=registry,
            buckets=_BATCH_FRAMES,
        )
        self._lag = Histogram(
            "turnstream_lag_seconds",
            "Worst live frame of a step: from when it could be predicted "
            "to handing its message to the socket.",
            registry=registry,
            buckets=_LAG_S,
        )
        # Kept, because labels() costs more than counting.
        self._children: dict[tuple[Counter, str], Counter] = {}
        self._registry = registry
        self._folder = os.environ.get(FOLDER_VARIABLE)

    def session_opened(self) -> None:
        """Count a session that has begun."""
        self._opened.inc()
        self._sessions.inc()

    def session_closed(self, reason: str) -> None:
        """Count a session that has ended and can no longer be resumed.

        Args:
            reason: one of a few fixed reasons of the server, never text from a client.
        """
        self._child(self._closed, reason).inc()
        self._sessions.dec()

    def session_parked(self) -> None:
        """Count a session that has lost its connection and waits for another."""
        self._parked.inc()

    def session_unparked(self) -> None:
        """Count a session that no longer waits: it was resumed, or it has ended."""
        self._parked.dec()

    def session_resumed(self) -> None:
        """Count a session that a new connection has resumed."""
        self._resumed.inc()

    def refused(self, status: int) -> None:
        """Count a request that was refused with this HTTP status."""
        self._child(self._refused, str(status)).inc()

    def malformed(self) -> None:
        """Count a connection that sent something else than an HTTP request."""
        self._malformed.inc()

    def error(self, code: str) -> None:
        """Count an error that was sent to a client; PROTOCOL.md lists the codes."""
        self._child(self._errors, code).inc()

    def step(self, seconds: float, frames: int) -> None:
        """Record the duration of one engine step and its number of frames."""
        self._step.observe(seconds)
        self._batch.observe(frames)
        self._frames.inc(frames)

    def lag(self, seconds: float) -> None:
        """Record the worst lag of a live frame in a step, in seconds.

        The lag runs from when the frame could be predicted to handing its message to the socket.
        """
        self._lag.observe(seconds)

    def load(self, share: float) -> None:
        """Set the share of a core that live sessions use."""
        self._load.set(share)

    def store_ready(self, ready: bool) -> None:
        """Set whether sessions are saved, or do not have to be."""
        self._store_ready.set(ready)

    def exposition(self) -> tuple[str, bytes]:
        """Return content type and body of GET /metrics, for all workers if there are several."""
        registry = self._registry
        if self._folder is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, self._folder)
        return CONTENT_TYPE_LATEST, generate_latest(_Shown(registry))

    def _child(self, counter: Counter, label: str) -> Counter:
        child = self._children.get((counter, label))
        if child is None:
            child = self._children[counter, label] = counter.labels(label)
        return child
