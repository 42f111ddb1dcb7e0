"""The client without asyncio, against our server in a thread and against one that resumes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from turnstream.stream.clients.blocking import Client
from turnstream.stream.engine import Engine
from turnstream.stream.errors import AudioFormatError, ConfigError, ServerError
from turnstream.stream.prediction import FrameMessage, TurnEvent
from turnstream.stream.protocol import (
    ResumedMessage,
    ServerMessage,
    TerminationMessage,
    WarningMessage,
)
from turnstream.stream.service.server import Server
from turnstream.stream.settings import StreamSettings
from turnstream.stream.sources import FileSource

from ..resuming_server import ResumingServer, answer
from ..serving import PATIENCE_S, dialogue, offline, quick_limits

MONO = StreamSettings(sample_rate_hz=8000, channels=1)


@contextlib.contextmanager
def in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread beside the test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def url(engine: Engine) -> Iterator[str]:
    """The URL of a server with the tiny model."""
    with in_thread() as loop:
        server = Server(engine, port=0, limits=quick_limits())
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(PATIENCE_S)
        yield server.url
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(PATIENCE_S)


@pytest.fixture
def resuming() -> Iterator[tuple[ResumingServer, str, Callable[[], None]]]:
    """A server that answers everything: the server, its URL, and a function that cuts the link."""
    with in_thread() as loop:

        async def begin() -> tuple[
            ResumingServer, contextlib.AbstractAsyncContextManager[str], str
        ]:
            server = ResumingServer()
            listening = server.listening()
            return server, listening, await listening.__aenter__()

        async def end(listening: contextlib.AbstractAsyncContextManager[str]) -> None:
            await listening.__aexit__(None, None, None)

        server, listening, url = asyncio.run_coroutine_threadsafe(begin(), loop).result(PATIENCE_S)
        yield server, url, lambda: loop.call_soon_threadsafe(server.drop) and None
        asyncio.run_coroutine_threadsafe(end(listening), loop).result(PATIENCE_S)


def frames_of(messages: list[ServerMessage]) -> list[FrameMessage]:
    return [message for message in messages if isinstance(message, FrameMessage)]


def test_it_iterates(url: str, engine: Engine) -> None:
    samples = dialogue(2, seed=4)
    with Client(url) as client:
        assert client.begin.model_name == "tiny"
        client.push_audio(samples)
        client.close()
        messages = list(client)
    assert frames_of(messages) == offline(engine, samples)[0]


def test_it_calls_back(url: str, engine: Engine) -> None:
    samples = dialogue(2, seed=5)
    messages: list[ServerMessage] = []
    with Client(url, StreamSettings(frames=5)) as client:
        client.on("message", messages.append)
        for start in range(0, len(samples), 1000):
            client.push_audio(samples[start : start + 1000])
        client.flush()
        client.keep_alive()
        client.configure(frames=1)
        client.reset()
    assert frames_of(messages) == offline(engine, samples)[0][::5]
    assert isinstance(messages[-1], TerminationMessage)


def test_a_callback_may_use_the_client(
    resuming: tuple[ResumingServer, str, Callable[[], None]],
) -> None:
    _, url, _ = resuming
    answered = threading.Event()
    client = Client(url, MONO)

    @client.on("end_of_turn")
    def once_more(event: TurnEvent) -> None:
        if event == answer(1):
            client.push_audio(np.zeros(10, np.int16))
        else:
            answered.set()

    with client:
        client.push_audio(np.zeros(10, np.int16))
        assert answered.wait(PATIENCE_S)


def test_an_error_in_a_callback_reaches_the_caller(url: str) -> None:
    def broken(message: ServerMessage) -> None:
        raise ZeroDivisionError("mine")

    client = Client(url)
    client.on("frame", broken)
    with pytest.raises(ZeroDivisionError, match="mine"), client:
        client.push_audio(dialogue(0.5, seed=6))


def test_leaving_the_context_leaves_the_messages_to_the_thread_that_reads_them(
    url: str, engine: Engine
) -> None:
    samples = dialogue(3, seed=8)
    messages: list[ServerMessage] = []
    with Client(url) as client:
        reader = threading.Thread(target=lambda: messages.extend(client))
        reader.start()
        client.push_audio(samples)
    reader.join(PATIENCE_S)
    assert frames_of(messages) == offline(engine, samples)[0]
    assert isinstance(messages[-1], TerminationMessage)


@pytest.mark.parametrize("called_back", [False, True])
def test_whoever_sends_or_reads_is_let_go_when_the_context_ends_with_an_error(
    url: str, called_back: bool
) -> None:
    failures: list[BaseException] = []
    begun = threading.Semaphore(0)

    def until_it_fails(work: Callable[[], object]) -> None:
        begun.release()
        try:
            while True:
                work()
        except BaseException as failure:
            failures.append(failure)

    def converse() -> None:
        with Client(url) as client:
            works: list[Callable[[], object]] = [
                lambda: client.push_audio(np.zeros((320, 2), np.int16))
            ]
            if called_back:
                client.on("frame", lambda message: None)
            else:
                works.append(lambda: list(client))
            for work in works:
                threads.append(threading.Thread(target=until_it_fails, args=(work,), daemon=True))
                threads[-1].start()
                begun.acquire()
            raise KeyError("mine")

    threads: list[threading.Thread] = []
    with pytest.raises(KeyError):
        converse()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert len(failures) == len(threads)
    assert {failure.code for failure in failures if isinstance(failure, ServerError)} == {
        "session_ended"
    }


def test_what_cannot_be_called_is_refused() -> None:
    async def coroutine(message: ServerMessage) -> None: ...

    client = Client("ws://127.0.0.1")
    for callback in (coroutine, 3):
        with pytest.raises(ConfigError, match="expected a plain function to call on frame, got "):
            client.on("frame", callback)  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(ConfigError, match="got 'end'"):
        client.on("end", print)


def test_it_raises_what_the_server_says(url: str) -> None:
    with pytest.raises(ServerError, match="HTTP 404"):
        Client(f"{url}/more").__enter__()
    with pytest.raises(ServerError, match="use it as a context manager"):
        Client(url).push_audio(np.zeros(320, np.float32))


def test_a_source_goes_to_its_end_beside_the_agents_voice(
    url: str, engine: Engine, tmp_path: Path
) -> None:
    samples = dialogue(2, seed=7)
    soundfile.write(tmp_path / "user.wav", samples[:, 0], 16000)
    messages: list[ServerMessage] = []
    source = FileSource(tmp_path / "user.wav")
    with Client(url) as client:
        client.on("frame", messages.append)
        client.agent.say(samples[:, 1])
        client.stream(source)
    source.close()
    assert frames_of(messages) == offline(engine, samples)[0]
    soundfile.write(tmp_path / "low.wav", samples[:, 0], 8000)
    low = FileSource(tmp_path / "low.wav")
    with (
        Client(url) as client,
        pytest.raises(
            AudioFormatError, match="expected a source of 16000 Hz and at most 2 channels"
        ),
    ):
        client.stream(low)
    low.close()


def test_it_goes_on_after_a_break(resuming: tuple[ResumingServer, str, Callable[[], None]]) -> None:
    server, url, drop = resuming
    with Client(url, MONO) as client:
        messages = iter(client)
        client.push_audio(np.full(80, 1, np.int16))
        assert next(messages) == answer(1)
        drop()
        warning = next(messages)
        assert isinstance(warning, WarningMessage)
        assert warning.code == "connection_lost"
        assert next(messages) == ResumedMessage("s", 1)
        client.push_audio(np.full(80, 2, np.int16))
        client.close()
        assert list(messages) == [answer(2), TerminationMessage(3, 1.0, "close")]
    assert server.received[:2] == [
        np.full(80, 1, np.int16).tobytes(),
        np.full(80, 2, np.int16).tobytes(),
    ]
