"""The client for asyncio: against our server, and against servers that refuse, stop, or say nothing."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from turnstream.models.errors import ConfigError
from turnstream.stream.clients.client import AsyncClient, encode_pcm
from turnstream.stream.engine import Engine
from turnstream.stream.errors import AudioFormatError, ProtocolError, ServerError
from turnstream.stream.prediction import EVENT_TYPES, TurnEvent
from turnstream.stream.protocol import (
    BeginMessage,
    ErrorMessage,
    FrameMessage,
    LatentMessage,
    ResumedMessage,
    ServerMessage,
    TerminationMessage,
    message_to_json,
)
from turnstream.stream.service.server import Server
from turnstream.stream.settings import StreamSettings
from turnstream.stream.sources import Block, FileSource, decode_pcm

from ..resuming_server import breaking_line
from ..serving import PATIENCE_S, dialogue, offline, quick_limits

BEGIN = BeginMessage("s", "fake", "0", "0", 50.0, {"latent": 1, "latent_speaker": 1}, StreamSettings())


@pytest.fixture
async def server(engine: Engine) -> AsyncIterator[Server]:
    async with Server(engine, port=0, limits=quick_limits(), tokens=["secret"]) as running:
        yield running


@contextlib.asynccontextmanager
async def fake_server(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that says `begin`, then does what the test wants."""

    async def begin_first(connection: ServerConnection) -> None:
        await connection.send(message_to_json(BEGIN))
        await handler(connection)

    async with serve(begin_first, "127.0.0.1", 0) as listener:
        yield f"ws://127.0.0.1:{next(iter(listener.sockets)).getsockname()[1]}"


async def echo(connection: ServerConnection) -> None:
    """Answer every piece of audio with an event, numbered from 1, and `close` with the end."""
    number = 0
    async for wire in connection:
        if isinstance(wire, bytes):
            number += 1
            await connection.send(message_to_json(TurnEvent("end_of_turn", 0, float(number), 0.5)))
        elif wire == '{"type":"close"}':
            await connection.send(message_to_json(TerminationMessage(number, 1.0, "close")))
            return


async def send(client: AsyncClient, samples: NDArray[np.int16]) -> None:
    for start in range(0, len(samples), 960):
        await client.push_audio(samples[start : start + 960])
    await client.close()


def frames_of(messages: list[ServerMessage]) -> list[FrameMessage]:
    return [message for message in messages if isinstance(message, FrameMessage)]


# ---- one conversation -----------------------------------------------------------------------------------------


async def test_an_async_client_gets_what_the_offline_prediction_gives(server: Server, engine: Engine) -> None:
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
        assert client.begin.settings == StreamSettings()


async def test_a_query_in_the_url_is_kept(server: Server) -> None:
    for path in ("", "/", "/v1/stream", "/v1/stream/"):
        async with AsyncClient(f"ws://127.0.0.1:{server.port}{path}?token=secret", StreamSettings(channels=1)) as client:
            assert client.begin.settings == StreamSettings(channels=1)


async def test_settings_and_controls_reach_the_server(server: Server, engine: Engine) -> None:
    mono = dialogue(1.01, seed=2)[:, 0]
    async with AsyncClient(server.url, StreamSettings(channels=1, latents="final"), token="secret") as client:
        await client.push_audio(mono)
        await client.flush()
        await client.reset()
        await client.keep_alive()
        await client.configure(frames=10, latents="none", policy="fast")
        await client.push_audio(mono)
        await client.close()
        messages = [message async for message in client]
    once = offline(engine, mono[:, None])[0]
    assert frames_of(messages) == [*once, *once[::10]]
    assert len([message for message in messages if isinstance(message, LatentMessage)]) == len(once)


async def test_leaving_the_context_ends_the_session_well(server: Server) -> None:
    async with AsyncClient(server.url, token="secret") as client:
        await client.push_audio(dialogue(0.5, seed=3))
    assert client.finished


async def test_a_bad_setting_is_refused_before_anything_is_sent(server: Server) -> None:
    async with AsyncClient(server.url, token="secret") as client:
        with pytest.raises(ProtocolError, match="policy: expected one of fast, balanced, patient; got 'bold'"):
            await client.configure(policy="bold")
        with pytest.raises(AudioFormatError, match="expected int16, float32 or float64 samples"):
            await client.push_audio(np.zeros((10, 3), np.float32))
        await client.push_audio(np.zeros(320, np.float32))
        await client.close()
        assert len(frames_of([message async for message in client])) == 1


# ---- refusal and loss -----------------------------------------------------------------------------------------


async def test_a_refusal_carries_the_servers_words(server: Server) -> None:
    with pytest.raises(ServerError, match="HTTP 401: expected a valid token") as refused:
        await AsyncClient(server.url, token="wrong").__aenter__()
    assert refused.value.code == "http_401"
    with pytest.raises(ServerError, match="HTTP 404: no such path") as refused:
        await AsyncClient(f"ws://127.0.0.1:{server.port}/v2").__aenter__()
    assert refused.value.code == "http_404"


async def test_a_full_server_is_told_apart(engine: Engine) -> None:
    async with Server(engine, port=0, limits=quick_limits(max_sessions=1)) as server, AsyncClient(server.url):
        with pytest.raises(ServerError, match="HTTP 503: at capacity: 1 sessions") as refused:
            await AsyncClient(server.url).__aenter__()
    assert refused.value.code == "http_503"


