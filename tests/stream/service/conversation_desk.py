"""A conversation without sockets: a fake connection, and a batcher whose clock the test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from turnstream.stream.engine import Engine
from turnstream.stream.pause_model import PauseModel
from turnstream.stream.policy_settings import Policies
from turnstream.stream.service.batcher import Batcher
from turnstream.stream.service.conversation import Conversation, Shared
from turnstream.stream.service.limits import Limits
from turnstream.stream.service.metrics import Metrics
from turnstream.stream.service.packed_conversation import PackedConversation
from turnstream.stream.settings import StreamSettings


class Clock:
    """Moves only when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class FakeConnection:
    """Takes what is sent while `writable`, and can answer pings."""

    remote = "test"

    def __init__(self, *, answers: bool = True) -> None:
        self.writable = True
        self.reading = True
        self.wires: list[str | bytes] = []
        self.closed: tuple[int, str] | None = None
        self.aborted = self.hung_up = False
        self.unfinished_since_s: float | None = None
        self.pings: list[bytes] = []
        self.answers = answers
        self.conversation: Conversation

    @property
    def messages(self) -> list[Any]:
        return [json.loads(wire) for wire in self.wires if isinstance(wire, str)]

    @property
    def counted(self) -> int:
        """How many messages a client counts, as PROTOCOL.md says."""
        return sum(
            message.get("missed", 0) if message["type"] == "warning" else 1
            for message in self.messages
            if message["type"] not in {"resumed", "saved"}
        )

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def send(self, wires: Iterable[str | bytes]) -> None:
        self.wires += wires

    def ping(self, payload: bytes) -> None:
        self.pings.append(payload)
        if self.answers:
            asyncio.get_running_loop().call_soon(self.conversation.on_pong, payload)

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)

    def hang_up(self, code: int, reason: str) -> None:
        self.hung_up = True
        self.close(code, reason)

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Desk(Metrics):
    """A batcher with the test's clock, and the counts of its conversations."""

    def __init__(
        self, engine: Engine, *, pause_model: PauseModel | None = None, **bounds: Any
    ) -> None:
        super().__init__()
        self.engine = engine
        self.clock = Clock()
        self.batcher = Batcher(engine, clock=self.clock, pause_model=pause_model)
        self.limits = Limits(**bounds)
        self.shared = Shared(self.batcher, self.limits, self, Policies(), self.on_end)
        self.ended: list[str] = []
        self.parked = 0
        self.errors: list[str] = []

    def on_end(self, conversation: Conversation) -> None:
        self.ended.append(conversation.reason)

    def session_parked(self) -> None:
        self.parked += 1

    def session_unparked(self) -> None:
        self.parked -= 1

    def error(self, code: str) -> None:
        self.errors.append(code)

    def open(
        self,
        settings: StreamSettings | None = None,
        *,
        token: str | None = "token",
        saves: bool = False,
        answers: bool = True,
    ) -> tuple[Conversation, FakeConnection]:
        settings = (settings or StreamSettings()).resolved(Policies())
        conversation = Conversation(
            settings,
            self.shared.new_session(settings, self.batcher.pause_model),
            self.shared,
            token=token,
            saves=saves,
        )
        return conversation, attach(conversation, answers=answers)

    def unpack(self, packed: bytes, received: int) -> Conversation:
        """Return a conversation that another process has packed, for a client that comes back."""
        parts = PackedConversation.from_bytes(packed)
        return Conversation.unpack(parts, self.shared, token="token", received=received)

    async def live(
        self, conversation: Conversation, samples: np.ndarray[Any, Any], chunk: int = 320
    ) -> None:
        """Send in real time."""
        for start in range(0, len(samples), chunk):
            part = samples[start : start + chunk]
            self.clock.now_s += len(part) / 16000
            conversation.on_message(part.tobytes())
            await settle()


def attach(conversation: Conversation, *, answers: bool = True) -> FakeConnection:
    connection = FakeConnection(answers=answers)
    connection.conversation = conversation
    conversation.attach(connection)  # type: ignore[arg-type]
    return connection


def resume(conversation: Conversation, received: int) -> FakeConnection:
    connection = FakeConnection()
    connection.conversation = conversation
    conversation.resume(connection, received)  # type: ignore[arg-type]
    return connection


async def settle() -> None:
    """Let all tasks run until nothing is left to do."""
    for _ in range(60):
        await asyncio.sleep(0)


CLOSE = '{"type":"close"}'
