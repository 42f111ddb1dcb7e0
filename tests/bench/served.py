"""`turnstream serve` in a process of its own, with its costs.

The costs are CPU and memory of it and its workers, and its metrics.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psutil


class Served:
    """A running server.

    Attributes:
        port: port on this machine.
        main: the process that was started; `processes` also has its workers.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.main = psutil.Process(process.pid)
        self.port = int(url.removesuffix("/v1/stream").rpartition(":")[2])

    @property
    def processes(self) -> list[psutil.Process]:
        """The main process first, then its workers."""
        return [self.main, *self.main.children(recursive=True)]

    @property
    def busy_s(self) -> float:
        """CPU time of all processes so far."""
        return sum(
            times.user + times.system
            for times in (process.cpu_times() for process in self.processes)
        )

    @property
    def memory_mb(self) -> float:
        """Resident memory of all processes."""
        return sum(process.memory_info().rss for process in self.processes) / 1e6

    @property
    def descriptors(self) -> int:
        """Open file descriptors of all processes."""
        return sum(process.num_fds() for process in self.processes)

    @property
    def health(self) -> dict[str, Any]:
        """The answer of /healthz."""
        return json.loads(self._get("/healthz"))

    @property
    def metrics(self) -> dict[str, float]:
        """The values of /metrics by name, summed over labels; empty if the server has none."""
        try:
            text = self._get("/metrics")
        except urllib.error.HTTPError:
            return {}
        values: dict[str, float] = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                values[name] = values.get(name, 0.0) + float(value)
        return values

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
            return response.read().decode()


@contextlib.contextmanager
def served(*options: str) -> Iterator[Served]:
    """Start `turnstream serve` on a free port, and terminate it afterwards."""
    command = [sys.executable, "-m", "turnstream", "serve", "--quiet", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        if line[:1] != ["serving"]:
            raise SystemExit(f"the server did not start: {' '.join(command)}")
        try:
            yield Served(process, line[1])
        finally:
            process.terminate()


def machine() -> str:
    """Return the machine in one line, for the head of a table."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        name = next(
            (line.partition(": ")[2].strip() for line in lines if line.startswith("model name")),
            name,
        )
    return (
        f"{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}"
    )
