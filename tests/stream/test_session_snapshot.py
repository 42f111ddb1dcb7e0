"""A session's snapshot: a restored session continues exactly where the session was."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from turnstream.stream.prediction import TurnEvent
from turnstream.stream.session import Session
from turnstream.stream.snapshot import SnapshotHeader, unpack

from .made_sessions import (
    METADATA,
    end_of_turn_frame,
    frames_of,
    lively,
    noise,
    output,
    sure_end,
)


def test_a_restored_session_goes_on_with_the_same_audio_predictions_and_events() -> None:
    session = lively()
    restored = Session.restore(session.snapshot(), METADATA)
    np.testing.assert_array_equal(restored.state, session.state)
    assert (restored.samples_received, restored.frames_done) == (1001, 10)
    assert restored.sample_rate_hz == 8000
    for one in (session, restored):
        one.push_audio(noise(777, seed=2))
        one.flush()
    np.testing.assert_array_equal(frames_of(restored), frames_of(session))
    kinds: list[str] = []
    for number in range(60):
        step = output((0.9, 0.1) if 20 < number < 40 else (0.1, 0.1), user_next=0.4)
        ours, theirs = session.accept(step), restored.accept(step)
        assert theirs.events == ours.events
        for name in ("time_s", "holder", "p_shift"):
            assert getattr(theirs, name) == getattr(ours, name)
        kinds += [event.type for event in ours.events]
    assert kinds[0] == "eager_end_of_turn"  # of the turn that began before the snapshot


def test_the_usual_levels_of_the_speakers_are_carried_over() -> None:
    def heard(
        session: Session, gain: float, vad: tuple[float, float], frames: int
    ) -> list[TurnEvent]:
        session.push_audio(gain * noise(320 * frames))
        return [
            event
            for _ in range(frames)
            for event in (session.take_frame(), session.accept(output(vad, user_next=0.0)))[
                1
            ].events
        ]

    session = Session(METADATA)
    heard(session, 1.0, (0.9, 0.1), 40)
    heard(session, 1.0, (0.1, 0.1), 10)
    for restored in (session, Session.restore(session.snapshot(), METADATA)):
        assert [event.type for event in heard(restored, 10**-1.5, (0.1, 0.1), 20)] == [
            "end_of_turn"
        ]
        assert heard(restored, 10**-1.5, (0.9, 0.1), 20) == []  # 30 dB below the turn before


def test_a_snapshot_of_a_restored_session_is_the_same_snapshot() -> None:
    snapshot = lively().snapshot()
    assert Session.restore(snapshot, METADATA).snapshot() == snapshot


def test_a_snapshot_changes_nothing() -> None:
    session = lively()
    assert session.snapshot() == session.snapshot()


def test_a_session_without_a_policy_is_restored_without() -> None:
    restored = Session.restore(lively(policy=None).snapshot(), METADATA)
    assert restored.accept(output((0.9, 0.1))).events == ()


def test_policy_settings_are_carried_over() -> None:
    session = Session(METADATA, policy="fast")
    session.configure("patient")
    assert end_of_turn_frame(Session.restore(session.snapshot(), METADATA)) == sure_end("patient")


@pytest.mark.parametrize("buffer_s", [0.1, 1.0, 7.3])
def test_all_audio_that_waits_is_carried_over(buffer_s: float) -> None:
    session = Session(METADATA, sample_rate_hz=48000, buffer_s=buffer_s)
    session.push_audio(noise(session.free_samples))
    restored = Session.restore(session.snapshot(), METADATA)
    assert restored.frames_waiting == session.frames_waiting
    assert restored.free_samples == session.free_samples


def test_a_header_has_far_fewer_bytes_than_the_most_that_is_read() -> None:
    session = Session(METADATA)
    session.push_audio(noise(8000))
    header: SnapshotHeader = unpack(session.snapshot())[0]
    assert len(msgspec.msgpack.encode(header)) < 1 << 13
