"""The batcher: which frames share a step, in which order, and who is affected by a failed step.

The tests use a fake engine and a clock that stands still, without sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from turnstream.stream.engine import Float32, ModelMetadata, StepOutput
from turnstream.stream.pcm import to_float32
from turnstream.stream.prediction import Prediction
from turnstream.stream.service.audio_queue import AudioQueue
from turnstream.stream.service.batcher import Batcher
from turnstream.stream.session import Session

from ..serving import until

METADATA = ModelMetadata("fake", "0", 16000, 320, 50.0, 2, 1, 1, "0", {})
POISON = 0.75
FRAME_S = 0.02


class FakeEngine:
    """Its state holds the frames heard and the sum of their first samples.

    It fails on a frame that starts with POISON.
    """

    def __init__(self) -> None:
        self.metadata = METADATA
        self.batches: list[list[float]] = []
        self.before_step: Callable[[], None] = lambda: None

    def step(self, audio: Float32, state: Float32) -> tuple[StepOutput, Float32]:
        self.before_step()
        first = audio[:, 0, 0]
        self.batches.append(first.tolist())
        if (first == np.float32(POISON)).any():
            raise RuntimeError("poison")
        next_state = state + np.stack([np.ones_like(first), first], axis=1)
        pair = np.repeat(next_state[:, 1:] / 1000, 2, axis=1)
        latent = np.repeat(next_state[:, 1:, None], 2, axis=1)
        return StepOutput(pair, pair, pair, pair, pair, latent, latent), next_state


class Clock:
    """Moves only when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Talk:
    """A conversation and the answers to it."""

    def __init__(self, batcher: Batcher, level: float) -> None:
        self.session = Session(METADATA, policy=None, buffer_s=30)
        self.predictions: list[Prediction] = []
        self.errors: list[Exception] = []
        self.level = level
        self.audio_queue: AudioQueue = batcher.open_audio_queue(
            self.session, self._on_result, self.errors.append
        )

    def _on_result(self, result: Prediction) -> None:
        self.predictions.append(result)

    def push(self, frames: int) -> None:
        self.session.push_audio(to_float32(np.full(frames * 320, self.level)))
        self.audio_queue.pushed(frames * FRAME_S)

    def sums(self) -> list[float]:
        return [float(prediction.latent[0, 0]) for prediction in self.predictions]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def batcher(engine: FakeEngine, clock: Clock) -> Batcher:
    return Batcher(engine, max_batch=4, clock=clock)


async def settled(engine: FakeEngine) -> None:
    """Let the loop turn until no step follows."""
    seen = -1
    while seen != len(engine.batches):
        seen = len(engine.batches)
        for _ in range(3):
            await asyncio.sleep(0)


async def test_waiting_frames_share_a_step_and_every_session_keeps_its_own_state(
    engine: FakeEngine, batcher: Batcher
) -> None:
    talks = [Talk(batcher, level) for level in (0.125, 0.25, 0.5)]
    for talk in talks:
        talk.push(5)
    await settled(engine)
    assert batcher.largest_batch == 3
    assert len(engine.batches) == 5
    for talk in talks:
        assert talk.sums() == [talk.level * n for n in range(1, 6)]
        assert [prediction.frame for prediction in talk.predictions] == [0, 1, 2, 3, 4]


async def test_a_step_takes_at_most_one_frame_of_a_session_and_at_most_max_batch(
    engine: FakeEngine, batcher: Batcher
) -> None:
    talks = [Talk(batcher, n / 16) for n in range(1, 8)]
    for talk in talks:
        talk.push(3)
    await settled(engine)
    assert max(len(batch) for batch in engine.batches) == 4
    assert all(len(set(batch)) == len(batch) for batch in engine.batches)
    assert sum(len(batch) for batch in engine.batches) == 21


async def test_the_frame_that_has_waited_longest_goes_first(
    engine: FakeEngine, batcher: Batcher, clock: Clock
) -> None:
    talks = [Talk(batcher, n / 16) for n in range(1, 7)]
    for talk in reversed(talks):
        clock.now_s += 0.001
        talk.push(1)
    await settled(engine)
    assert engine.batches == [[6 / 16, 5 / 16, 4 / 16, 3 / 16], [2 / 16, 1 / 16]]


async def test_a_file_sent_at_once_does_not_delay_live_sessions(
    engine: FakeEngine, batcher: Batcher
) -> None:
    file, live = Talk(batcher, 0.5), Talk(batcher, 0.25)
    file.push(1000)
    assert file.audio_queue.is_early
    for _ in range(5):
        await asyncio.sleep(0)
    before = len(file.predictions)
    live.push(1)
    assert not live.audio_queue.is_early
    await until(lambda: live.predictions)
    assert len(file.predictions) <= before + 2
    await settled(engine)
    assert len(file.predictions) == 1000


async def test_files_fill_only_what_live_sessions_leave(engine: FakeEngine, clock: Clock) -> None:
    batcher = Batcher(engine, max_batch=64, clock=clock)
    files, lives = [Talk(batcher, 0.5) for _ in range(40)], [Talk(batcher, 0.25) for _ in range(30)]
    for file in files:
        file.push(500)
    for live in lives:
        live.push(1)
    await asyncio.sleep(0)
    assert engine.batches == [[0.25] * 30 + [0.5] * 16]


async def test_while_live_sessions_are_late_files_get_a_single_place(
    engine: FakeEngine, clock: Clock
) -> None:
    batcher = Batcher(engine, max_batch=64, clock=clock)
    files, live = [Talk(batcher, 0.5) for _ in range(5)], Talk(batcher, 0.25)
    for file in files:
        file.push(500)
    live.push(1)
    clock.now_s += 0.03
    await asyncio.sleep(0)
    assert engine.batches[0] == [0.25, 0.5]


