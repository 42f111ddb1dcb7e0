"""A session's snapshot: a restored session continues exactly, and damage is refused."""

from __future__ import annotations

import contextlib
import io
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.stream.engine import ModelMetadata
from turnstream.stream.errors import SnapshotError
from turnstream.stream.prediction import TurnEvent
from turnstream.stream.session import Session
from turnstream.stream.snapshot_format import pack_snapshot, unpack_snapshot

from .made_sessions import METADATA, end_of_turn_frame, frames_of, noise, output, sure_end


def lively(rate_hz: int = 8000, policy: str | None = "balanced", buffer_s: float = 1.0) -> Session:
    """Return a busy session: audio waits, the filter is filled, the user is in a turn."""
    session = Session(METADATA, sample_rate_hz=rate_hz, policy=policy, buffer_s=buffer_s)
    session.push_audio(noise(1001))
    session.take_frame()
    for _ in range(10):
        session.accept(output((0.9, 0.1)))
    session.state = noise(3).reshape(6)
    return session


def test_a_restored_session_goes_on_with_the_same_audio_predictions_and_events() -> None:
    session = lively()
    restored = Session.restore(session.snapshot(), METADATA)
    np.testing.assert_array_equal(restored.state, session.state)
    assert (restored.samples_received, restored.frames_done, restored.sample_rate_hz) == (
        1001,
        10,
        8000,
    )
    for one in (session, restored):
        one.push_audio(noise(777, seed=2))
        one.flush()
    np.testing.assert_array_equal(frames_of(restored), frames_of(session))
    kinds: list[str] = []
    for number in range(60):
        step = output((0.9, 0.1) if 20 < number < 40 else (0.1, 0.1), user_next=0.4)
        ours, theirs = session.accept(step), restored.accept(step)
        assert theirs.events == ours.events
        assert (theirs.time_s, theirs.holder, theirs.p_shift) == (
            ours.time_s,
            ours.holder,
            ours.p_shift,
        )
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
    assert (
        Session.restore(lively(policy=None).snapshot(), METADATA).accept(output((0.9, 0.1))).events
        == ()
    )


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


def test_a_snapshot_of_another_model_is_refused() -> None:
    other = ModelMetadata(
        **{name: getattr(METADATA, name) for name in ModelMetadata.__slots__}
        | {"weights_sha256": "b" * 64}
    )
    with pytest.raises(
        SnapshotError,
        match="expected a snapshot of the model bbbbbbbbbbbb, got one of aaaaaaaaaaaa",
    ):
        Session.restore(lively().snapshot(), other)


def rewritten(snapshot: bytes, arrays_too: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """Return a snapshot with fields of its header, or arrays, replaced; `...` removes one."""
    header, arrays = unpack_snapshot(snapshot)
    return pack_snapshot(
        {name: value for name, value in (header | changes).items() if value is not ...},
        {name: array for name, array in (arrays | (arrays_too or {})).items() if array is not ...},
    )


def test_a_snapshot_of_another_version_is_refused_with_both_numbers() -> None:
    with pytest.raises(SnapshotError, match="expected snapshot version 5, got 4"):
        Session.restore(rewritten(lively().snapshot(), snapshot_version=4), METADATA)


FLOOR: dict[str, Any] = {"active": [True, False], "holder": 0, "alone_frames": 1}
TURN: dict[str, Any] = {
    "in_turn": True,
    "speech_start_s": None,
    "last_speech_s": 0.1,
    "eager": False,
    "overlapping": False,
    "backchannel": False,
    "loud_s": 0.1,
    "power": 0.001,
}


def test_the_whole_values_that_the_damaged_ones_are_made_of_are_restored() -> None:
    Session.restore(
        rewritten(lively().snapshot(), floor=FLOOR, policy={"turns": [TURN, TURN]}),
        METADATA,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"floor": ...},
        {"floor": None},
        {"policy": ...},
        {"policy": {"turns": []}},
        {"policy_settings": {"unknown": 1}},
        {"policy_settings": 3},
        {"sample_rate_hz": 5},
        {"frames_done": ...},
        {"buffer_s": "long"},
        {"buffer_s": 0.02},
        {"buffer_s": math.inf},
        {"buffer_s": math.nan},
        {"buffer_s": -1.0},
        {"buffer_s": 1e12},
        {"frames_done": -1},
        {"frames_done": 1.5},
        {"frames_done": True},
        {"samples_received": "1001"},
        {"samples_received": None},
        {"floor": {"active": [True, False], "holder": 2, "alone_frames": 1}},
        {"floor": {"active": [True, False], "holder": True, "alone_frames": 1}},
        {"floor": {"active": [True, False], "holder": [], "alone_frames": 1}},
        {"floor": {"active": ["yes", "no"], "holder": 0, "alone_frames": 1}},
        {"floor": {"active": [True, False], "holder": 0, "alone_frames": None}},
        {"policy": {"turns": [TURN, TURN | {"last_speech_s": "late"}]}},
        {"policy": {"turns": [TURN, TURN | {"speech_start_s": math.nan}]}},
        {"policy": {"turns": [TURN, TURN | {"in_turn": None}]}},
        {"policy": {"turns": [TURN, TURN | {"loud_s": None}]}},
        {"policy": {"turns": [TURN, TURN | {"power": math.inf}]}},
        {"policy": {"turns": [TURN, TURN | {"power": -1.0}]}},
        {"policy": {"turns": [TURN, TURN | {"unknown": 1}]}},
    ],
)
def test_a_damaged_snapshot_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SnapshotError, match="expected a whole snapshot, got a damaged one"):
        Session.restore(rewritten(lively().snapshot(), **changes), METADATA)


def test_a_state_of_another_size_is_refused() -> None:
    session = lively()
    session.state = np.zeros(7, np.float32)
    with pytest.raises(
        SnapshotError, match=r"expected a float32 state of shape \(6,\), got float32 \(7,\)"
    ):
        Session.restore(session.snapshot(), METADATA)


def test_foreign_bytes_are_refused() -> None:
    array, archive = io.BytesIO(), io.BytesIO()
    np.save(array, np.zeros(3))
    np.savez(archive, header=np.array("[1, 2]"))
    whole = lively().snapshot()
    foreign = [
        b"",
        b"x",
        b"PK\x03\x04 and so on",
        bytes(1000),
        b"\x80\x04N.",
        array.getvalue(),
        archive.getvalue(),
        whole[:100],
        whole[:-1],
        whole[50:],
    ]
    for given_bytes in foreign:
        with pytest.raises(SnapshotError, match=f"got {len(given_bytes)} bytes that are not one"):
            Session.restore(given_bytes, METADATA)


@settings(max_examples=60)
@given(st.data())
def test_no_damage_raises_anything_but_a_snapshot_error(drawn: st.DataObject) -> None:
    snapshot = bytearray(lively().snapshot())
    for _ in range(drawn.draw(st.integers(1, 4))):
        snapshot[drawn.draw(st.integers(0, len(snapshot) - 1))] = drawn.draw(st.integers(0, 255))
    with contextlib.suppress(SnapshotError):
        Session.restore(bytes(snapshot), METADATA)
