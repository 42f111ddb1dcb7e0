"""A server that asks for a token."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.service.server import Server

from ..serving import quick_limits


@pytest.fixture
async def server(engine: Engine) -> AsyncIterator[Server]:
    async with Server(engine, port=0, limits=quick_limits(), tokens=["secret"]) as running:
        yield running
