"""Connections to the paths for telephone calls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from turnstream.stream.service.server import Server

from ..serving import RawClient


@contextlib.asynccontextmanager
async def opened(server: Server, path: str) -> AsyncIterator[RawClient]:
    async with connect(
        f"ws://127.0.0.1:{server.port}{path}", compression=None, proxy=None
    ) as connection:
        yield RawClient(connection)


async def refusal(server: Server, path: str) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refused:
        async with opened(server, path):
            pass
    response = refused.value.response
    return response.status_code, (response.body or b"").decode()


async def listener_of(server: Server, sid: str, query: str = "") -> RawClient:
    """Return a listener of a call that may be about to begin."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(InvalidStatus):
                address = f"ws://127.0.0.1:{server.port}/v1/calls/{sid}{query}"
                return RawClient(await connect(address, compression=None, proxy=None))
