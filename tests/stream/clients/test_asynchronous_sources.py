"""Sources that a client sends to their end, with the agent's voice beside them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from turnstream.stream.clients.asynchronous import AsyncClient
from turnstream.stream.engine import Engine
from turnstream.stream.errors import AudioFormatError
from turnstream.stream.pcm import Block
from turnstream.stream.service.server import Server
from turnstream.stream.settings import StreamSettings
from turnstream.stream.sources import FileSource

from ..serving import PATIENCE_S, dialogue, offline, quick_limits
from .fake_server import frames_of


async def test_a_source_is_sent_to_its_end(server: Server, engine: Engine, tmp_path: Path) -> None:
    samples = dialogue(2, seed=7)
    soundfile.write(tmp_path / "call.wav", samples, 16000)
    source = FileSource(tmp_path / "call.wav")
    async with AsyncClient(server.url, token="secret") as client, asyncio.TaskGroup() as tasks:
        tasks.create_task(client.stream(source))
        messages = [message async for message in client]
    source.close()
    assert frames_of(messages) == offline(engine, samples)[0]


async def test_a_source_may_be_sent_in_real_time(server: Server, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.wav", dialogue(0.2, seed=7), 16000)
    source = FileSource(tmp_path / "call.wav")
    async with AsyncClient(server.url, token="secret") as client:
        started = asyncio.get_running_loop().time()
        await client.stream(source, speed=2.0)
        assert asyncio.get_running_loop().time() - started >= 0.09
    source.close()


def test_a_source_that_gives_nothing_keeps_no_program_from_ending(engine: Engine) -> None:
    asked, stuck = threading.Event(), threading.Event()

    class Silent:
        sample_rate_hz = 16000
        channels = 2

        def __iter__(self) -> Iterator[Block]:
            asked.set()
            stuck.wait()
            return iter(())

        def close(self) -> None: ...

    async def converse() -> None:
        async with (
            Server(engine, port=0, limits=quick_limits()) as server,
            AsyncClient(server.url) as client,
        ):
            streaming = asyncio.create_task(client.stream(Silent()))
            await asyncio.to_thread(asked.wait)
            streaming.cancel()
            await asyncio.wait([streaming])

    program = threading.Thread(target=asyncio.run, args=(converse(),))
    program.start()
    program.join(PATIENCE_S)
    ended = not program.is_alive()
    stuck.set()
    program.join()
    assert ended


async def test_a_source_that_does_not_fit_is_refused(server: Server, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.wav", dialogue(0.2, seed=7), 16000)
    source = FileSource(tmp_path / "call.wav")
    async with AsyncClient(server.url, StreamSettings(channels=1), token="secret") as client:
        with pytest.raises(
            AudioFormatError,
            match=(
                "expected a source of 16000 Hz and at most 1 channels, as the settings say; got "
                "16000 Hz and 2"
            ),
        ):
            await client.stream(source)
    source.close()


async def test_the_agents_voice_is_the_second_channel(server: Server, engine: Engine) -> None:
    samples = dialogue(2, seed=8)
    expected = samples.copy()
    expected[:5000, 1] = 0
    expected[20000:, 1] = 0
    async with AsyncClient(server.url, token="secret") as client:
        await client.push_user(samples[:5000, 0])
        client.agent.say(samples[5000:, 1])
        await client.push_user(samples[5000:20000, 0])
        assert client.agent.stop().dropped_s == 12000 / 16000
        await client.push_user(samples[20000:, 0])
        await client.close()
        messages = [message async for message in client]
    assert frames_of(messages) == offline(engine, expected)[0]


async def test_a_mono_source_in_a_stream_of_two_leaves_the_agent_its_channel(
    server: Server, engine: Engine, tmp_path: Path
) -> None:
    samples = dialogue(1, seed=9)
    soundfile.write(tmp_path / "user.wav", samples[:, 0], 16000)
    source = FileSource(tmp_path / "user.wav")
    client = AsyncClient(server.url, token="secret")
    client.agent.say(samples[:, 1])
    async with client, asyncio.TaskGroup() as tasks:
        tasks.create_task(client.stream(source))
        messages = [message async for message in client]
    source.close()
    assert frames_of(messages) == offline(engine, samples)[0]


async def test_the_agent_needs_a_second_channel(server: Server) -> None:
    async with AsyncClient(server.url, StreamSettings(channels=1), token="secret") as client:
        with pytest.raises(
            AudioFormatError, match="expected a stream of 2 channels, user and agent, got 1"
        ):
            await client.push_user(np.zeros(320, np.int16))
