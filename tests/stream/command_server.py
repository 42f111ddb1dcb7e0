"""`turnstream` in a process of its own: any command without a reader, and a running server."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

TURNSTREAM = [sys.executable, "-m", "turnstream"]


def without_reader(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard output nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as unread:
        return subprocess.run(
            [*TURNSTREAM, *map(str, words)],
            stdout=unread,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )


@dataclass
class CommandServer:
    """A running `turnstream serve`.

    Attributes:
        url: the printed URL, without its path.
        page: the printed URL of its page.
    """

    process: subprocess.Popen[str]
    url: str
    page: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stream(self, query: str = "", **options: Any) -> ClientConnection:
        """Open a websocket of its stream, without the package's client code."""
        return connect(f"{self.url}/v1/stream?{query}", compression=None, proxy=None, **options)

    def log_line(self) -> str:
        """Wait for the next line of its log, and return it."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def end(self, signal_number: int) -> tuple[int, str, str]:
        """Send a signal; return the exit code and the rest of both outputs."""
        self.process.send_signal(signal_number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


def answer(url: str, tls: ssl.SSLContext | None = None, **headers: str) -> tuple[int, str]:
    """Return the status and the body of a GET request."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=60, context=tls
        ) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@contextlib.contextmanager
def command_server(
    model: Path, *options: str, tokens: str | None = None, tls: bool = False
) -> Iterator[CommandServer]:
    command = [*TURNSTREAM, "serve", "--port", "0", "--model", str(model), *options]
    environment = {name: value for name, value in os.environ.items() if name != "TURNSTREAM_TOKENS"}
    if tokens is not None:
        environment["TURNSTREAM_TOKENS"] = tokens
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            line, page = process.stdout.readline(), process.stdout.readline()
            assert line.startswith(f"serving {'wss' if tls else 'ws'}://127.0.0.1:"), line
            assert line.endswith("/v1/stream\n"), line
            yield CommandServer(
                process,
                line.removeprefix("serving ").removesuffix("/v1/stream\n"),
                page.removeprefix("page").strip(),
            )
        finally:
            process.kill()