async def test_files_whose_results_take_long_get_fewer_places_in_a_step(
    engine: FakeEngine, clock: Clock
) -> None:
    batcher = Batcher(engine, max_batch=64, clock=clock)

    class SlowTalk(Talk):
        def _on_result(self, result: Prediction) -> None:
            super()._on_result(result)
            clock.now_s += 0.0007

    files, live = [SlowTalk(batcher, 0.5) for _ in range(20)], Talk(batcher, 0.25)
    for file in files:
        file.push(400)
    for _ in range(5):
        await asyncio.sleep(0)
    live.push(1)
    await until(lambda: live.predictions)
    assert len(engine.batches[0]) == 16
    assert {len(batch) for batch in engine.batches[1:-1]} == {2}
    assert engine.batches[-1] == [0.25, 0.5, 0.5]
    assert batcher.live_s == 0.0
    assert batcher.early_s > 0.01


async def test_audio_that_a_stalled_network_lets_go_at_once_is_still_live(
    batcher: Batcher, clock: Clock
) -> None:
    talk = Talk(batcher, 0.25)
    for _ in range(100):
        clock.now_s += FRAME_S
        talk.push(1)
        await asyncio.sleep(0)
    clock.now_s += 2
    talk.push(100)
    assert not talk.audio_queue.is_early


async def test_who_was_ahead_counts_as_live_again_after_a_while(
    batcher: Batcher, clock: Clock
) -> None:
    talk = Talk(batcher, 0.25)
    talk.push(1000)
    assert talk.audio_queue.is_early
    for _ in range(round(25 / FRAME_S)):
        clock.now_s += FRAME_S
        talk.push(1)
        await asyncio.sleep(0)
    assert not talk.audio_queue.is_early


async def test_a_sound_card_that_is_a_little_fast_is_live_for_ever(
    batcher: Batcher, clock: Clock
) -> None:
    talk = Talk(batcher, 0.25)
    for _ in range(100):
        clock.now_s += 1 / 1.05
        talk.push(50)
        for _ in range(60):
            await asyncio.sleep(0)
        assert not talk.audio_queue.is_early


async def test_steps_and_their_lag_are_reported(engine: FakeEngine, clock: Clock) -> None:
    steps: list[tuple[float, int, int, float]] = []
    batcher = Batcher(engine, clock=clock, on_step=lambda *step: steps.append(step))

    def take_time() -> None:
        clock.now_s += 0.25

    engine.before_step = take_time
    live, file = Talk(batcher, 0.25), Talk(batcher, 0.5)
    live.push(1)
    file.push(500)
    clock.now_s += 0.125
    await asyncio.sleep(0)
    assert steps == [(0.25, 1, 1, 0.375)]


async def test_an_engine_error_fails_only_the_session_that_caused_it(
    engine: FakeEngine, batcher: Batcher, caplog: pytest.LogCaptureFixture
) -> None:
    healthy, poisoned = Talk(batcher, 0.25), Talk(batcher, POISON)
    healthy.push(2)
    poisoned.push(2)
    await settled(engine)
    assert [str(error) for error in poisoned.errors] == ["poison"]
    assert poisoned.predictions == []
    assert healthy.errors == []
    assert healthy.sums() == [0.25, 0.5]
    assert "engine step failed for a batch of 2" in caplog.text
    healthy.push(1)
    await settled(engine)
    assert healthy.sums() == [0.25, 0.5, 0.75]


async def test_a_callback_that_raises_fails_only_its_session(
    engine: FakeEngine, batcher: Batcher
) -> None:
    errors: list[Exception] = []

    def broken(result: Prediction) -> None:
        raise ValueError("no room")

    session = Session(METADATA, policy=None)
    audio_queue = batcher.open_audio_queue(session, broken, errors.append)
    healthy = Talk(batcher, 0.25)
    session.push_audio(np.zeros((640, 2), np.float32))
    audio_queue.pushed(0.04)
    healthy.push(3)
    await settled(engine)
    assert [str(error) for error in errors] == ["no room"]
    assert len(healthy.predictions) == 3


async def test_a_held_lane_waits_and_goes_on_when_released(
    engine: FakeEngine, batcher: Batcher
) -> None:
    held, free = Talk(batcher, 0.25), Talk(batcher, 0.5)
    held.audio_queue.hold()
    held.push(3)
    free.push(3)
    await settled(engine)
    assert (held.predictions, len(free.predictions)) == ([], 3)
    held.audio_queue.release()
    await settled(engine)
    assert held.sums() == [0.25, 0.5, 0.75]


async def test_a_closed_lane_is_silent(engine: FakeEngine, batcher: Batcher) -> None:
    talk, other = Talk(batcher, 0.25), Talk(batcher, 0.5)
    talk.push(3)
    talk.audio_queue.close()
    other.push(1)
    await settled(engine)
    assert (talk.predictions, talk.errors, len(other.predictions)) == ([], [], 1)


async def test_a_reset_session_is_due_anew(
    engine: FakeEngine, batcher: Batcher, clock: Clock
) -> None:
    talk = Talk(batcher, 0.25)
    talk.push(2)
    await settled(engine)
    talk.session.reset()
    talk.audio_queue.forget()
    clock.now_s += 10
    talk.push(1)
    assert talk.audio_queue.due_s == clock.now_s
    await settled(engine)
    assert len(talk.predictions) == 3


def test_a_batch_size_below_one_is_refused(engine: FakeEngine) -> None:
    with pytest.raises(ValueError, match="expected max_batch >= 1, got 0"):
        Batcher(engine, max_batch=0)