async def test_no_server_is_one_clear_error(unused_tcp_port: int) -> None:
    with pytest.raises(ServerError, match=f"expected a turnstream server at ws://127.0.0.1:{unused_tcp_port}") as refused:
        await AsyncClient(f"ws://127.0.0.1:{unused_tcp_port}").__aenter__()
    assert refused.value.code == "unreachable"


@pytest.mark.parametrize("url", ["http://127.0.0.1", "nonsense", "", "ws://[", "ws://127.0.0.1:port", "ws://127.0.0.1#part"])
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
            await AsyncClient(f"ws://127.0.0.1:{next(iter(listener.sockets)).getsockname()[1]}").__aenter__()
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
        with pytest.raises(ServerError, match=r"expected the next message or termination; waited 0\.2 s") as stalled:
            async with AsyncClient(url, timeout_s=0.2):
                pass
    assert stalled.value.code == "timeout"


async def read(client: AsyncClient, messages: list[ServerMessage]) -> None:
    async for message in client:
        messages.append(message)
        await asyncio.sleep(0)  # it has something else to do, too


async def test_leaving_the_context_leaves_the_messages_to_whoever_reads_them(server: Server, engine: Engine) -> None:
    samples = dialogue(5, seed=4)
    messages: list[ServerMessage] = []
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks, AsyncClient(server.url, token="secret") as client:
        tasks.create_task(read(client, messages))
        await client.push_audio(samples)
    assert frames_of(messages) == offline(engine, samples)[0]
    assert messages[-1] == TerminationMessage(250, 5.0, "close")


async def test_several_readers_share_the_messages_and_all_come_to_the_end(server: Server, engine: Engine) -> None:
    samples = dialogue(2, seed=4)
    messages: list[ServerMessage] = []
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks, AsyncClient(server.url, token="secret") as client:
        for _ in range(3):
            tasks.create_task(read(client, messages))
        await client.push_audio(samples)
    frames = frames_of(messages)
    assert sorted(frames, key=lambda frame: frame.frame) == offline(engine, samples)[0]


async def test_whoever_waits_for_messages_is_let_go_when_the_context_ends_with_an_error(server: Server) -> None:
    async def converse() -> None:
        async with AsyncClient(server.url, token="secret") as client:
            waiting.append(asyncio.create_task(read(client, [])))
            await asyncio.sleep(0)
            raise KeyError("mine")

    waiting: list[asyncio.Task[None]] = []
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(KeyError):
            await converse()
        with pytest.raises(ServerError, match="expected a session that goes on, got one whose client was left") as ended:
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
                except TimeoutError:  # the line is full
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
    assert not any(message.missed for message in resumed)
    assert frames_of(messages) == frames
    assert [message for message in messages if isinstance(message, TurnEvent)] == events


# ---- callbacks ------------------------------------------------------------------------------------------------


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
        with pytest.raises(ServerError, match=r"expected termination and every callback to return; waited 0\.2 s"):
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
        with pytest.raises(ConfigError, match=f"expected speaker 0 or 1 with one of start_of_turn, .*; got {speaker} with '{kind}'"):
            client.on(kind, print, speaker=speaker)


async def test_callbacks_may_be_for_one_speaker(server: Server, engine: Engine) -> None:
    samples = dialogue(6, seed=1)
    heard: list[TurnEvent] = []
    async with AsyncClient(server.url, token="secret") as client:
        client.on("end_of_turn", heard.append, speaker=1)
        await client.push_audio(samples)
    expected = [event for event in offline(engine, samples)[1] if event.type == "end_of_turn"]
    assert {event.speaker for event in expected} == {0, 1}
    assert heard == [event for event in expected if event.speaker == 1]


# ---- sources and the agent's voice ----------------------------------------------------------------------------


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
        async with Server(engine, port=0, limits=quick_limits()) as server, AsyncClient(server.url) as client:
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
        with pytest.raises(AudioFormatError, match="expected a source of 16000 Hz and at most 1 channels, as the settings say; got 16000 Hz and 2"):
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


async def test_a_mono_source_in_a_stream_of_two_leaves_the_agent_its_channel(server: Server, engine: Engine, tmp_path: Path) -> None:
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
        with pytest.raises(AudioFormatError, match="expected a stream of 2 channels, user and agent, got 1"):
            await client.push_user(np.zeros(320, np.int16))


# ---- audio on the wire ----------------------------------------------------------------------------------------


@given(st.lists(st.integers(-32768, 32767), max_size=50))
def test_int16_survives_the_wire_exactly(samples: list[int]) -> None:
    block = (np.array(samples, np.float32) / 32768).reshape(-1, 1)
    for encoding in ("pcm_s16le", "pcm_f32le"):
        np.testing.assert_array_equal(decode_pcm(encode_pcm(block, encoding), encoding, 1), block)


def test_mulaw_survives_the_wire_within_its_steps() -> None:
    every = (np.arange(-32768, 32768) / 32768).astype(np.float32).reshape(-1, 1)
    encoded = encode_pcm(every, "mulaw")
    decoded = decode_pcm(encoded, "mulaw", 1)
    inside = np.abs(every) < 0.98
    assert np.all(np.abs(decoded - every)[inside] <= np.abs(every)[inside] / 32 + 5 / 32768)
    assert np.all(np.diff(decoded[:, 0]) >= 0)
    assert encode_pcm(decoded, "mulaw") == encode_pcm(decode_pcm(encode_pcm(decoded, "mulaw"), "mulaw", 1), "mulaw")


def test_full_scale_is_clipped_not_wrapped() -> None:
    assert encode_pcm(np.array([[1.0], [-1.0]], np.float32), "pcm_s16le") == bytes.fromhex("ff7f0080")
