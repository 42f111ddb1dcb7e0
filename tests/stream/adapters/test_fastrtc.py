"""The FastRTC adapter: the real base class, alone and in FastRTC's own websocket server.

FastRTC wants an older websockets than ours, so it is not in the extra `dev`. Install it with
`pip install --no-deps` beside that extra, and what it then misses. It leaves sockets open:

    pytest tests/stream/adapters/test_fastrtc.py \
        -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning
"""

from __future__ import annotations

import asyncio
import base64
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of its use of other packages
    pytest.importorskip("fastrtc", reason="fastrtc is not installed (stream/adapters/README.md)")
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from fastrtc import Stream

from turnstream import AudioFormatError, Engine, PolicyError
from turnstream.stream.adapters.fastrtc import LEAD_S, ReplyOnTurn
from turnstream.stream.pcm import encode_pcm

from .offline import RATE_HZ, events_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the same

BLOCK = 160
Samples = NDArray[np.int16]


@pytest.fixture(scope="module")
def caller(call: Samples) -> Samples:
    """Return the caller's channel of the bundled call, (N,)."""
    return np.ascontiguousarray(call[:, 0])


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Return the running event loop of FastRTC."""
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join()
    running.close()


class Connection:
    """One connection: what FastRTC does with a handler, in the order of the audio."""

    def __init__(self, handler: ReplyOnTurn, loop: asyncio.AbstractEventLoop) -> None:
        self.handler = handler.copy()
        self.handler._loop = loop
        self.handler._clear_queue = self._clear
        self.queue: list[Any] = []
        self.cleared_s: list[float] = []
        self.heard_s = 0.0

    def _clear(self) -> None:
        self.queue.clear()
        self.cleared_s.append(self.heard_s)

    def hold(self, user: Samples) -> None:
        for start in range(0, len(user), BLOCK):
            self.heard_s = (start + BLOCK) / RATE_HZ
            self.handler.receive((RATE_HZ, user[np.newaxis, start : start + BLOCK]))
            output = self.handler.emit()
            if output is not None:
                self.queue.append(output)


class Echo:
    """A reply that repeats the user, 0.1 s at a time."""

    def __init__(self) -> None:
        self.turns: list[Samples] = []

    def reply(self, audio: tuple[int, Samples]) -> Iterator[tuple[int, Samples]]:
        rate_hz, samples = audio
        assert rate_hz == RATE_HZ
        self.turns.append(samples[0])
        for start in range(0, samples.shape[1], 800):
            yield rate_hz, samples[:, start : start + 800]


def test_each_turn_of_the_user_is_answered_and_the_user_can_cut_in(
    engine: Engine, caller: Samples, loop: asyncio.AbstractEventLoop
) -> None:
    echo = Echo()
    connection = Connection(ReplyOnTurn(echo.reply, model=engine, input_sample_rate=RATE_HZ), loop)
    connection.hold(caller)
    assert len(echo.turns) >= 5  # turns of the caller in stream/sample/README.md
    assert all(0.5 < len(turn) / RATE_HZ < 20 for turn in echo.turns)
    assert len(connection.cleared_s) >= 1
    # Of the telephone number, the caller says the first group, thinks, and says the rest.
    assert any(34 < time_s < 36 for time_s in connection.cleared_s)


def test_a_turn_is_the_audio_from_before_its_start_to_its_end(
    engine: Engine, caller: Samples, loop: asyncio.AbstractEventLoop
) -> None:
    user, echo = caller[: round(10.3 * RATE_HZ)], Echo()  # one turn
    times_s = {event.type: event.time_s for event in events_of(engine, user)}
    Connection(ReplyOnTurn(echo.reply, model=engine, input_sample_rate=RATE_HZ), loop).hold(user)
    start, end = (round(times_s[kind] * RATE_HZ) for kind in ("start_of_turn", "end_of_turn"))
    (heard,) = echo.turns
    assert len(heard) == pytest.approx(end - start + LEAD_S * RATE_HZ, abs=3 * BLOCK)
    position = next(
        at
        for at in range(end, end + 4 * BLOCK)
        if np.array_equal(user[at - len(heard) : at], heard)
    )
    assert position - end <= 2 * BLOCK


def test_a_reply_that_may_not_be_interrupted_is_played_to_its_end(
    engine: Engine, caller: Samples, loop: asyncio.AbstractEventLoop
) -> None:
    echo = Echo()
    handler = ReplyOnTurn(echo.reply, model=engine, input_sample_rate=RATE_HZ, can_interrupt=False)
    connection = Connection(handler, loop)
    connection.hold(caller)
    assert connection.cleared_s == []
    played = sum(output[1].shape[1] for output in connection.queue)
    assert played == sum(map(len, echo.turns))


def test_connections_share_the_engine_and_nothing_else(
    engine: Engine, caller: Samples, loop: asyncio.AbstractEventLoop
) -> None:
    echo = Echo()
    handler = ReplyOnTurn(echo.reply, model=engine, input_sample_rate=RATE_HZ, policy="patient")
    first, second = Connection(handler, loop), Connection(handler, loop)
    first.hold(caller[: 16 * RATE_HZ])
    turns = [len(turn) for turn in echo.turns]
    echo.turns.clear()
    second.hold(caller[: 16 * RATE_HZ])
    assert turns
    assert [len(turn) for turn in echo.turns] == turns


def test_an_asynchronous_reply_with_float_samples_is_played(
    engine: Engine, caller: Samples, loop: asyncio.AbstractEventLoop
) -> None:
    async def reply(audio: tuple[int, Samples]) -> Any:
        yield 24000, np.full((1, 4800), 1.5, np.float32)

    connection = Connection(ReplyOnTurn(reply, model=engine, input_sample_rate=RATE_HZ), loop)
    connection.hold(caller[: 13 * RATE_HZ])
    assert [output[0] for output in connection.queue][:1] == [24000]


def test_bad_settings_are_refused(engine: Engine) -> None:
    with pytest.raises(PolicyError, match="hasty"):
        ReplyOnTurn(Echo().reply, model=engine, policy="hasty")
    with pytest.raises(AudioFormatError, match="got 4000"):
        ReplyOnTurn(Echo().reply, model=engine, input_sample_rate=4000)


def test_in_the_server_of_fastrtc_a_turn_is_answered(engine: Engine, caller: Samples) -> None:
    echo, app = Echo(), FastAPI()
    handler = ReplyOnTurn(
        echo.reply, model=engine, input_sample_rate=RATE_HZ, output_sample_rate=RATE_HZ
    )
    Stream(handler, modality="audio", mode="send-receive").mount(app)
    mulaw = encode_pcm(caller[: 13 * RATE_HZ, np.newaxis] / 32768, "mulaw")
    with TestClient(app) as client, client.websocket_connect("/websocket/offer") as socket:
        socket.send_json({"event": "start", "websocket_id": "one"})
        for start in range(0, len(mulaw), 800):
            payload = base64.b64encode(mulaw[start : start + 800]).decode()
            socket.send_json({"event": "media", "media": {"payload": payload}})
        while (answer := socket.receive_json()).get("event") != "media":
            pass
        assert len(base64.b64decode(answer["media"]["payload"])) > 0
        socket.send_json({"event": "stop"})
    assert echo.turns
