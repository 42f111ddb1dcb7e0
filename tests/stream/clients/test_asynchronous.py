"""The client for asyncio, against our server and servers that refuse, stop or are silent."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from turnstream.stream.clients.asynchronous import AsyncClient
from turnstream.stream.engine import Engine
from turnstream.stream.errors import AudioFormatError, ProtocolError, ServerError
from turnstream.stream.latent_message import LatentMessage
from turnstream.stream.policy_settings import PRESETS, Policies
from turnstream.stream.prediction import TurnEvent
from turnstream.stream.protocol import (
    ConfiguredMessage,
    ErrorMessage,
    ResumedMessage,
    ServerMessage,
    TerminationMessage,
    message_to_json,
)
from turnstream.stream.service.server import Server
from turnstream.stream.settings import StreamSettings

from ..resuming_server import breaking_line
from ..serving import PATIENCE_S, dialogue, offline, quick_limits
from .fake_server import fake_server, frames_of, send

# ---- one conversation ----


async def test_an_async_client_gets_what_the_offline_prediction_gives(
    server: Server, engine: Engine
) -> None:
    samples = dialogue(6, seed=1)
    frames, events = offline(engine, samples)
    async with AsyncClient(server.url, token="secret") as client:
        assert client.begin.model_name == "tiny"
        await client.push_audio(samples)
        await client.close()
        messages = [message async for message in client]
    assert frames_of(messages) == frames
    assert [message for message in messages if isinstance(message, TurnEvent)] == events
    assert messages[-1] == TerminationMessage(300, 6.0, "close")


async def test_the_path_may_be_left_out_of_the_url(server: Server) -> None:
    async with AsyncClient(f"ws://127.0.0.1:{server.port}/", token="secret") as client:
        assert client.begin.settings == StreamSettings().resolved(Policies())


async def test_a_query_in_the_url_is_kept(server: Server) -> None:
    for path in ("", "/", "/v1/stream", "/v1/stream/"):
        async with AsyncClient(
            f"ws://127.0.0.1:{server.port}{path}?token=secret", StreamSettings(channels=1)
        ) as client:
            assert client.begin.settings == StreamSettings(channels=1).resolved(Policies())


async def test_settings_and_controls_reach_the_server(server: Server, engine: Engine) -> None:
    mono = dialogue(1.01, seed=2)[:, 0]
    async with AsyncClient(
        server.url, StreamSettings(channels=1, latents="final"), token="secret"
    ) as client:
        await client.push_audio(mono)
        await client.flush()
        await client.reset()
        await client.keep_alive()
        await client.configure(frames=10, latents="none", policy="fast", end_threshold=0.9)
        await client.push_audio(mono)
        await client.close()
        messages = [message async for message in client]
    once = offline(engine, mono[:, None])[0]
    assert frames_of(messages) == [*once, *once[::10]]
    (held,) = [message.settings for message in messages if isinstance(message, ConfiguredMessage)]
    assert held.policy_settings == replace(PRESETS["fast"], end_threshold=0.9)
    assert len([message for message in messages if isinstance(message, LatentMessage)]) == len(once)


async def test_a_turn_ends_when_the_client_says_so(server: Server, engine: Engine) -> None:
    samples = dialogue(2, seed=1)
    start = next(event for event in offline(engine, samples)[1] if event.type == "start_of_turn")
    heard = samples[: round(start.time_s * 16000)]
    async with AsyncClient(server.url, StreamSettings(frames=0), token="secret") as client:
        await client.push_audio(heard)
        await client.end_turn(start.speaker)
        await client.close()
        events = [message async for message in client if isinstance(message, TurnEvent)]
    assert events[0] == start
    assert (events[1].type, events[1].speaker) == ("end_of_turn", start.speaker)
    assert (events[1].trigger, events[1].time_s) == ("forced", start.time_s)


async def test_leaving_the_context_ends_the_session_well(server: Server) -> None:
    async with AsyncClient(server.url, token="secret") as client:
        await client.push_audio(dialogue(0.5, seed=3))
    assert client.finished


async def test_a_bad_setting_is_refused_before_anything_is_sent(server: Server) -> None:
    async with AsyncClient(server.url, token="secret") as client:
        with pytest.raises(
            ProtocolError, match="policy: expected one of fast, balanced, patient; got 'bold'"
        ):
            await client.configure(policy="bold")
        with pytest.raises(ProtocolError, match="end_threshold: expected a number from 0 to 1"):
            await client.configure(end_threshold=2)
        with pytest.raises(ProtocolError, match="speaker: expected 0 or 1, got 2"):
            await client.end_turn(2)
        with pytest.raises(AudioFormatError, match="expected int16, float32 or float64 samples"):
            await client.push_audio(np.zeros((10, 3), np.float32))
        await client.push_audio(np.zeros(320, np.float32))
        await client.close()
        assert len(frames_of([message async for message in client])) == 1


# ---- refusal and loss ----


async def test_a_refusal_carries_the_servers_words(server: Server) -> None:
    with pytest.raises(ServerError, match="HTTP 401: expected a valid token") as refused:
        await AsyncClient(server.url, token="wrong").__aenter__()
    assert refused.value.code == "http_401"
    with pytest.raises(ServerError, match="HTTP 404: no such path") as refused:
        await AsyncClient(f"ws://127.0.0.1:{server.port}/v2").__aenter__()
    assert refused.value.code == "http_404"


async def test_a_full_server_is_told_apart(engine: Engine) -> None:
    async with (
        Server(engine, port=0, limits=quick_limits(max_sessions=1)) as server,
        AsyncClient(server.url),
    ):
        with pytest.raises(ServerError, match="HTTP 503: at capacity: 1 sessions") as refused:
            await AsyncClient(server.url).__aenter__()
    assert refused.value.code == "http_503"


async def test_no_server_is_one_clear_error(unused_tcp_port: int) -> None:
    with pytest.raises(
        ServerError, match=f"expected a turnstream server at ws://127.0.0.1:{unused_tcp_port}"
    ) as refused:
        await AsyncClient(f"ws://127.0.0.1:{unused_tcp_port}").__aenter__()
    assert refused.value.code == "unreachable"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1", "nonsense", "", "ws://[", "ws://127.0.0.1:port", "ws://127.0.0.1#part"],
)
async def test_a_url_that_is_none_is_one_clear_error(url: str) -> None:
    client = AsyncClient(url)
    with pytest.raises(ServerError, match="expected a turnstream server at") as refused:
        await client.__aenter__()
    assert refused.value.code == "unreachable"


async def test_a_server_that_says_nothing_is_given_up() -> None:
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(ServerError, match=r"within 0\.2 s, got none") as refused:
            await AsyncClient(f"ws://127.0.0.1:{port}", timeout_s=0.2).__aenter__()
        await left.wait()
    assert refused.value.code == "timeout"


async def test_a_server_that_speaks_something_else_is_given_up() -> None:
    async def babble(connection: ServerConnection) -> None:
        await connection.send("welcome")
        await connection.wait_closed()

    async with serve(babble, "127.0.0.1", 0) as listener:
        with pytest.raises(ServerError, match="expected a JSON object, got 'welcome'") as refused:
            await AsyncClient(
                f"ws://127.0.0.1:{next(iter(listener.sockets)).getsockname()[1]}"
            ).__aenter__()
    assert refused.value.code == "unreachable"


async def test_an_error_message_of_the_server_is_raised() -> None:
    async def fail(connection: ServerConnection) -> None:
        await connection.send(message_to_json(ErrorMessage("bad_audio", "expected more")))
        await connection.close(1007, "bad_audio: expected more")

    async with fake_server(fail) as url, AsyncClient(url) as client:
        with pytest.raises(ServerError, match="expected more") as failure:
            await client.receive()
        with pytest.raises(ServerError, match="expected more") as late:
            await client.push_audio(np.zeros(320, np.float32))
    assert failure.value.code == late.value.code == "bad_audio"


async def test_a_lost_connection_is_one_clear_error() -> None:
    async def vanish(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with fake_server(vanish) as url, AsyncClient(url) as client:
        with pytest.raises(ServerError, match="was lost before the session ended") as loss:
            await client.receive()
    assert loss.value.code == "connection_lost"


async def test_a_server_that_never_ends_the_session_is_given_up() -> None:
    async def stall(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with fake_server(stall) as url:
        with pytest.raises(
            ServerError, match=r"expected the next message or termination; waited 0\.2 s"
        ) as stalled:
            async with AsyncClient(url, timeout_s=0.2):
                pass
    assert stalled.value.code == "timeout"


async def read(client: AsyncClient, messages: list[ServerMessage]) -> None:
    async for message in client:
        messages.append(message)
        await asyncio.sleep(0)  # lets other tasks run


async def test_leaving_the_context_leaves_the_messages_to_whoever_reads_them(
    server: Server, engine: Engine
) -> None:
    samples = dialogue(5, seed=4)
    messages: list[ServerMessage] = []
    async with (
        asyncio.timeout(PATIENCE_S),
        asyncio.TaskGroup() as tasks,
        AsyncClient(server.url, token="secret") as client,
    ):
        tasks.create_task(read(client, messages))
        await client.push_audio(samples)
    assert frames_of(messages) == offline(engine, samples)[0]
    assert messages[-1] == TerminationMessage(250, 5.0, "close")


async def test_several_readers_share_the_messages_and_all_come_to_the_end(
    server: Server, engine: Engine
) -> None:
    samples = dialogue(2, seed=4)
    messages: list[ServerMessage] = []
    async with (
        asyncio.timeout(PATIENCE_S),
        asyncio.TaskGroup() as tasks,
        AsyncClient(server.url, token="secret") as client,
    ):
        for _ in range(3):
            tasks.create_task(read(client, messages))
        await client.push_audio(samples)
    frames = frames_of(messages)
    assert sorted(frames, key=lambda frame: frame.frame) == offline(engine, samples)[0]


async def test_whoever_waits_for_messages_is_let_go_when_the_context_ends_with_an_error(
    server: Server,
) -> None:
    async def converse() -> None:
        async with AsyncClient(server.url, token="secret") as client:
            waiting.append(asyncio.create_task(read(client, [])))
            await asyncio.sleep(0)
            raise KeyError("mine")

    waiting: list[asyncio.Task[None]] = []
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(KeyError):
            await converse()
        with pytest.raises(
            ServerError, match="expected an open session, got one whose client was left"
        ) as ended:
            await waiting[0]
    assert ended.value.code == "session_ended"


async def test_leaving_by_an_error_says_so_to_a_server_that_cannot_stop_talking() -> None:
    flooded = asyncio.Event()
    codes: list[int | None] = []

    async def flood(connection: ServerConnection) -> None:
        event = message_to_json(TurnEvent("end_of_turn", 0, 1.0, 0.5))
        with contextlib.suppress(ConnectionClosed):
            while True:
                try:
                    async with asyncio.timeout(0.2):
                        await connection.send(event)
                except TimeoutError:  # the socket's buffers are full
                    flooded.set()
        codes.append(connection.close_code)

    async def converse(url: str) -> None:
        async with AsyncClient(url, timeout_s=2 * PATIENCE_S):
            await flooded.wait()
            raise KeyError("mine")

    async with asyncio.timeout(PATIENCE_S), fake_server(flood) as url:
        with pytest.raises(KeyError):
            await converse(url)
    assert codes == [1000]


async def test_leaving_at_once_by_an_error_ends_the_session(server: Server) -> None:
    client = AsyncClient(server.url, token="secret")
    with pytest.raises(KeyError, match="mine"):
        async with client:
            raise KeyError("mine")
    connection = client._link._connection
    assert connection is not None
    assert connection.state is State.CLOSED


async def test_an_error_inside_the_context_is_not_hidden(server: Server) -> None:
    with pytest.raises(KeyError):
        async with AsyncClient(server.url, token="secret"):
            raise KeyError("mine")


async def test_a_line_that_breaks_changes_no_prediction(engine: Engine) -> None:
    samples = dialogue(6, seed=1)
    frames, events = offline(engine, samples)
    cuts = [(60_000, 10**6), (10**6, 3_000), (50_000, 30_000), (100, 10**6)]
    async with (
        Server(engine, port=0, limits=quick_limits()) as server,
        breaking_line(f"ws://127.0.0.1:{server.port}", iter(cuts)) as line,
        AsyncClient(line) as client,
        asyncio.timeout(PATIENCE_S),
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(send(client, samples))
        messages = [message async for message in client]
    resumed = [message for message in messages if isinstance(message, ResumedMessage)]
    assert len(resumed) == 3
    assert frames_of(messages) == frames
    assert [message for message in messages if isinstance(message, TurnEvent)] == events
