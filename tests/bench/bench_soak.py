"""Half an hour of mixed sessions on one server: is its memory flat, is it still fast? No asserts.

    python tests/bench/bench_soak.py [--minutes 30] [--sessions 60] [--quick]

Two thirds of the sessions are live all the time, in chunks of 20, 60 or 100 ms. Their latency is
measured. The others come and go in a third process (`soak_clients.py`): files, short sessions and
reconnecting ones. Memory is the server's resident set. Its slope leaves out the first fifth of the
time, in which caches fill.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from multiprocessing.queues import Queue

import numpy as np
from live_clients import Chunks, Fleet, Measured
from local_server import ROOMY
from served import Served, machine
from soak_clients import come_and_go

from turnstream.stream.engine import Engine
from turnstream.stream.service.server import Server

ROW_S = 30.0
RESUME_S = 5.0  # the server keeps cut sessions for this time, and there are many of them
ROWS_OF_FIVE_MINUTES = 10
HEAD = "  time s   memory MB   descriptors   tasks   sessions   p50 / p99 ms"


async def serve() -> None:
    """The server's process: print its address, then the number of tasks for every line it reads."""
    loop = asyncio.get_running_loop()
    async with Server(Engine(), port=0, limits=replace(ROOMY, resume_s=RESUME_S)) as server:
        print(server.url, flush=True)
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(len(asyncio.all_tasks()), flush=True)


@dataclass
class Row:
    """The server's condition at one time."""

    time_s: float
    memory_mb: float
    descriptors: int
    tasks: int
    sessions: int
    latency_ms: tuple[float, float]

    def __str__(self) -> str:
        p50, p99 = self.latency_ms
        return (
            f"{self.time_s:8.0f}   {self.memory_mb:9.1f}   {self.descriptors:11}   {self.tasks:5}"
            f"   {self.sessions:8}   {p50:.1f} / {p99:.1f}"
        )


def slope(rows: list[Row]) -> tuple[float, float]:
    """Return the growth of memory in MB an hour, and its standard error.

    Both come from a line fitted through all rows but the first fifth.
    """
    late = rows[len(rows) // 5 :]
    hours, memory_mb = (
        np.array([row.time_s for row in late]) / 3600,
        np.array([row.memory_mb for row in late]),
    )
    if len(late) < 4:
        return 0.0, float("inf")
    (growth, _), covariance = np.polyfit(hours, memory_mb, 1, cov=True)
    return float(growth), float(np.sqrt(covariance[0, 0]))


def soak(
    server: Served, process: subprocess.Popen[str], fleet: Fleet, end_s: float, row_s: float
) -> list[Row]:
    """Play the live sessions until a time; add a row whenever one is due."""
    assert process.stdin is not None
    assert process.stdout is not None
    rows: list[Row] = []
    began_s = time.perf_counter()
    while time.perf_counter() < end_s:
        known = len(fleet.measured.latency_s)
        fleet.run(row_s)
        process.stdin.write("\n")
        process.stdin.flush()
        tasks = int(process.stdout.readline())
        p50, p99 = np.percentile(fleet.measured.latency_s[known:], (50, 99)) * 1000
        rows.append(
            Row(
                time.perf_counter() - began_s,
                server.memory_mb,
                server.descriptors,
                tasks,
                server.health["sessions"],
                (p50, p99),
            )
        )
        print(rows[-1], flush=True)
        if len(rows) % ROWS_OF_FIVE_MINUTES == 0:
            print(
                (
                    f"          {ROWS_OF_FIVE_MINUTES} rows together: p99 "
                    f"{np.percentile(fleet.measured.latency_s, 99) * 1000:.1f} ms"
                ),
                flush=True,
            )
            fleet.measured = Measured()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument(
        "--quick", action="store_true", help="a short run of 20 s, with a row every 2 s"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    gc.disable()
    seconds, row_s = (20.0, 2.0) if options.quick else (options.minutes * 60, ROW_S)
    live = options.sessions * 2 // 3
    coming = max(3, options.sessions - live)
    context = multiprocessing.get_context("spawn")
    stop, ends = context.Event(), context.Queue()
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        server = Served(process, process.stdout.readline().strip())
        print(
            f"{machine()}\n{live} live sessions, {coming} that come and go, {seconds:g} s\n\n{HEAD}"
        )
        fleet = Fleet(server.port)
        for chunk_ms, share in ((20, live - 2 * (live // 4)), (60, live // 4), (100, live // 4)):
            fleet.open(share, Chunks(chunk_ms))
        files, short = max(1, coming // 10), coming // 3
        guests = context.Process(
            target=come_and_go, args=(server.port, files, short, coming - files - short, stop, ends)
        )
        guests.start()
        fleet.measured = Measured()
        rows = soak(server, process, fleet, time.perf_counter() + seconds, row_s)
        stop.set()
        counts = _wait(fleet, ends)
        guests.join()
        fleet.finish()
        process.terminate()
    growth, error = slope(rows)
    verdict = "flat" if growth < max(2 * error, 1.0) else "NOT FLAT"
    print(
        f"\nmemory        {rows[len(rows) // 5].memory_mb:.1f} to {rows[-1].memory_mb:.1f} MB, "
        f"{growth:+.2f} +- {error:.2f} MB an hour: {verdict}"
    )
    print(
        f"live          lost frames {sum(client.lost for client in fleet.clients)}, out of order "
        f"{sum(client.wrong for client in fleet.clients)}"
    )
    for end, count in sorted(counts.items()):
        print(f"{count:8} x  {end}")


def _wait(fleet: Fleet, ends: Queue[Counter[str]]) -> Counter[str]:
    """Keep the live sessions running until the last guest has left."""
    while ends.empty():
        fleet.run(0.5)
    return ends.get()


if __name__ == "__main__":
    main()
