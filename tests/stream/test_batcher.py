"""The batcher: what shares a step, in which order, and who is hurt when a step fails. A fake engine, no sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest

from turnstream.stream.batcher import Batcher, Lane
from turnstream.stream.engine import Float32, ModelMetadata, StepOutput
from turnstream.stream.prediction import Prediction
from turnstream.stream.session import FrameResult, Session

METADATA = ModelMetadata("fake", "0", 16000, 320, 50.0, 2, 1, 1, "0", {})
POISON = 0.75


class FakeEngine:
    """State: frames heard and the sum of their first samples. Fails on a frame that starts with POISON. Steps wait for the gate."""

    def __init__(self) -> None:
        self.metadata = METADATA
        self.batches: list[list[float]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def step(self, audio: Float32, state: Float32) -> tuple[StepOutput, Float32]:
        self.entered.set()
        assert self.gate.wait(5)
        first = audio[:, 0, 0]
        self.batches.append(first.tolist())
        if (first == np.float32(POISON)).any():
            raise RuntimeError("poison")
        next_state = state + np.stack([np.ones_like(first), first], axis=1)
        pair = np.repeat(next_state[:, 1:] / 1000, 2, axis=1)
        latent = np.repeat(next_state[:, 1:, None], 2, axis=1)
        return StepOutput(pair, pair, pair, pair, pair, latent, latent), next_state


class Talk:
    """A conversation and what came back for it."""

    def __init__(self, batcher: Batcher, level: float) -> None:
        self.session = Session(METADATA, policy=None, buffer_s=30)
        self.predictions: list[Prediction] = []
        self.errors: list[Exception] = []
        self.level = level
        self.lane: Lane = batcher.open_lane(self.session, self._on_result, self.errors.append)

    def _on_result(self, result: FrameResult) -> None:
        self.predictions.append(result.prediction)

    def push(self, frames: int) -> None:
        self.session.push_audio(np.full(frames * 320, self.level, np.float32))
        self.lane.wake()

    async def done(self) -> None:
        async with asyncio.timeout(5):
            await self.lane.wait_for_backlog(0)

    def sums(self) -> list[float]:
        return [float(prediction.latent[0, 0]) for prediction in self.predictions]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def batcher(engine: FakeEngine) -> AsyncIterator[Batcher]:
    async with Batcher(engine, max_batch=4) as running:
        yield running


async def entered(engine: FakeEngine) -> None:
    """Wait until a step has begun, and arm for the next."""
    assert await asyncio.to_thread(engine.entered.wait, 5)
    engine.entered.clear()


async def test_waiting_frames_share_a_step_and_every_session_keeps_its_own_state(engine: FakeEngine, batcher: Batcher) -> None:
    talks = [Talk(batcher, level) for level in (0.125, 0.25, 0.5)]
    for talk in talks:
        talk.push(5)
    for talk in talks:
        await talk.done()
    assert batcher.largest_batch == 3
    for talk in talks:
        assert talk.sums() == [talk.level * n for n in range(1, 6)]
        assert [prediction.frame for prediction in talk.predictions] == [0, 1, 2, 3, 4]


async def test_a_step_takes_at_most_one_frame_of_a_session_and_at_most_max_batch(engine: FakeEngine, batcher: Batcher) -> None:
    talks = [Talk(batcher, n / 16) for n in range(1, 8)]
    for talk in talks:
        talk.push(3)
    for talk in talks:
        await talk.done()
    assert max(len(batch) for batch in engine.batches) == 4
    assert all(len(set(batch)) == len(batch) for batch in engine.batches)
    assert sum(len(batch) for batch in engine.batches) == 21


async def test_a_file_sent_at_once_does_not_delay_live_sessions(engine: FakeEngine, batcher: Batcher) -> None:
    file, live = Talk(batcher, 0.5), Talk(batcher, 0.25)
    engine.gate.clear()
    file.push(1000)
    await entered(engine)
    live.push(1)
    engine.gate.set()
    await live.done()
    assert len(file.predictions) <= 3
    await file.done()
    assert len(file.predictions) == 1000


async def test_sessions_take_turns_when_there_are_more_than_a_batch_takes(engine: FakeEngine, batcher: Batcher) -> None:
    talks = [Talk(batcher, n / 16) for n in range(1, 10)]
    for talk in talks:
        talk.push(20)
    await talks[0].done()
    assert min(len(talk.predictions) for talk in talks) >= 18
    for talk in talks:
        await talk.done()


async def test_an_engine_error_fails_only_the_session_that_caused_it(engine: FakeEngine, batcher: Batcher, caplog: pytest.LogCaptureFixture) -> None:
    healthy, poisoned = Talk(batcher, 0.25), Talk(batcher, POISON)
    healthy.push(2)
    poisoned.push(2)
    await healthy.done()
    await poisoned.done()
    assert [str(error) for error in poisoned.errors] == ["poison"]
    assert poisoned.predictions == []
    assert healthy.errors == []
    assert healthy.sums() == [0.25, 0.5]
    assert "engine step failed for a batch of 2" in caplog.text
    healthy.push(1)
    await healthy.done()
    assert healthy.sums() == [0.25, 0.5, 0.75]


async def test_a_callback_that_raises_fails_only_its_session(batcher: Batcher) -> None:
    errors: list[Exception] = []

    def broken(result: FrameResult) -> None:
        raise ValueError("no room")

    session = Session(METADATA, policy=None)
    lane = batcher.open_lane(session, broken, errors.append)
    healthy = Talk(batcher, 0.25)
    session.push_audio(np.zeros(640, np.float32))
    lane.wake()
    healthy.push(3)
    await healthy.done()
    await lane.wait_for_backlog(0)
    assert [str(error) for error in errors] == ["no room"]
    assert len(healthy.predictions) == 3


async def test_a_held_lane_waits_and_goes_on_when_released(engine: FakeEngine, batcher: Batcher) -> None:
    held, free = Talk(batcher, 0.25), Talk(batcher, 0.5)
    held.lane.hold()
    held.push(3)
    free.push(3)
    await free.done()
    assert held.predictions == []
    held.lane.release()
    await held.done()
    assert held.sums() == [0.25, 0.5, 0.75]


async def test_closing_a_lane_lets_its_waiter_go_and_silences_it(engine: FakeEngine, batcher: Batcher) -> None:
    talk = Talk(batcher, 0.25)
    engine.gate.clear()
    talk.push(3)
    await entered(engine)
    waiter = asyncio.create_task(talk.done())
    await asyncio.wait([waiter], timeout=0)
    talk.lane.close()
    await waiter
    engine.gate.set()
    other = Talk(batcher, 0.5)
    other.push(1)
    await other.done()
    assert talk.predictions == []
    assert talk.errors == []


async def test_waiting_for_a_backlog_returns_as_soon_as_it_is_small_enough(engine: FakeEngine, batcher: Batcher) -> None:
    talk = Talk(batcher, 0.25)
    talk.push(10)
    async with asyncio.timeout(5):
        await talk.lane.wait_for_backlog(4)
    assert 6 <= len(talk.predictions) < 10
    await talk.done()


def test_a_batch_size_below_one_is_refused(engine: FakeEngine) -> None:
    with pytest.raises(ValueError, match="expected max_batch >= 1, got 0"):
        Batcher(engine, max_batch=0)
