"""Callbacks: functions that a client calls with each message that it receives."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection

from turnstream.stream.clients.asynchronous import AsyncClient
from turnstream.stream.engine import Engine
from turnstream.stream.errors import ConfigError, ServerError
from turnstream.stream.prediction import EVENT_TYPES, TurnEvent
from turnstream.stream.protocol import (
    ErrorMessage,
    ServerMessage,
    TerminationMessage,
    message_to_json,
)
from turnstream.stream.service.server import Server
from turnstream.stream.settings import StreamSettings

from ..serving import PATIENCE_S, dialogue, offline
from .fake_server import echo, fake_server, frames_of


async def test_callbacks_have_what_iteration_gives(server: Server, engine: Engine) -> None:
    samples = dialogue(6, seed=1)
    frames, events = offline(engine, samples)
    heard: list[ServerMessage] = []
    every: list[ServerMessage] = []
    client = AsyncClient(server.url, token="secret")
    for kind in ("frame", *EVENT_TYPES, "termination"):
        client.on(kind, heard.append)

    @client.on("message")
    async def later(message: ServerMessage) -> None:
        await asyncio.sleep(0)
        every.append(message)

    async with client:
        await client.push_audio(samples)
    assert frames_of(heard) == frames
    assert [message for message in heard if isinstance(message, TurnEvent)] == events
    assert heard == every
    assert heard[-1] == TerminationMessage(300, 6.0, "close")


async def test_a_callback_may_use_the_client() -> None:
    async with fake_server(echo) as url:
        client = AsyncClient(url, StreamSettings(channels=1))
        answered = asyncio.Event()

        @client.on("end_of_turn")
        async def once_more(event: TurnEvent) -> None:
            if event.time_s == 1:
                await client.push_audio(np.zeros(10, np.int16))
            else:
                answered.set()

        async with client, asyncio.timeout(PATIENCE_S):
            await client.push_audio(np.zeros(10, np.int16))
            await answered.wait()


async def test_an_error_in_a_callback_is_raised_by_the_next_call_and_by_leaving() -> None:
    failed = asyncio.Event()

    def broken(event: TurnEvent) -> None:
        failed.set()
        raise ZeroDivisionError("mine")

    async def converse(client: AsyncClient) -> None:
        async with client:
            await client.push_audio(np.zeros(10, np.int16))
            await failed.wait()
            with pytest.raises(ZeroDivisionError, match="mine"):
                await client.flush()

    async with fake_server(echo) as url, asyncio.timeout(PATIENCE_S):
        client = AsyncClient(url, StreamSettings(channels=1))
        client.on("end_of_turn", broken)
        with pytest.raises(ZeroDivisionError, match="mine"):
            await converse(client)


async def test_an_error_of_the_server_reaches_who_only_has_callbacks() -> None:
    async def fail(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(message_to_json(ErrorMessage("bad_audio", "expected more")))
        await connection.close(1007, "bad_audio: expected more")

    async def converse(client: AsyncClient) -> None:
        async with client:
            await client.push_audio(np.zeros(10, np.int16))

    async with fake_server(fail) as url, asyncio.timeout(PATIENCE_S):
        client = AsyncClient(url, StreamSettings(channels=1))
        client.on("end_of_turn", print)
        with pytest.raises(ServerError, match="expected more") as failure:
            await converse(client)
    assert failure.value.code == "bad_audio"


async def test_a_callback_that_does_not_return_is_given_up() -> None:
    async def stuck(event: TurnEvent) -> None:
        await asyncio.Event().wait()

    async def converse(client: AsyncClient) -> None:
        async with client:
            await client.push_audio(np.zeros(10, np.int16))

    async with fake_server(echo) as url, asyncio.timeout(PATIENCE_S):
        client = AsyncClient(url, StreamSettings(channels=1), timeout_s=0.2)
        client.on("end_of_turn", stuck)
        with pytest.raises(
            ServerError, match=r"expected termination and every callback to return; waited 0\.2 s"
        ):
            await converse(client)


async def test_callbacks_and_iteration_do_not_mix() -> None:
    async with fake_server(echo) as url, AsyncClient(url) as client:
        client.on("end_of_turn", print)
        with pytest.raises(ServerError, match="expected either iteration or callbacks") as both:
            await client.receive()
    assert both.value.code == "not_iterable"


def test_only_what_exists_can_be_registered_for() -> None:
    client = AsyncClient("ws://127.0.0.1")
    with pytest.raises(ConfigError, match=r"expected one of start_of_turn, .*, message, got 'end'"):
        client.on("end", print)
    with pytest.raises(ConfigError, match="expected a function to call on frame, got 3"):
        client.on("frame", 3)  # pyright: ignore[reportArgumentType, reportCallIssue]
    for kind, speaker in (("frame", 0), ("end_of_turn", 2)):
        with pytest.raises(
            ConfigError,
            match=(
                f"expected speaker 0 or 1 with one of start_of_turn, .*; got {speaker} with "
                f"'{kind}'"
            ),
        ):
            client.on(kind, print, speaker=speaker)


async def test_callbacks_may_be_for_one_speaker(server: Server, engine: Engine) -> None:
    samples = dialogue(6, seed=4)
    heard: list[TurnEvent] = []
    async with AsyncClient(server.url, token="secret") as client:
        client.on("end_of_turn", heard.append, speaker=1)
        await client.push_audio(samples)
    expected = [event for event in offline(engine, samples)[1] if event.type == "end_of_turn"]
    assert {event.speaker for event in expected} == {0, 1}
    assert heard == [event for event in expected if event.speaker == 1]
