"""A client of the resuming server, numbered blocks of audio for it, and what must come of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from turnstream.stream.clients.asynchronous import AsyncClient
from turnstream.stream.protocol import ServerMessage, TerminationMessage, WarningMessage
from turnstream.stream.settings import StreamSettings

from ..resuming_server import ResumingServer, answer
from ..serving import PATIENCE_S

MONO = StreamSettings(sample_rate_hz=8000, channels=1)


@contextlib.asynccontextmanager
async def linked(server: ResumingServer, **options: Any) -> AsyncIterator[AsyncClient]:
    """Run the server, and connect a client to it."""
    async with (
        server.listening() as url,
        asyncio.timeout(PATIENCE_S),
        AsyncClient(url, MONO, **options) as client,
    ):
        yield client


def block(number: int, samples: int = 80) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.full(samples, number, np.int16)


async def resumed(client: AsyncClient) -> ServerMessage:
    """Check the warning of the lost connection; return the message after it."""
    warning = await client.receive()
    assert isinstance(warning, WarningMessage)
    assert warning.code == "connection_lost"
    return await client.receive()


def expected_answers(blocks: int) -> list[ServerMessage]:
    return [
        *(answer(number + 1) for number in range(blocks)),
        TerminationMessage(blocks + 1, 1.0, "close"),
    ]
