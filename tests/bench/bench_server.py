"""How many live conversations a server carries, and at which latency. Asserts nothing.

    python tests/bench/bench_server.py --sessions 100 --seconds 20 --chunk-ms 20
        [--workers 2] [--find-knee] [--quick]

The server runs in a process of its own. This process plays N microphones (`live_clients.py`). Each
plays the bundled call from another position, sends chunks in real time, and the phases are spread
evenly.

Latency is the time from sending the chunk that completes a frame to receiving that frame's
message. It contains the server, both sockets and this process's own delays. "client late" shows
how late this process was to send. "client CPU" shows what share of a core this process takes.

`--find-knee` adds a quarter more sessions to the same server again and again. It stops when the
99th percentile is above 40 ms twice in a row, or when the server refuses a session.
"""

from __future__ import annotations

import argparse
import gc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from live_clients import Chunks, Fleet, Measured
from served import Served, machine, served

REACH_MS = 40.0
GROWTH = 1.25
TRIES = 2  # another program's burst is not the knee
MAX_SESSIONS = 4000
SETTLE_S = 2.0  # from the last admission to the measurement


@dataclass
class Row:
    """One measurement."""

    sessions: int
    refused: int
    latency_ms: tuple[float, ...]  # p50, p95, p99, max
    client_late_ms: float  # p99
    server_percent: float  # share of one core
    client_percent: float
    client_cost_us: float
    memory_mb: float
    batch: float | None

    HEAD = (
        "sessions  refused   p50 / p95 / p99 / max ms            client late p99   server CPU   "
        "client CPU   client us/message   memory MB   batch"
    )

    def __str__(self) -> str:
        latency = " / ".join(f"{value:.1f}" for value in self.latency_ms)
        batch = "-" if self.batch is None else f"{self.batch:.1f}"
        return (
            f"{self.sessions:8}  {self.refused:7}   {latency:34}  {self.client_late_ms:12.1f} ms"
            f"   {self.server_percent:8.0f} %   {self.client_percent:8.0f} %"
            f"   {self.client_cost_us:17.1f}   {self.memory_mb:9.0f}   {batch:>5}"
        )


def batches(metrics: dict[str, float]) -> tuple[float, float]:
    """Return the frames in all batches and the count of batches, or zeros without a histogram."""
    name = next(
        (
            name.removesuffix("_sum")
            for name in metrics
            if "batch" in name and name.endswith("_sum")
        ),
        None,
    )
    return (metrics[f"{name}_sum"], metrics[f"{name}_count"]) if name else (0.0, 0.0)


def measure(server: Served, fleet: Fleet, seconds: float) -> Row:
    """Measure the sessions that run now."""
    fleet.measured = measured = Measured()
    busy_s, (frames, steps) = server.busy_s, batches(server.metrics)
    fleet.run(seconds)
    busy_s, (frames_then, steps_then) = server.busy_s - busy_s, batches(server.metrics)
    latency_ms = np.asarray(measured.latency_s) * 1000
    return Row(
        sessions=fleet.talking,
        refused=sum(fleet.refused.values()),
        latency_ms=(
            *(float(np.percentile(latency_ms, q)) for q in (50, 95, 99)),
            float(latency_ms.max()),
        ),
        client_late_ms=float(np.percentile(measured.late_s, 99)) * 1000,
        server_percent=busy_s / measured.wall_s * 100,
        client_percent=measured.busy_s / measured.wall_s * 100,
        client_cost_us=measured.cost_us,
        memory_mb=server.memory_mb,
        batch=(frames_then - frames) / (steps_then - steps) if steps_then > steps else None,
    )


def steps(first: int, find_knee: bool) -> list[int]:
    """Return the number of sessions of each measurement."""
    counts = [first]
    while find_knee and counts[-1] * GROWTH <= MAX_SESSIONS:
        counts.append(round(counts[-1] * GROWTH))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sessions",
        type=int,
        default=50,
        help="sessions (with --find-knee: of the first row; default: 50)",
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="length of each measurement in s (default: 10)"
    )
    parser.add_argument("--chunk-ms", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--find-knee", action="store_true")
    parser.add_argument(
        "--admit-all", action="store_true", help="switch off the server's refusals under load"
    )
    parser.add_argument("--model", type=Path, help="ONNX model (default: the bundled one)")
    parser.add_argument(
        "--pause-model", action="store_true", help="with the pause model for all sessions"
    )
    parser.add_argument("--quick", action="store_true", help="a short run: 20 sessions, 3 s")
    options = parser.parse_args()
    if options.quick:
        options.sessions, options.seconds = 20, 3.0
    gc.disable()  # nothing here makes cycles, and a collection would add latency of our own
    chunks = Chunks(options.chunk_ms)
    arguments = ["--max-sessions", str(MAX_SESSIONS)]
    arguments += ["--workers", str(options.workers)] if options.workers != 1 else []
    arguments += ["--max-load", "1000", "--max-lag-s", "1000"] if options.admit_all else []
    arguments += ["--model", str(options.model)] if options.model else []
    arguments += ["--pause-model" if options.pause_model else "--no-pause-model"]
    with served(*arguments) as server:
        print(
            f"{machine()}\n"
            f"chunks of {options.chunk_ms} ms, {options.workers} worker(s), {options.seconds:g} s "
            f"each\n\n{Row.HEAD}"
        )
        fleet = Fleet(server.port)
        fleet.open(options.workers, chunks)  # the first sessions cost more than one more session
        fleet.run(SETTLE_S)
        empty_mb, knee, row = server.memory_mb, 0, None
        for count in steps(options.sessions, options.find_knee):
            fleet.open(count - fleet.talking, chunks)
            fleet.run(SETTLE_S)
            for _ in range(TRIES if options.find_knee else 1):
                row = measure(server, fleet, options.seconds)
                print(row, flush=True)
                if row.latency_ms[2] <= REACH_MS or row.refused:
                    break
            if row is None or row.latency_ms[2] > REACH_MS or row.refused:
                break
            knee = row.sessions
        assert row is not None
        fleet.finish()
    let_in = [client for client in fleet.clients if client.status == 101]
    print(
        "\nmemory per session  "
        f"{(row.memory_mb - empty_mb) / max(1, row.sessions - options.workers) * 1000:.0f} KB"
    )
    print(
        (
            f"lost frames         {sum(client.lost for client in let_in)} of "
            f"{sum(client.lost + client.frames for client in let_in)}"
        ),
        end="",
    )
    print(
        f", out of order {sum(client.wrong for client in let_in)}, sessions that the server ended "
        f"{sum(not client.wanted for client in let_in)}"
    )
    if options.find_knee:
        print(
            f"the knee            {knee} sessions with p99 <= {REACH_MS:g} ms"
            + ("; then the server refused" if row.refused else "")
        )


if __name__ == "__main__":
    main()
