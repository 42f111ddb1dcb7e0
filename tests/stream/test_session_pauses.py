"""A session with a pause model.

Only pauses change, and neither the chunks nor a move to another process are noticed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.stream.engine import Engine
from turnstream.stream.errors import ModelError, SnapshotError
from turnstream.stream.floor import VAD_ON
from turnstream.stream.pause_model import PauseModel
from turnstream.stream.pcm import to_float32
from turnstream.stream.prediction import Prediction
from turnstream.stream.predictor import TurnPredictor
from turnstream.stream.session import Session

from .made_sessions import METADATA, rewritten
from .pauses import SAMPLES, RecordingPauseModel, pausing_call, tiny_pause_model
from .test_predictor import assert_same, in_chunks

FRAME = 320


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PauseModel:
    return PauseModel(tiny_pause_model(tmp_path_factory.mktemp("pause")))


def opened(
    engine: Engine, audio: NDArray[np.int16], model: PauseModel | None, policy: str | None = None
) -> Session:
    """Return a session that has received the audio and has predicted nothing yet."""
    session = Session(
        engine.metadata, buffer_s=len(audio) / 16000 + 1, pause_model=model, policy=policy
    )
    session.push_audio(to_float32(audio))
    return session


def predict(
    engine: Engine,
    session: Session,
    model: PauseModel | None,
    after_frame: Callable[[Session], Session] = lambda session: session,
) -> tuple[list[Prediction], list[int]]:
    """Predict to the end as an owner does; return the predictions, and the frames with a question.

    Args:
        engine: steps the session.
        session: has all audio.
        model: answers the questions.
        after_frame: called after each frame, before the pause model is asked; returns the session
            that resumes.
    """
    predictions: list[Prediction] = []
    asked: list[int] = []
    while session.frames_waiting:
        output, state = engine.step(session.take_frame()[None], session.state[None])
        session.state = state[0]
        predictions.append(session.accept(output))
        session = after_frame(session)
        if session.pause_due:
            assert model is not None
            asked.append(predictions[-1].frame)
            session.answer_pause(model.logit(session.pause_audio()))
    return predictions, asked


# ---- what changes ----


def test_only_pauses_change_and_only_after_the_pause_model_was_asked(
    engine: Engine, model: PauseModel
) -> None:
    audio = pausing_call(4.0)
    plain, none_asked = predict(engine, opened(engine, audio, None), None)
    mixed, asked = predict(engine, opened(engine, audio, model), model)
    assert none_asked == []
    expected: set[int] = set()
    for frame in asked:
        holder = plain[frame].holder
        assert holder is not None
        silent = itertools.takewhile(lambda one: max(one.vad) < VAD_ON, plain[frame + 1 :])
        expected.update(one.frame for one in silent)
    assert len(asked) >= 4
    assert {plain[frame].holder for frame in asked} == {0, 1}
    changed = {a.frame for a, b in zip(mixed, plain, strict=True) if a.p_next != b.p_next}
    assert changed == expected
    for frame in range(len(plain)):
        ours, theirs = mixed[frame], plain[frame]
        if frame in expected:
            assert abs(ours.p_next[0] - theirs.p_next[0]) > 1e-3
            assert ours.holder is not None
            assert ours.p_shift == ours.p_next[1 - ours.holder]
            ours = replaced(ours, theirs)
        assert_same([ours], [theirs])


def replaced(ours: Prediction, theirs: Prediction) -> Prediction:
    """Return our prediction with their probabilities of a shift."""
    return msgspec.structs.replace(
        ours, p_next=theirs.p_next, p_shift=theirs.p_shift, p_hold=theirs.p_hold
    )


@pytest.mark.parametrize("rate_hz", [16000, 8000])
@pytest.mark.parametrize("sizes", [[317], [20_000], [5, 0, 1999, 64, 641]], ids=str)
def test_chunk_size_does_not_change_a_bit(
    engine: Engine, model: PauseModel, rate_hz: int, sizes: list[int]
) -> None:
    audio = pausing_call(2.0, rate_hz=rate_hz)
    whole = TurnPredictor(engine, sample_rate_hz=rate_hz, pause_model=model)
    expected = whole.push_audio(audio) + whole.flush()
    chunked = TurnPredictor(engine, sample_rate_hz=rate_hz, pause_model=model)
    assert_same(in_chunks(chunked, audio, sizes), expected)
    plain = TurnPredictor(engine, sample_rate_hz=rate_hz)
    assert [p.p_next for p in plain.push_audio(audio) + plain.flush()] != [
        p.p_next for p in expected
    ]


def test_the_other_way_round_the_speakers_are_the_other_way_round(
    engine: Engine, model: PauseModel
) -> None:
    audio = pausing_call(2.0)
    ours, asked = predict(engine, opened(engine, audio, model), model)
    swapped = np.ascontiguousarray(audio[:, ::-1])
    theirs, also_asked = predict(engine, opened(engine, swapped, model), model)
    assert asked == also_asked
    assert asked
    assert [p.p_next for p in ours] == [p.p_next[::-1] for p in theirs]
    assert [p.p_shift for p in ours] == [p.p_shift for p in theirs]
    assert [p.holder for p in ours] != [p.holder for p in theirs]


# ---- what it hears ----


def test_the_pause_model_hears_the_holder_up_to_the_present_frame(
    engine: Engine, tmp_path: Path
) -> None:
    model = RecordingPauseModel(tiny_pause_model(tmp_path))
    audio = pausing_call(4.0)
    predictions, asked = predict(engine, opened(engine, audio, model), model)
    assert len(model.audios) == len(asked) >= 4
    for heard, frame in zip(model.audios, asked, strict=True):
        holder = predictions[frame].holder
        assert holder is not None
        end = (frame + 1) * FRAME
        expected = to_float32(audio)[max(0, end - SAMPLES) : end, holder]
        np.testing.assert_array_equal(heard, expected)


def test_a_conversation_that_just_began_has_only_its_own_audio(
    engine: Engine, tmp_path: Path
) -> None:
    audio = pausing_call(4.0)
    begun = RecordingPauseModel(tiny_pause_model(tmp_path, samples=10 * 16000))
    predictions, asked = predict(engine, opened(engine, audio, begun), begun)
    assert begun.samples == 10 * 16000 > len(audio)
    for heard, frame in zip(begun.audios, asked, strict=True):
        holder = predictions[frame].holder
        assert holder is not None
        np.testing.assert_array_equal(heard, to_float32(audio)[: (frame + 1) * FRAME, holder])


def test_what_comes_later_changes_nothing(engine: Engine, model: PauseModel) -> None:
    audio = pausing_call(2.0)
    other = audio.copy()
    other[16000:] = pausing_call(2.0, seed=1)[16000:]
    ours, _ = predict(engine, opened(engine, audio, model), model)
    theirs, _ = predict(engine, opened(engine, other, model), model)
    assert_same(ours[:50], theirs[:50])
    assert ours[-1].vad != theirs[-1].vad


# ---- reset, snapshot and restore ----


def test_after_a_reset_it_begins_as_new(engine: Engine, model: PauseModel) -> None:
    audio = pausing_call(2.0)
    expected, asked = predict(engine, opened(engine, audio, model), model)
    session = Session(engine.metadata, buffer_s=3, pause_model=model, policy=None)
    for frames in (asked[0] + 1, asked[0] + 4, len(expected)):  # due, mixed, any
        session.push_audio(to_float32(audio[: frames * FRAME]))
        while session.frames_waiting:
            output, state = engine.step(session.take_frame()[None], session.state[None])
            session.state = state[0]
            session.accept(output)
            if session.pause_due and session.frames_waiting:
                session.answer_pause(model.logit(session.pause_audio()))
        assert session.pause_due == (frames == asked[0] + 1)
        session.reset()
        assert not session.pause_due
    session.push_audio(to_float32(audio))
    predictions, asked_again = predict(engine, session, model)
    assert asked_again == asked
    assert_same(predictions, expected)


def test_restored_equals_uninterrupted(engine: Engine, model: PauseModel) -> None:
    audio = pausing_call(2.0)
    expected, asked = predict(engine, opened(engine, audio, model, "fast"), model)
    due: list[bool] = []

    def moved(session: Session) -> Session:
        if session.frames_done % 5 and not session.pause_due:
            return session
        due.append(session.pause_due)
        restored = Session.restore(session.snapshot(), engine.metadata, model)
        assert restored.snapshot() == session.snapshot()
        return restored

    predictions, asked_again = predict(engine, opened(engine, audio, model, "fast"), model, moved)
    assert asked_again == asked
    assert due.count(True) == len(asked) >= 2
    assert_same(predictions, expected)
    assert [p.events for p in predictions] == [p.events for p in expected]


@pytest.mark.parametrize("lost", ["pause", "past"])
def test_a_lost_pause_would_be_noticed(engine: Engine, model: PauseModel, lost: str) -> None:
    audio = pausing_call(2.0)
    expected, asked = predict(engine, opened(engine, audio, model), model)

    def forgetful(session: Session) -> Session:
        if session.frames_done != asked[0] + (4 if lost == "pause" else -2):
            return session
        snapshot = session.snapshot()
        if lost == "pause":
            forgotten = rewritten(snapshot, pause={"silent_frames": 9, "due": None, "logit": None})
        else:
            forgotten = rewritten(snapshot, {"past": np.zeros((0, 2), np.float32)})
        return Session.restore(forgotten, engine.metadata, model)

    predictions, _ = predict(engine, opened(engine, audio, model), model, forgetful)
    wrong = [abs(a.p_next[0] - b.p_next[0]) for a, b in zip(predictions, expected, strict=True)]
    assert max(wrong) > 1e-3
    assert max(wrong[: asked[0]]) == 0


@pytest.fixture(scope="module")
def snapshot(engine: Engine, model: PauseModel) -> bytes:
    """A snapshot in a pause, with a question."""
    snapshots: list[bytes] = []

    def keep(session: Session) -> Session:
        if session.pause_due:
            snapshots.append(session.snapshot())
        return session

    predict(engine, opened(engine, pausing_call(1.0), model), model, keep)
    return snapshots[0]


def test_a_snapshot_with_a_pause_model_is_not_restored_without(
    engine: Engine, snapshot: bytes
) -> None:
    with pytest.raises(SnapshotError, match="that the conversation had, got none"):
        Session.restore(snapshot, engine.metadata)


def test_a_conversation_without_a_pause_model_stays_without(
    engine: Engine, model: PauseModel
) -> None:
    plain = Session(engine.metadata).snapshot()
    assert not Session.restore(plain, engine.metadata, model).has_pause_model


PAUSE: dict[str, Any] = {"silent_frames": 3, "due": 0, "logit": None}


def test_the_whole_values_that_the_damaged_ones_are_made_of_are_restored(
    engine: Engine, model: PauseModel, snapshot: bytes
) -> None:
    changed = rewritten(snapshot, {"past": np.zeros((SAMPLES, 2), np.float32)}, pause=PAUSE)
    assert Session.restore(changed, engine.metadata, model).pause_due


@pytest.mark.parametrize(
    "pause",
    [
        ...,
        3,
        [],
        {},
        PAUSE | {"due": 2},
        PAUSE | {"due": 1.0},
        PAUSE | {"due": True},
        PAUSE | {"silent_frames": -1},
        PAUSE | {"logit": "high"},
        PAUSE | {"logit": float("nan")},
    ],
    ids=str,
)
def test_a_damaged_pause_is_refused(
    engine: Engine, model: PauseModel, snapshot: bytes, pause: Any
) -> None:
    with pytest.raises(SnapshotError, match="expected a whole snapshot, got a damaged one"):
        Session.restore(rewritten(snapshot, pause=pause), engine.metadata, model)


@pytest.mark.parametrize(
    "past",
    [
        ...,
        np.zeros((10, 3), np.float32),
        np.zeros(10, np.float32),
        np.zeros((SAMPLES + 1, 2), np.float32),
        np.zeros((0, 2), np.float32),  # while the pause model is to be asked
    ],
    ids=lambda past: str(getattr(past, "shape", past)),
)
def test_damaged_audio_for_the_pause_model_is_refused(
    engine: Engine, model: PauseModel, snapshot: bytes, past: Any
) -> None:
    with pytest.raises(SnapshotError, match="expected a whole snapshot, got a damaged one"):
        Session.restore(rewritten(snapshot, {"past": past}), engine.metadata, model)


def test_a_model_of_another_sample_rate_is_refused(model: PauseModel) -> None:
    with pytest.raises(
        ModelError, match="expected a model of 16000 Hz beside the pause model, got one of 8000 Hz"
    ):
        Session(replace(METADATA, sample_rate_hz=8000), pause_model=model)
