"""The clients: against our server, and against servers that refuse, stop, or say nothing."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve

from turnstream.stream.blocking_client import Client
from turnstream.stream.client import AsyncClient, encode_pcm
from turnstream.stream.engine import Engine
from turnstream.stream.errors import AudioFormatError, ProtocolError, ServerError
from turnstream.stream.prediction import TurnEvent
from turnstream.stream.protocol import BeginMessage, ErrorMessage, FrameMessage, LatentMessage, ServerMessage, TerminationMessage, message_to_json
from turnstream.stream.server import Server
from turnstream.stream.settings import StreamSettings
from turnstream.stream.sources import decode_pcm

from .serving import PATIENCE_S, dialogue, offline, quick_limits

BEGIN = BeginMessage("s", "fake", "0", "0", 50.0, {"latent": 1, "latent_speaker": 1}, StreamSettings())


@pytest.fixture
async def server(engine: Engine) -> AsyncIterator[Server]:
    async with Server(engine, port=0, limits=quick_limits(), tokens=["secret"]) as running:
        yield running


@pytest.fixture(scope="module")
def server_in_thread(engine: Engine) -> Iterator[str]:
    """The URL of a server on its own loop, for the client that blocks."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = Server(engine, port=0, limits=quick_limits())
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(PATIENCE_S)
    yield server.url
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(PATIENCE_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@contextlib.asynccontextmanager
async def fake_server(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that says `begin`, then does what the test wants."""

    async def begin_first(connection: ServerConnection) -> None:
        await connection.send(message_to_json(BEGIN))
        await handler(connection)

    async with serve(begin_first, "127.0.0.1", 0) as listener:
        yield f"ws://127.0.0.1:{next(iter(listener.sockets)).getsockname()[1]}"


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


async def test_an_error_inside_the_context_is_not_hidden(server: Server) -> None:
    with pytest.raises(KeyError):
        async with AsyncClient(server.url, token="secret"):
            raise KeyError("mine")


# ---- the client that blocks -----------------------------------------------------------------------------------


def test_a_blocking_client_iterates(server_in_thread: str, engine: Engine) -> None:
    samples = dialogue(2, seed=4)
    with Client(server_in_thread) as client:
        assert client.begin.model_name == "tiny"
        client.push_audio(samples)
        client.close()
        messages = list(client)
    assert frames_of(messages) == offline(engine, samples)[0]


def test_a_blocking_client_calls_back(server_in_thread: str, engine: Engine) -> None:
    samples = dialogue(2, seed=5)
    messages: list[ServerMessage] = []
    with Client(server_in_thread, StreamSettings(frames=5), on_message=messages.append) as client:
        for start in range(0, len(samples), 1000):
            client.push_audio(samples[start : start + 1000])
        client.flush()
        client.keep_alive()
        client.configure(frames=1)
        client.reset()
    assert frames_of(messages) == offline(engine, samples)[0][::5]
    assert isinstance(messages[-1], TerminationMessage)


def test_an_error_in_a_callback_reaches_the_caller(server_in_thread: str) -> None:
    def broken(message: ServerMessage) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"), Client(server_in_thread, on_message=broken) as client:
        client.push_audio(dialogue(0.5, seed=6))


def test_a_blocking_client_raises_what_the_server_says(server_in_thread: str) -> None:
    with pytest.raises(ServerError, match="HTTP 404"):
        Client(f"{server_in_thread}/more").__enter__()
    with pytest.raises(ServerError, match="use it as a context manager"):
        Client(server_in_thread).push_audio(np.zeros(320, np.float32))


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
