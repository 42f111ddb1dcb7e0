"""A plain web host for files, as anyone may have: it knows nothing of turnstream."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class StaticHost(ThreadingHTTPServer):
    """Serves a folder on a free port of this machine.

    Attributes:
        asked: the paths that were asked for, with queries.
    """

    request_queue_size = 64  # a browser asks for many files at once

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, StaticHost)
        self.server.asked.append(self.path)
        with contextlib.suppress(ConnectionError):  # the browser was closed
            super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def static_host(folder: Path) -> Iterator[StaticHost]:
    with StaticHost(folder) as host:
        thread = threading.Thread(target=host.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield host
        finally:
            host.shutdown()
            thread.join()
