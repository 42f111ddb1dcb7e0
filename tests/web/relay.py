"""A websocket relay between the page and a server.

It remembers what the page sent, and can cut the connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from turnstream.stream.service.server import Server


class Relay:
    """The relayed messages.

    Attributes:
        url: where the page connects.
        begin: the server's first message of the newest session.
        sent: messages that the page sent in this session and the server has, in order, each once.
        connections: how often the page connected.
        path: what the page asked for last, with its query.
    """

    def __init__(self, server: Server) -> None:
        self.url = ""
        self.begin: dict[str, Any] = {}
        self.sent: list[str | bytes] = []
        self.connections = 0
        self.path = ""
        self._server = server
        self._moved = asyncio.Event()
        self._dead: set[ServerConnection] = set()
        self._open: set[ServerConnection] = set()

    def swallow(self) -> None:
        """Keep the present connections open, but forward nothing more."""
        self._dead |= self._open

    async def move(self, server: Server) -> None:
        """Break every connection; the next ones reach another server."""
        self._server = server
        await self.cut()

    @property
    def controls(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in self.sent if isinstance(message, str)]

    @property
    def samples(self) -> NDArray[np.int16]:
        """The audio that was sent, (N, C)."""
        sound = b"".join(message for message in self.sent if isinstance(message, bytes))
        return np.frombuffer(sound, "<i2").reshape(-1, self.begin["settings"]["channels"])

    async def has_sent(self, messages: int) -> None:
        """Wait until a connected page has sent so many messages."""
        while len(self.sent) < messages or not self._open:
            self._moved.clear()
            await self._moved.wait()

    async def connected(self) -> None:
        """Wait until the page connects again."""
        count = self.connections
        while self.connections == count:
            self._moved.clear()
            await self._moved.wait()

    async def cut(self) -> None:
        """Break every connection without a close frame."""
        while self._open:
            self._open.pop().transport.abort()

    async def handle(self, page: ServerConnection) -> None:
        assert page.request is not None
        self.connections += 1
        self.path = page.request.path
        self._moved.set()
        address = self._server.url.removesuffix("/v1/stream") + page.request.path
        try:
            upstream = await connect(address, compression=None, proxy=None, max_size=None)
        except InvalidStatus:
            await page.close(1011)
            return
        self._open.add(page)
        try:
            ways = [asyncio.create_task(way(page, upstream)) for way in (self._up, self._down)]
            _, pending = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            if pending:
                await asyncio.wait(pending)
        finally:
            self._open.discard(page)
            if page.close_code == 1000:
                await upstream.close()
            else:
                upstream.transport.abort()
            await page.close(upstream.close_code if upstream.close_code in (1000, 1001) else 1000)

    async def _up(self, page: ServerConnection, upstream: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in page:
                if page in self._dead:
                    continue
                self.sent.append(message)
                self._moved.set()
                await upstream.send(message)

    async def _down(self, page: ServerConnection, upstream: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in upstream:
                if page in self._dead:
                    continue
                words = json.loads(message) if isinstance(message, str) else {"type": "latent"}
                if words["type"] == "begin":
                    self.begin, self.sent = words, []
                elif words["type"] == "resumed":
                    del self.sent[words["received"] :]
                await page.send(message)


@contextlib.asynccontextmanager
async def relay_to(server: Server, port: int) -> AsyncIterator[Relay]:
    """Run a relay on a port, which the page of the server must be allowed to reach."""
    relay = Relay(server)
    async with serve(relay.handle, "127.0.0.1", port, compression=None, max_size=None):
        relay.url = f"ws://127.0.0.1:{port}"
        yield relay
