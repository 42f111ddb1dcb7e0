"""A `redis-server` of the test's own, without files."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
needs_redis = pytest.mark.skipif(
    SERVER is None, reason="redis-server is not installed: apt-get install redis-server"
)


class RedisServer:
    """Runs on a Unix socket; can be killed and started again, then without its content."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self._process: subprocess.Popen[str] | None = None
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        assert SERVER is not None
        options = ["--port", "0", "--unixsocket", str(self._socket), "--save", ""]
        self._process = subprocess.Popen(
            [SERVER, *options], stdout=subprocess.PIPE, text=True, cwd=self._socket.parent
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "eady to accept connections" in line:
                break
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self._socket))

    def kill(self) -> None:
        """Kill it, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    @contextlib.contextmanager
    def running(self) -> Iterator[RedisServer]:
        """Run until the end of the context."""
        self.start()
        try:
            yield self
        finally:
            self.kill()
