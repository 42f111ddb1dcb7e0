"""Sessions that are fetched from another worker, without other processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from turnstream.stream.engine import Engine
from turnstream.stream.service.handover import Handover
from turnstream.stream.service.server import Server

from ..serving import RawClient, dialogue, frames_of, offline, quick_limits, still_serves
from .test_server_admission import refusal


def gives(packed: Callable[[], Awaitable[bytes | None]], folder: Path) -> Handover:
    """Return the handover of worker 1, to which worker 0 gives these bytes for every token."""

    async def nothing(token: str) -> bytes | None:
        return None

    class Giving(Handover):
        async def fetch(self, token: str) -> bytes | None:
            return await packed()

    return Giving(folder, 1, nothing)


async def test_a_fetched_session_is_resumed(engine: Engine, tmp_path: Path) -> None:
    samples, token = dialogue(1, seed=3), ""

    async def packed() -> bytes | None:
        return await first.release(token)

    async with (
        Server(engine, port=0, limits=quick_limits(resume_s=30.0)) as first,
        Server(
            engine, port=0, limits=quick_limits(resume_s=30.0), handover=gives(packed, tmp_path)
        ) as second,
    ):
        async with connect(first.url, compression=None, proxy=None) as connection:
            client = RawClient(connection)
            token = (await client.receive())["resume_token"]
            await client.send(samples[:8000].tobytes())
            messages = [await client.receive() for _ in range(25)]
            url = f"{second.url}?resume={token}&received={1 + len(messages)}"
            async with connect(url, compression=None, proxy=None) as resumed:
                client = RawClient(resumed)
                await client.send(samples[8000:].tobytes())
                await client.send({"type": "close"})
                first_message, *rest = await client.rest()
        assert (first.sessions, first_message["type"]) == (0, "resumed")
    assert frames_of([*messages, *rest]) == offline(engine, samples)[0]


async def test_bytes_that_are_no_session_are_refused_and_logged(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def packed() -> bytes | None:
        return b"cos\nsystem\n(S'true'\ntR."

    handover = gives(packed, tmp_path)
    async with Server(engine, port=0, limits=quick_limits(), handover=handover) as server:
        assert await refusal(f"{server.url}?resume=0-token&received=1") == (
            410,
            "no such session: it has ended, or its client came back too late\n",
        )
        await still_serves(server, engine)
    assert (
        "a session that another worker gave away is lost: expected a packed conversation, "
        "got 23 bytes that are not one" in caplog.text
    )
