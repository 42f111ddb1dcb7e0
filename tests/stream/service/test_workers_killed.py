"""Sessions survive the workers that serve them: SIGKILL loses and doubles nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from turnstream.stream.clients.asynchronous import AsyncClient
from turnstream.stream.engine import Engine
from turnstream.stream.prediction import FrameMessage, TurnEvent
from turnstream.stream.protocol import ResumedMessage, ServerMessage

from ..serving import dialogue, offline, until
from .redis_server import RedisServer, needs_redis
from .test_workers import Workers, workers

CLIENTS, SECONDS, CHUNK = 6, 8, 960
PATIENCE_S = 60.0


class Talk:
    """A client that sends up to a position, and keeps every message."""

    def __init__(self, client: AsyncClient, seed: int) -> None:
        self._client = client
        self.samples = dialogue(SECONDS, seed)
        self.messages: list[ServerMessage] = []
        self._sent = 0

    async def send(self, until: int) -> None:
        """Send, and receive until the last whole frame is predicted on."""
        while self._sent < until:
            await self._client.push_audio(self.samples[self._sent : self._sent + CHUNK])
            self._sent += CHUNK
        while sum(isinstance(message, FrameMessage) for message in self.messages) < until // 320:
            self.messages.append(await self._client.receive())

    async def finish(self) -> None:
        await self.send(len(self.samples))
        await self._client.close()
        self.messages += [message async for message in self._client]

    def assert_exact(self, engine: Engine) -> None:
        frames, events = offline(engine, self.samples)
        assert [one for one in self.messages if isinstance(one, FrameMessage)] == frames
        assert [one for one in self.messages if isinstance(one, TurnEvent)] == events
        assert events


async def survive(model: Path, *options: str) -> None:
    """Kill each worker once, while sessions talk; check every message of all of them."""
    with workers(model, *options, "--save-interval-s", "0.3", "--max-load", "1000") as running:
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            clients = [AsyncClient(running.server.url) for _ in range(CLIENTS)]
            for client in clients:
                await client.__aenter__()
            talks = [Talk(client, seed) for seed, client in enumerate(clients)]
            for step, number in enumerate((0, 1), start=1):
                await asyncio.gather(*(talk.send(step * 2 * 16000) for talk in talks))
                sending = [tasks.create_task(talk.send((step * 2 + 1) * 16000)) for talk in talks]
                running.processes[number].kill()
                await asyncio.to_thread(running.next_one)
                await asyncio.gather(*sending)
            await asyncio.gather(*(talk.finish() for talk in talks))
            for client in clients:
                await client.__aexit__(None)
    engine = Engine(model)
    for talk in talks:
        talk.assert_exact(engine)
        assert any(isinstance(message, ResumedMessage) for message in talk.messages)


async def test_a_killed_worker_loses_no_message_of_any_session(talkative_path: Path) -> None:
    await survive(talkative_path)


@needs_redis
async def test_with_redis_a_killed_worker_loses_no_message_either(
    talkative_path: Path, tmp_path: Path
) -> None:
    with RedisServer(tmp_path).running() as redis:
        await survive(talkative_path, "--store", redis.url)


async def logged(running: Workers, words: str) -> None:
    """Wait until both workers have logged these words."""
    for _ in running.processes:
        while words not in await asyncio.to_thread(running.server.log_line):
            pass


@needs_redis
async def test_a_store_that_is_killed_and_restarted_loses_no_session(
    talkative_path: Path, tmp_path: Path
) -> None:
    redis = RedisServer(tmp_path)
    redis.start()
    with workers(talkative_path, "--store", redis.url, "--save-interval-s", "0.3") as running:
        async with asyncio.timeout(PATIENCE_S), AsyncClient(running.server.url) as client:
            talk = Talk(client, 1)
            await talk.send(16000)
            redis.kill()
            await talk.send(2 * 16000)
            await logged(running, "the session store fails")
            with redis.running():
                await logged(running, "the session store is back")
                await talk.send(3 * 16000)
                kept = client._link._first_kept
                await until(lambda: client._link._first_kept != kept)  # until it is saved again
                for number in (0, 1):
                    running.processes[number].kill()
                await talk.finish()
    talk.assert_exact(Engine(talkative_path))
