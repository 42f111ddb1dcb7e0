"""The batcher with a pause model: who waits for it, and what a late answer or an error does.

The tests use a fake engine, a pause model that answers when it is told to, and a clock that stands
still, without sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from turnstream.stream.engine import Float32, ModelMetadata, StepOutput
from turnstream.stream.pause_tracker import PauseTracker
from turnstream.stream.prediction import Prediction
from turnstream.stream.service.batcher import Batcher
from turnstream.stream.session import Session

from ..pauses import HEAD, BlockedPauseModel
from ..serving import until
from .test_batcher import Clock

METADATA = ModelMetadata("fake", "0", 16000, 320, 50.0, 1, 1, 1, "0", {})
FRAME_S = 0.02
SPEECH, SILENCE = 0.5, 0.0
# Five frames of speech make a holder; the second frame of silence is followed by a question. The
# silence is too short for another one.
ASKED_AFTER = 8
CALL = [SPEECH] * 6 + [SILENCE] * 8
PLAIN = (0.6, 0.4)
MIXED = PauseTracker(3, logit=2.0).mixed(PLAIN, 0, HEAD.mix)


class FakeEngine:
    """Hears the user speak in a loud frame, and always predicts the same."""

    def __init__(self) -> None:
        self.metadata = METADATA

    def step(self, audio: Float32, state: Float32) -> tuple[StepOutput, Float32]:
        rows = len(audio)
        vad = np.stack([np.abs(audio[:, 0]).max(axis=1) * 1.8, np.zeros(rows)], axis=1)
        p_next = np.tile(np.array([PLAIN], np.float32), (rows, 1))
        latent = np.zeros((rows, 2, 1), np.float32)
        return StepOutput(vad.astype(np.float32), p_next, p_next, p_next, p_next, latent, latent), (
            state + 1
        )


class Talk:
    """A conversation and the answers to it."""

    def __init__(self, batcher: Batcher) -> None:
        self.session = Session(METADATA, policy=None, buffer_s=5, pause_model=batcher.pause_model)
        self.predictions: list[Prediction] = []
        self.errors: list[Exception] = []
        self.audio_queue = batcher.open_audio_queue(
            self.session, self.predictions.append, self.errors.append
        )

    def push(self, levels: list[float]) -> None:
        square = np.where(np.arange(320) % 2, 1, -1)
        user = np.concatenate([level * square for level in levels])
        self.session.push_audio(np.stack([user, 0 * user], axis=1).astype(np.float32))
        self.audio_queue.pushed(len(levels) * FRAME_S)

    @property
    def mixed(self) -> list[bool]:
        """Whether the answer of the pause model is in each prediction."""
        shown = [prediction.p_next for prediction in self.predictions]
        assert all(pair == pytest.approx(PLAIN) or pair == pytest.approx(MIXED) for pair in shown)
        return [pair == pytest.approx(MIXED) for pair in shown]


@pytest.fixture
def model() -> Iterator[BlockedPauseModel]:
    model = BlockedPauseModel(2.0)
    yield model
    model.may_answer.set()  # so that no thread is left


@pytest.fixture
def batcher(model: BlockedPauseModel) -> Iterator[Batcher]:
    batcher = Batcher(FakeEngine(), clock=Clock(), pause_model=model)
    yield batcher
    batcher.close()


async def settled() -> None:
    """Let the loop turn often enough for all frames that do not wait for the pause model."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_only_the_one_who_asked_waits(batcher: Batcher, model: BlockedPauseModel) -> None:
    asking, other = Talk(batcher), Talk(batcher)
    asking.push(CALL)
    other.push([SPEECH] * 50)
    await until(lambda: model.asked == 1 and len(other.predictions) == 50)
    await settled()
    assert len(asking.predictions) == ASKED_AFTER
    other.push([SPEECH] * 50)
    await until(lambda: len(other.predictions) == 100)
    assert len(asking.predictions) == ASKED_AFTER
    model.may_answer.set()
    await until(lambda: len(asking.predictions) == len(CALL))
    assert model.asked == 1
    assert (asking.errors, other.errors) == ([], [])


async def test_the_answer_counts_from_the_next_frame(
    batcher: Batcher, model: BlockedPauseModel
) -> None:
    talk = Talk(batcher)
    talk.push(CALL)
    await until(lambda: model.asked == 1)
    model.may_answer.set()
    await until(lambda: len(talk.predictions) == len(CALL))
    talk.push([SPEECH] * 2)
    await until(lambda: len(talk.predictions) == len(CALL) + 2)
    assert talk.mixed == [False] * ASKED_AFTER + [True] * (len(CALL) - ASKED_AFTER) + [False] * 2


@pytest.mark.parametrize("early", [True, False])
async def test_it_is_asked_before_the_next_frame_has_come(
    batcher: Batcher, model: BlockedPauseModel, early: bool
) -> None:
    talk = Talk(batcher)
    talk.push(CALL[:ASKED_AFTER])
    await until(lambda: model.asked == 1)
    if early:  # the next frame comes before the answer
        talk.push(CALL[ASKED_AFTER:])
        await settled()
        assert len(talk.predictions) == ASKED_AFTER
    model.may_answer.set()
    await until(lambda: not talk.session.pause_due)
    if not early:
        talk.push(CALL[ASKED_AFTER:])
    await until(lambda: len(talk.predictions) == len(CALL))
    assert talk.mixed == [False] * ASKED_AFTER + [True] * (len(CALL) - ASKED_AFTER)


