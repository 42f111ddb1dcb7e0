"""A small server that speaks the resume protocol and answers every message.

The module also has a line to it that breaks at any byte.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from turnstream.stream.prediction import TurnEvent
from turnstream.stream.protocol import (
    BeginMessage,
    ResumedMessage,
    SavedMessage,
    TerminationMessage,
    WarningMessage,
    message_to_json,
)
from turnstream.stream.settings import StreamSettings

TOKEN = "resume-me"


def answer(number: int) -> TurnEvent:
    """Return the server's answer to the client's message with this number."""
    return TurnEvent("end_of_turn", 0, float(number), 0.5)


@dataclass
class ResumingServer:
    """One session, which outlives its connections.

    Attributes:
        received: the client's messages, each once.
        saves: whether it says that it saves the session; `save` tells that it has.
        resume_s: how long it promises to keep the session.
        refusal: an HTTP status for every attempt to resume, if set.
        attempts, resumes: how often a client tried to resume, and succeeded.
        connection: the present connection.
        got: set with every message.
        tried: set with every attempt to resume.
        hearing: while it is cleared, no message is taken in.
    """

    resume_s: float = 30.0
    saves: bool = False
    refusal: HTTPStatus | None = None
    received: list[str | bytes] = field(default_factory=list)
    attempts: int = 0
    resumes: int = 0
    connection: ServerConnection | None = None
    _sent: list[str | None] = field(default_factory=list)  # None: left out
    _client_has: int = 0
    _free: asyncio.Lock = field(default_factory=asyncio.Lock)
    got: asyncio.Event = field(default_factory=asyncio.Event)
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    hearing: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        self.hearing.set()
        begin = BeginMessage(
            "s",
            "fake",
            "0",
            "0",
            50.0,
            {"latent": 1, "latent_speaker": 1},
            StreamSettings(),
            TOKEN,
            self.resume_s,
            saves=self.saves,
        )
        self._sent = [message_to_json(begin)]
        async with serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._admit,
            ping_interval=None,
            close_timeout=1,
        ) as listener:
            yield f"ws://127.0.0.1:{next(iter(listener.sockets)).getsockname()[1]}"
            self.hearing.set()

    def drop(self) -> None:
        """Break the connection."""
        assert self.connection is not None
        self.connection.transport.abort()

    async def close(self, code: int, reason: str = "") -> None:
        """Close the connection in due form."""
        assert self.connection is not None
        await self.connection.close(code, reason)

    async def has_received(self, count: int) -> None:
        """Wait until so many messages of the client are here."""
        while len(self.received) < count:
            self.got.clear()
            await self.got.wait()

    def say(self, event: TurnEvent) -> None:
        """Queue a message for the next connection."""
        self._sent.append(message_to_json(event))

    def leave_out(self, messages: int) -> None:
        """Count messages that the client never gets."""
        self._sent += [None] * messages

    async def save(self, received: int | None = None) -> None:
        """Tell the client that the present state, or another one, is saved."""
        assert self.connection is not None
        saved = len(self.received) if received is None else received
        await self.connection.send(message_to_json(SavedMessage(saved)))

    def die(self, saved: int) -> None:
        """Break the connection, and continue from a state with so many messages of the client."""
        del self.received[saved:], self._sent[1 + saved :]
        self.drop()

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if "resume=" not in request.path:
            return None
        self.attempts += 1
        self.tried.set()
        return None if self.refusal is None else connection.respond(self.refusal, "no more\n")

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        if "resume" in query and self.connection is not None:
            assert (query["resume"], set(query)) == ([TOKEN], {"resume", "received"})
            self.connection.transport.abort()  # the new connection takes the session over
        async with self._free:  # wait until the former connection is read to its end
            self.connection = connection
            try:
                sent = 0
                if "resume" in query:
                    sent = self._client_has = int(query["received"][0])
                    self.resumes += 1
                    await connection.send(message_to_json(ResumedMessage("s", len(self.received))))
                missed = 0
                for message in self._sent[sent:]:
                    if message is None:
                        missed += 1
                        continue
                    if missed:
                        notice = WarningMessage("thinned", "warning", "left out", missed)
                        await connection.send(message_to_json(notice))
                    missed = 0
                    await connection.send(message)
                while True:
                    await self.hearing.wait()
                    await self._take(connection, await connection.recv())
            except ConnectionClosed:
                with contextlib.suppress(ConnectionClosed):
                    while True:  # read what had arrived, which may have been acknowledged
                        await self._take(connection, await connection.recv())

    async def _take(self, connection: ServerConnection, wire: str | bytes) -> None:
        self.received.append(wire)
        self.got.set()
        said_close = wire == '{"type":"close"}'
        reply = (
            TerminationMessage(len(self.received), 1.0, "close")
            if said_close
            else answer(len(self.received))
        )
        wire = message_to_json(reply)
        self._sent.append(wire)
        if len(self._sent) <= self._client_has:
            return
        with contextlib.suppress(ConnectionClosed):
            await connection.send(wire)
            if said_close:
                await connection.close()


@contextlib.asynccontextmanager
async def breaking_line(
    url: str, budgets: Iterator[tuple[int, int]], *, silently: bool = False
) -> AsyncIterator[str]:
    """A line to a server that cuts each connection after a number of bytes up or down.

    The cut can come in the middle of a message. Without a budget left, connections stay whole. A
    cut is silent: the line carries nothing more, and neither side is told.
    """
    port = int(url.rpartition(":")[2])
    pumps: set[asyncio.Task[None]] = set()

    async def pump(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        budget: float,
        ends: list[asyncio.StreamWriter],
    ) -> None:
        with contextlib.suppress(OSError):
            while budget > 0 and (piece := await reader.read(4096)):
                writer.write(piece[: int(min(budget, len(piece)))])
                budget -= len(piece)
                await writer.drain()
        if silently and budget <= 0:
            await asyncio.Event().wait()
        for end in ends:
            end.close() if budget > 0 else end.transport.abort()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = next(budgets, (float("inf"), float("inf")))
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        ends = [writer, far_writer]
        for task in (
            asyncio.create_task(pump(reader, far_writer, up, ends)),
            asyncio.create_task(pump(far_reader, writer, down, ends)),
        ):
            pumps.add(task)

    async with await asyncio.start_server(carry, "127.0.0.1", 0) as listener:
        yield f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        for task in pumps:
            task.cancel()
        if pumps:
            await asyncio.wait(pumps)
