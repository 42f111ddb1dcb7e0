"""The server with a pause model.

Every session gets what the predictor gives, also after a break or a move to another worker.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.stream.clients.asynchronous import AsyncClient
from turnstream.stream.engine import Engine
from turnstream.stream.errors import ModelError, SnapshotError
from turnstream.stream.pause_model import PauseModel
from turnstream.stream.prediction import FrameMessage
from turnstream.stream.predictor import TurnPredictor
from turnstream.stream.protocol import ResumedMessage, frame_to_json, parse_message
from turnstream.stream.service.conversation import Conversation
from turnstream.stream.service.server import Server

from ..clients.fake_server import send
from ..pauses import BlockedPauseModel, pausing_call, tiny_pause_model
from ..resuming_server import breaking_line
from ..serving import PATIENCE_S, frames_of, offline, quick_limits, raw_client, talk, until
from .conversation_desk import CLOSE, Desk, resume, settle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PauseModel:
    return PauseModel(tiny_pause_model(tmp_path_factory.mktemp("pause")))


def expected(engine: Engine, model: PauseModel, samples: NDArray[np.int16]) -> list[FrameMessage]:
    """Return the predictor's frames as they read after the wire.

    They differ from those without a pause model, so that a server without one would be noticed.
    """
    predictor = TurnPredictor(engine, pause_model=model)
    predictions = predictor.push_audio(samples) + predictor.flush()
    frames = [parse_message(frame_to_json(prediction)) for prediction in predictions]
    assert frames != offline(engine, samples)[0]
    return [frame for frame in frames if isinstance(frame, FrameMessage)]


@pytest.mark.parametrize("chunk", [320, 7777])
async def test_sessions_get_the_predictions_of_the_predictor(
    engine: Engine, model: PauseModel, chunk: int
) -> None:
    calls = [pausing_call(2.0, seed) for seed in range(3)]
    async with Server(engine, port=0, limits=quick_limits(), pause_model=model) as server:

        async def one(samples: NDArray[np.int16]) -> list[FrameMessage]:
            async with raw_client(server) as client:
                return frames_of(await talk(client, samples, chunk))

        async with asyncio.timeout(PATIENCE_S):
            found = await asyncio.gather(*map(one, calls))
    assert found == [expected(engine, model, samples) for samples in calls]


async def test_a_line_that_breaks_changes_no_prediction(engine: Engine, model: PauseModel) -> None:
    samples = pausing_call(4.0)
    cuts = [(60_000, 10**6), (10**6, 3_000), (50_000, 30_000)]
    async with (
        Server(engine, port=0, limits=quick_limits(), pause_model=model) as server,
        breaking_line(f"ws://127.0.0.1:{server.port}", iter(cuts)) as line,
        AsyncClient(line) as client,
        asyncio.timeout(PATIENCE_S),
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(send(client, samples))
        messages = [message async for message in client]
    assert any(isinstance(message, ResumedMessage) for message in messages)
    frames = [message for message in messages if isinstance(message, FrameMessage)]
    assert frames == expected(engine, model, samples)


async def test_the_error_of_a_pause_model_is_an_internal_error_of_one_session(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    model = BlockedPauseModel(ValueError("secret detail"))
    model.may_answer.set()
    async with Server(engine, port=0, limits=quick_limits(), pause_model=model) as server:
        async with raw_client(server) as client:
            await client.send(pausing_call(2.0).tobytes())
            messages = await client.rest()
        assert messages[-1] == {
            "type": "error",
            "code": "internal_error",
            "message": "the prediction failed",
        }
        assert client.close_code == 1011
        samples = np.zeros((3200, 2), np.int16)
        async with raw_client(server) as healthy:
            assert frames_of(await talk(healthy, samples, 320)) == offline(engine, samples)[0]
    assert "the engine failed" in caplog.text


def test_a_model_of_another_sample_rate_is_refused_at_the_start(
    engine: Engine, model: PauseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "metadata", replace(engine.metadata, sample_rate_hz=8000))
    with pytest.raises(ModelError, match="got one of 8000 Hz"):
        Server(engine, port=0, pause_model=model)


async def test_a_server_ends_while_a_session_waits_for_the_pause_model(engine: Engine) -> None:
    model = BlockedPauseModel(0.0)
    async with asyncio.timeout(PATIENCE_S):
        async with (
            Server(
                engine, port=0, limits=quick_limits(shutdown_timeout_s=0.1), pause_model=model
            ) as server,
            raw_client(server) as client,
        ):
            await client.send(pausing_call(2.0).tobytes())
            await until(lambda: model.asked)  # no message comes while it is asked
            await server.close()
            assert server.sessions == 0
    model.may_answer.set()


# ---- another worker ----


async def finished(conversation: Conversation) -> None:
    """Close the conversation and wait until it has ended."""
    conversation.on_message(CLOSE)
    async with asyncio.timeout(PATIENCE_S):
        while conversation._delivery.close_frame is None:
            await settle()


@pytest.fixture(scope="module")
def pause(engine: Engine, model: PauseModel) -> tuple[int, int]:
    """The first and the last frame whose prediction contains the first answer."""
    samples = pausing_call(2.0)
    pairs = zip(expected(engine, model, samples), offline(engine, samples)[0], strict=True)
    changed = [mixed.frame for mixed, plain in pairs if mixed.p_next != plain.p_next]
    last = next(frame for frame in changed if frame + 1 not in changed)
    return changed[0], last


@pytest.mark.parametrize("moment", ["before", "first", "within", "after"])
async def test_a_session_that_moves_in_a_pause_keeps_the_answer(
    engine: Engine, model: PauseModel, pause: tuple[int, int], moment: str
) -> None:
    first, last = pause
    frames = {"before": first - 2, "first": first, "within": last - 2, "after": last + 2}[moment]
    desk, other = Desk(engine, pause_model=model), Desk(engine, pause_model=model)
    samples, cut = pausing_call(2.0), frames * 320
    conversation, here = desk.open()
    await desk.live(conversation, samples[:cut])
    async with asyncio.timeout(PATIENCE_S):
        while here.types.count("frame") < frames:
            await settle()
    moved = other.unpack(conversation.pack(), here.counted)
    there = resume(moved, here.counted)
    moved.on_message(samples[cut:].tobytes())
    await finished(moved)
    whole = [*here.messages, *there.messages[1:]]
    assert frames_of(whole) == expected(engine, model, samples)


async def test_a_session_that_moves_while_the_pause_model_is_asked_is_answered_elsewhere(
    engine: Engine, model: PauseModel
) -> None:
    blocked = BlockedPauseModel(-100.0)  # its late answer would be noticed
    desk, other = Desk(engine, pause_model=blocked), Desk(engine, pause_model=model)
    samples = pausing_call(2.0)
    conversation, here = desk.open()
    conversation.on_message(samples.tobytes())
    async with asyncio.timeout(PATIENCE_S):
        while not blocked.asked:
            await settle()
    packed = conversation.pack()
    received = here.counted
    conversation.leave()
    blocked.may_answer.set()
    moved = other.unpack(packed, received)
    there = resume(moved, received)
    await finished(moved)
    whole = [*here.messages, *there.messages[1:]]
    assert frames_of(whole) == expected(engine, model, samples)
    assert blocked.asked == 1
    assert 0 < here.types.count("frame") < 100


async def test_a_worker_without_the_pause_model_refuses_the_session(
    engine: Engine, model: PauseModel
) -> None:
    conversation, _ = Desk(engine, pause_model=model).open()
    with pytest.raises(SnapshotError, match="that the conversation had, got none"):
        Desk(engine).unpack(conversation.pack(), 1)


async def test_few_sessions_at_a_time_use_it_if_so_few_may(
    engine: Engine, model: PauseModel
) -> None:
    samples = pausing_call(2.0)
    limits = quick_limits(max_load=1000)  # however slow the machine is
    async with (
        Server(engine, port=0, limits=limits, pause_model=model, pause_sessions=2) as server,
        asyncio.timeout(PATIENCE_S),
        AsyncClient(server.url) as told,
        raw_client(server) as first,
        raw_client(server) as second,
        AsyncClient(server.url) as told_later,
    ):
        assert (told.begin.pause_model, told_later.begin.pause_model) == (True, False)
        assert frames_of(await talk(first, samples, 7777)) == expected(engine, model, samples)
        assert frames_of(await talk(second, samples, 7777)) == offline(engine, samples)[0]
