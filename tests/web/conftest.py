"""The server with the bundled model, a browser, and short recordings."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.stream.engine import Engine
from turnstream.stream.service import delivery
from turnstream.stream.service.limits import Limits
from turnstream.stream.service.server import Server
from turnstream.stream.sources import bundled_sample

from .chromium import Tab, open_tab_of
from .relay import Relay, relay_to

MakeRecording = Callable[..., Path]


@pytest.fixture(autouse=True)
def page_can_be_tried(browser: str) -> None:
    """Skip the tests of the page without a browser."""


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def server(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> AsyncIterator[Server]:
    # The relay answers pings for the page. So it would confirm messages that the page has not
    # received, and the page could not resume.
    monkeypatch.setattr(delivery, "_PING_EVERY", sys.maxsize)
    quiet = Limits(max_outgoing_messages=10_000, ping_interval_s=600.0)
    servers = [f"ws://127.0.0.1:{unused_tcp_port}"]  # the relay
    async with Server(engine, port=0, limits=quiet, page_servers=servers) as running:
        yield running


@pytest.fixture
async def relay(server: Server, unused_tcp_port: int) -> AsyncIterator[Relay]:
    async with relay_to(server, unused_tcp_port) as running:
        yield running


@pytest.fixture
async def tab(browser: str) -> AsyncIterator[Tab]:
    async with open_tab_of(browser) as opened:
        yield opened


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> MakeRecording:
    """Cut a recording out of the bundled call.

    It takes start and end in seconds, channels, and the seconds of silence before and after.
    """
    folder = tmp_path_factory.mktemp("recordings")
    samples, rate_hz = sf.read(bundled_sample(), dtype="int16", always_2d=True)

    def make(
        start_s: float,
        end_s: float,
        channels: tuple[int, ...],
        before_s: float = 0.0,
        after_s: float = 0.0,
    ) -> Path:
        part = samples[round(start_s * rate_hz) : round(end_s * rate_hz), channels]
        padded = np.pad(part, ((round(before_s * rate_hz), round(after_s * rate_hz)), (0, 0)))
        path = folder / f"{start_s}-{end_s}-{channels}-{before_s}-{after_s}.wav".replace(" ", "")
        sf.write(path, padded, rate_hz, subtype="PCM_16")
        return path

    return make
