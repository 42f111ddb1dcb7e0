"""Two nodes behind HAProxy, with the configuration that is shipped, and Redis.

Live sessions lose and double nothing when one node is killed and the other one stopped: their
clients resume at the node that is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from turnstream.stream import asyncapi
from turnstream.stream.clients.asynchronous import AsyncClient
from turnstream.stream.engine import Engine
from turnstream.stream.protocol import ResumedMessage

from ..command_server import CommandServer, answer, command_server
from ..service.redis_server import RedisServer, needs_redis
from ..service.test_workers_killed import PATIENCE_S, Talk

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
CONFIGURATION = Path(asyncapi.__file__).parent / "deploy" / "haproxy.cfg"
CLIENTS = 6

pytestmark = [
    needs_redis,
    pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed: apt-get install haproxy"),
]


@contextlib.contextmanager
def balancer(*nodes: CommandServer) -> Iterator[str]:
    """Run HAProxy before the nodes; yield its address."""
    assert HAPROXY is not None
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        first, second = (f"127.0.0.1:{node.port}" for node in nodes)
        bind = f"fd@{listener.fileno()}"
        with subprocess.Popen(
            [HAPROXY, "-db", "-f", str(CONFIGURATION)],
            env={**os.environ, "BIND": bind, "NODE_1": first, "NODE_2": second},
            pass_fds=[listener.fileno()],
        ) as process:
            try:
                yield f"127.0.0.1:{listener.getsockname()[1]}"
            finally:
                process.kill()


def sessions(node: CommandServer) -> int:
    return int(json.loads(answer(f"{node.page}healthz")[1])["sessions"])


async def test_a_node_can_die_or_be_stopped_under_live_sessions_and_nothing_is_lost(
    talkative_path: Path, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(RedisServer(tmp_path).running())
        options = ("--store", redis.url, "--hand-over", "--save-interval-s", "0.3")
        options += ("--max-load", "1000", "--quiet")
        nodes = [stack.enter_context(command_server(talkative_path, *options)) for _ in range(2)]
        address = stack.enter_context(balancer(*nodes))
        async with asyncio.timeout(PATIENCE_S), contextlib.AsyncExitStack() as calls:
            clients = [
                await calls.enter_async_context(AsyncClient(f"ws://{address}"))
                for _ in range(CLIENTS)
            ]
            talks = [Talk(client, seed) for seed, client in enumerate(clients)]
            await asyncio.gather(*(talk.send(16000) for talk in talks))
            assert [sessions(node) for node in nodes] == [CLIENTS // 2] * 2
            await end(nodes[0], signal.SIGKILL, talks, until=3 * 16000)
            assert sessions(nodes[1]) == CLIENTS
            port = ("--port", str(nodes[0].port))  # a node is back at its address
            nodes[0] = stack.enter_context(command_server(talkative_path, *options, *port))
            await end(nodes[1], signal.SIGTERM, talks, until=5 * 16000)
            assert nodes[1].process.wait() == 0
            assert sessions(nodes[0]) == CLIENTS
            await asyncio.gather(*(talk.finish() for talk in talks))
        engine = Engine(talkative_path)
        for talk in talks:
            talk.assert_exact(engine)
        resumed = [sum(isinstance(m, ResumedMessage) for m in talk.messages) for talk in talks]
        assert sorted(resumed) == [1] * (CLIENTS // 2) + [2] * (CLIENTS // 2)


async def end(node: CommandServer, by: signal.Signals, talks: list[Talk], until: int) -> None:
    """End a node while all send, and wait until everything sent is predicted on."""
    sending = [asyncio.create_task(talk.send(until)) for talk in talks]
    node.process.send_signal(by)
    await asyncio.gather(*sending)


def test_a_call_that_one_node_refuses_goes_to_the_other(
    tiny_model_path: Path, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        small, large = (
            stack.enter_context(command_server(tiny_model_path, "--quiet", "--max-sessions", count))
            for count in ("1", "9")
        )
        address = stack.enter_context(balancer(small, large))

        async def five_calls() -> list[int]:
            async with contextlib.AsyncExitStack() as calls:
                for _ in range(5):
                    client = await calls.enter_async_context(AsyncClient(f"ws://{address}"))
                    await client.push_audio(np.zeros((320, 2), np.float32))
                    await client.receive()  # a session that has sent audio keeps its place
                return [sessions(node) for node in (small, large)]

        assert asyncio.run(five_calls()) == [1, 4]
        assert answer(f"http://{address}/readyz")[0] == 200
