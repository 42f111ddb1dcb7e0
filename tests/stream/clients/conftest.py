"""A server that asks for a token, and a link that tries again at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from turnstream.stream.clients import link
from turnstream.stream.engine import Engine
from turnstream.stream.service.server import Server

from ..serving import quick_limits


@pytest.fixture
async def server(engine: Engine) -> AsyncIterator[Server]:
    async with Server(engine, port=0, limits=quick_limits(), tokens=["secret"]) as running:
        yield running


@pytest.fixture(scope="module")
def impatient() -> Iterator[None]:
    """Acknowledge and reconnect at once, so that a test takes no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link, "_PING_S", 0.005)
        patch.setattr(link, "_FIRST_PAUSE_S", 0.001)
        patch.setattr(link, "_LONGEST_PAUSE_S", 0.01)
        yield