async def test_several_who_ask_are_answered_one_after_another(
    batcher: Batcher, model: BlockedPauseModel
) -> None:
    talks = [Talk(batcher) for _ in range(5)]
    for talk in talks:
        talk.push(CALL)
    await until(lambda: model.asked == 1)
    model.may_answer.set()
    await until(lambda: all(len(talk.predictions) == len(CALL) for talk in talks))
    assert model.asked == 5
    assert all(talk.mixed == talks[0].mixed for talk in talks)
    assert any(talks[0].mixed)


async def test_an_error_of_the_pause_model_ends_only_the_one_who_asked() -> None:
    model = BlockedPauseModel(ValueError("no answer"))
    batcher = Batcher(FakeEngine(), clock=Clock(), pause_model=model)
    asking, other = Talk(batcher), Talk(batcher)
    asking.push(CALL)
    other.push([SPEECH] * 20)
    await until(lambda: model.asked == 1)
    model.may_answer.set()
    await until(lambda: bool(asking.errors))
    asking.push(CALL)
    other.push([SPEECH] * 20)
    await until(lambda: len(other.predictions) == 40)
    assert [str(error) for error in asking.errors] == ["no answer"]
    assert len(asking.predictions) == ASKED_AFTER
    assert (other.errors, model.asked) == ([], 1)
    batcher.close()


async def test_a_late_answer_does_not_count_after_a_reset(
    batcher: Batcher, model: BlockedPauseModel
) -> None:
    talk = Talk(batcher)
    talk.push(CALL)
    await until(lambda: model.asked == 1)
    talk.session.reset()
    talk.audio_queue.forget()
    talk.predictions.clear()
    talk.push([SILENCE] * 5)
    model.may_answer.set()
    await until(lambda: len(talk.predictions) == 5)
    assert talk.mixed == [False] * 5
    assert [prediction.frame for prediction in talk.predictions] == list(range(5))
    talk.push(CALL)  # the next pause is scored again
    await until(lambda: len(talk.predictions) == 5 + len(CALL))
    assert model.asked == 2
    assert talk.mixed[5:] == [False] * ASKED_AFTER + [True] * (len(CALL) - ASKED_AFTER)
    assert talk.errors == []


async def test_a_late_answer_leaves_nothing_in_a_session_that_was_reset(
    batcher: Batcher, model: BlockedPauseModel
) -> None:
    talk, fresh = Talk(batcher), Talk(batcher)
    talk.push(CALL)
    await until(lambda: model.asked == 1)
    talk.session.reset()
    talk.audio_queue.forget()
    model.may_answer.set()
    await until(lambda: not talk.audio_queue._asking)
    assert talk.session.snapshot() == fresh.session.snapshot()


@pytest.mark.parametrize("answer", [2.0, ValueError("no answer")], ids=["logit", "error"])
async def test_a_late_answer_to_a_closed_conversation_is_ignored(
    answer: float | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    model = BlockedPauseModel(answer)
    batcher = Batcher(FakeEngine(), clock=Clock(), pause_model=model)
    closed, other = Talk(batcher), Talk(batcher)
    closed.push(CALL)
    await until(lambda: model.asked == 1)
    closed.audio_queue.close()
    other.push(CALL)
    model.may_answer.set()
    await until(lambda: model.asked == 2)  # the thread has answered the first one
    await until(lambda: len(other.predictions) == len(CALL) or bool(other.errors))
    assert len(closed.predictions) == ASKED_AFTER
    assert closed.errors == []
    assert caplog.records == []
    batcher.close()


async def test_the_wait_for_the_pause_model_is_no_lag_of_the_engine() -> None:
    """Else the server would refuse new sessions in every pause."""
    model, clock = BlockedPauseModel(2.0), Clock()
    lags_s: list[float] = []
    batcher = Batcher(
        FakeEngine(),
        clock=clock,
        pause_model=model,
        on_step=lambda _, live, early, lag_s: lags_s.append(lag_s),
    )
    talk = Talk(batcher)
    talk.push(CALL)
    await until(lambda: model.asked == 1)
    clock.now_s += 0.25
    model.may_answer.set()
    await until(lambda: len(talk.predictions) == len(CALL))
    assert lags_s == [0.0] * len(CALL)
    batcher.close()


async def test_closing_the_batcher_does_not_wait_for_the_pause_model(
    batcher: Batcher, model: BlockedPauseModel, caplog: pytest.LogCaptureFixture
) -> None:
    talks = [Talk(batcher) for _ in range(3)]
    for talk in talks:
        talk.push(CALL)
    await until(lambda: model.asked == 1)
    batcher.close()  # hangs if it waits for the answer
    assert not model.may_answer.is_set()
    model.may_answer.set()
    await until(lambda: len(talks[0].predictions) == len(CALL))  # its question was being answered
    await settled()
    assert [len(talk.predictions) for talk in talks[1:]] == [ASKED_AFTER] * 2
    assert (model.asked, [talk.errors for talk in talks], caplog.records) == (1, [[]] * 3, [])


async def test_without_a_pause_model_nobody_waits() -> None:
    batcher = Batcher(FakeEngine(), clock=Clock())
    talk = Talk(batcher)
    talk.push(CALL)
    await until(lambda: len(talk.predictions) == len(CALL))
    assert talk.mixed == [False] * len(CALL)
    batcher.close()
