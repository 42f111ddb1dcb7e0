"""Predictions in a thread: their order, their bound, their errors and their end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream import Engine, Prediction
from turnstream.stream.adapters.predictors import Predictors, ThreadedPredictor

from .offline import RATE_HZ, predictions


class Gate:
    """A predictor that predicts the length of its audio as soon as the gate is open."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def push_audio(self, audio: NDArray[Any]) -> list[int]:
        self.entered.set()
        self.opened.wait()
        if not audio.any():
            raise OSError("the file is gone")
        return [len(audio)]


class Thread(ThreadedPredictor):
    """Notes what it tells."""

    def __init__(self, predictor: Any) -> None:
        super().__init__(predictor, RATE_HZ, self._note)
        self.said: list[Any] = []

    async def _note(self, said: Sequence[Prediction]) -> None:
        self.said += said

    async def ended(self) -> None:
        assert self._task is not None
        await asyncio.wait([self._task])


@pytest.fixture
def gate() -> Gate:
    return Gate()


def audio(seconds: float) -> NDArray[np.int16]:
    return np.ones(round(seconds * RATE_HZ), np.int16)


async def test_predictions_come_in_order_and_are_those_of_the_predictor(
    engine: Engine, user: NDArray[np.int16]
) -> None:
    thread = Thread(Predictors("balanced", engine, None).begin(RATE_HZ))
    for start in range(0, len(user), 160):
        thread.push_audio(user[start : start + 160])
        if start % 16000 == 0:
            await thread.ended()
    await thread.ended()
    assert thread.is_idle
    assert [one.p_next for one in thread.said] == [one.p_next for one in predictions(engine, user)]


async def test_more_than_ten_seconds_do_not_wait(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    thread = Thread(gate)
    thread.push_audio(audio(0.02))
    await asyncio.to_thread(gate.entered.wait)
    for _ in range(3):
        thread.push_audio(audio(4))
    assert caplog.messages == ["dropped audio: 10 s wait for a prediction"]
    assert not thread.is_idle
    gate.opened.set()
    await thread.ended()
    assert thread.said == [160, 8 * RATE_HZ]


async def test_a_prediction_that_failed_is_told_with_the_next_audio(gate: Gate) -> None:
    thread = Thread(gate)
    gate.opened.set()
    thread.push_audio(np.zeros(160, np.int16))
    await thread.ended()
    for _ in range(2):
        with pytest.raises(OSError, match="the file is gone"):
            thread.push_audio(audio(0.02))
    assert not thread.is_idle


async def test_a_close_waits_for_the_thread_and_nothing_is_told_after_it(gate: Gate) -> None:
    thread = Thread(gate)
    thread.push_audio(audio(0.02))
    await asyncio.to_thread(gate.entered.wait)
    thread.push_audio(audio(1))
    closing = asyncio.create_task(thread.close())
    await asyncio.sleep(0)
    assert not closing.done()
    gate.opened.set()
    await closing
    thread.push_audio(audio(1))
    assert thread.said == []
