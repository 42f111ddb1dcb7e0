"""A fake server for the client's tests, and functions that talk to it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.server import ServerConnection, serve

from turnstream.stream.clients.asynchronous import AsyncClient
from turnstream.stream.prediction import FrameMessage, TurnEvent
from turnstream.stream.protocol import (
    BeginMessage,
    ServerMessage,
    TerminationMessage,
    message_to_json,
)
from turnstream.stream.settings import StreamSettings

BEGIN = BeginMessage(
    "s", "fake", "0", "0", 50.0, {"latent": 1, "latent_speaker": 1}, StreamSettings()
)


@contextlib.asynccontextmanager
async def fake_server(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """Run a server that sends `begin` and then calls the test's function."""

    async def begin_first(connection: ServerConnection) -> None:
        await connection.send(message_to_json(BEGIN))
        await handler(connection)

    async with serve(begin_first, "127.0.0.1", 0) as listener:
        yield f"ws://127.0.0.1:{next(iter(listener.sockets)).getsockname()[1]}"


async def echo(connection: ServerConnection) -> None:
    """Answer every piece of audio with an event, numbered from 1.

    `close` is answered with the end of the session.
    """
    number = 0
    async for wire in connection:
        if isinstance(wire, bytes):
            number += 1
            await connection.send(message_to_json(TurnEvent("end_of_turn", 0, float(number), 0.5)))
        elif wire == '{"type":"close"}':
            await connection.send(message_to_json(TerminationMessage(number, 1.0, "close")))
            return


async def send(client: AsyncClient, samples: NDArray[np.int16]) -> None:
    for start in range(0, len(samples), 960):
        await client.push_audio(samples[start : start + 960])
    await client.close()


def frames_of(messages: list[ServerMessage]) -> list[FrameMessage]:
    return [message for message in messages if isinstance(message, FrameMessage)]
