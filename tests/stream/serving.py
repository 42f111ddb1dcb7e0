"""Shared by the tests of the server and of the client.

It has audio, offline predictions, a raw websocket, and a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from turnstream.stream.engine import Engine
from turnstream.stream.latent_message import LatentMessage
from turnstream.stream.pcm import to_float32
from turnstream.stream.policy_settings import PolicySettings
from turnstream.stream.prediction import FrameMessage, TurnEvent
from turnstream.stream.protocol import (
    frame_to_json,
    message_to_json,
    parse_message,
)
from turnstream.stream.service.limits import Limits
from turnstream.stream.service.server import Server
from turnstream.stream.session import Session

PATIENCE_S = 60.0


def dialogue(seconds: float, seed: int, rate_hz: int = 16000) -> NDArray[np.int16]:
    """Return two channels of noise that comes and goes in turns, (N, 2) int16.

    It is enough for a random network to react to.
    """
    noise = np.random.default_rng(seed).standard_normal((round(seconds * rate_hz), 2))
    turns = np.sin(2 * np.pi * (np.arange(len(noise)) / rate_hz + seed) / 3)
    # The pauses are at -55 dBFS: the random network hears speech in them.
    gain = np.where(np.stack([turns > 0.2, turns < -0.2], axis=1), 1.0, 0.01)
    return np.clip(noise * gain * 6000, -32768, 32767).astype(np.int16)


def offline(
    engine: Engine,
    samples: NDArray[np.int16],
    *,
    rate_hz: int = 16000,
    policy: str | PolicySettings = "balanced",
) -> tuple[list[FrameMessage], list[TurnEvent]]:
    """Return frames and events of one session alone, as they read after the wire."""
    session = Session(
        engine.metadata, sample_rate_hz=rate_hz, policy=policy, buffer_s=len(samples) / rate_hz + 1
    )
    session.push_audio(to_float32(samples))
    session.flush()
    frames: list[FrameMessage] = []
    events: list[TurnEvent] = []
    while session.frames_waiting:
        output, state = engine.step(session.take_frame()[None], session.state[None])
        session.state = state[0]
        result = session.accept(output)
        frame = parse_message(frame_to_json(result))
        assert isinstance(frame, FrameMessage)
        frames.append(frame)
        for event in result.events:
            heard = parse_message(message_to_json(event))
            assert isinstance(heard, TurnEvent)
            events.append(heard)
    return frames, events


class RawClient:
    """A websocket without the package's client code, so that only the server is under test."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, message: str | bytes | dict[str, Any]) -> None:
        await self.connection.send(json.dumps(message) if isinstance(message, dict) else message)

    async def receive(self) -> Any:
        """Return the next message: an object, or latents."""
        async with asyncio.timeout(PATIENCE_S):
            wire = await self.connection.recv()
        return json.loads(wire) if isinstance(wire, str) else parse_message(wire)

    async def rest(self) -> list[Any]:
        """Return every message up to the close."""
        messages: list[Any] = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                messages.append(await self.receive())
        return messages

    @property
    def close_code(self) -> int | None:
        return self.connection.close_code


@contextlib.asynccontextmanager
async def slow_client(server: Server, query: str) -> AsyncIterator[RawClient]:
    """Open a client whose system buffers little.

    It makes the server wait as soon as it does not read.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", server.port))
    async with raw_client(server, query, sock=sock, max_queue=1) as client:
        yield client


@contextlib.asynccontextmanager
async def raw_client(server: Server, query: str = "", **options: Any) -> AsyncIterator[RawClient]:
    """Connect and check that `begin` comes first."""
    async with connect(
        f"{server.url}?{query}", compression=None, proxy=None, **options
    ) as connection:
        client = RawClient(connection)
        assert (await client.receive())["type"] == "begin"
        yield client


def of_type(messages: list[Any], kind: str) -> list[Any]:
    return [
        message
        for message in messages
        if not isinstance(message, LatentMessage) and message["type"] == kind
    ]


def quick_limits(**bounds: Any) -> Limits:
    """Return limits that end soon and refuse no session because the machine is slow or busy."""
    return Limits(
        **{
            "shutdown_timeout_s": 3.0,
            "close_timeout_s": 2.0,
            "max_lag_s": 60.0,
            "max_load": 1000.0,
            **bounds,
        }
    )


async def talk(client: RawClient, samples: np.ndarray[Any, Any], chunk: int) -> list[Any]:
    """Send everything in chunks while reading, close, and return every message."""
    reader = asyncio.create_task(client.rest())
    for start in range(0, len(samples), chunk):
        await client.send(samples[start : start + chunk].tobytes())
    await client.send({"type": "close"})
    return await reader


def frames_of(messages: list[Any]) -> list[FrameMessage]:
    frames = [parse_message(json.dumps(message)) for message in of_type(messages, "frame")]
    return [frame for frame in frames if isinstance(frame, FrameMessage)]


async def still_serves(server: Server, engine: Engine) -> None:
    samples = dialogue(0.2, seed=5)
    async with raw_client(server) as client:
        assert frames_of(await talk(client, samples, 320)) == offline(engine, samples)[0]


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks run until a condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0)


async def send_for_ever(client: RawClient, message: bytes) -> None:
    while True:
        await client.send(message)
