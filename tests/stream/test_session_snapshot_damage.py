"""A damaged or hostile snapshot is refused, and nothing but a SnapshotError is raised."""

from __future__ import annotations

import contextlib
import io
import math
import resource
import zipfile
import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.stream.engine import ModelMetadata
from turnstream.stream.errors import SnapshotError
from turnstream.stream.session import Session
from turnstream.stream.snapshot import unpack

from .made_sessions import METADATA, frames_of, lively, noise, output, rewritten


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


def summed(snapshot: bytes | bytearray) -> bytes:
    """Return the bytes with the checksum that fits the rest."""
    return snapshot[:5] + zlib.crc32(snapshot[9:]).to_bytes(4, "little") + snapshot[9:]


def test_a_snapshot_of_another_version_is_refused_with_both_numbers() -> None:
    with pytest.raises(SnapshotError, match="expected snapshot version 5, got 6"):
        Session.restore(b"TSSN\x06" + lively().snapshot()[5:], METADATA)


FLOOR: dict[str, Any] = {"active": [True, False], "holder": 0, "alone_frames": 1}
TURN: dict[str, Any] = {
    "in_turn": True,
    "speech_start_s": None,
    "last_speech_s": 0.1,
    "eager": False,
    "overlapping": False,
    "backchannel": False,
    "loud_s": 0.1,
    "earlier_s": 0.0,
    "power": 0.001,
    "ended": 0,
}
POLICY: dict[str, Any] = {"turns": [TURN, TURN], "time_s": 0.1, "p_next": [0.5, 0.5]}


def test_the_whole_values_that_the_damaged_ones_are_made_of_are_restored() -> None:
    Session.restore(rewritten(lively().snapshot(), floor=FLOOR, policy=POLICY), METADATA)


@pytest.mark.parametrize(
    "changes",
    [
        {"floor": ...},
        {"floor": None},
        {"policy": ...},
        {"policy": POLICY | {"turns": []}},
        {"policy_settings": {"unknown": 1}},
        {"policy_settings": 3},
        {"sample_rate_hz": 5},
        {"frames_done": ...},
        {"buffer_s": "long"},
        {"buffer_s": 0.02},
        {"buffer_s": math.inf},
        {"buffer_s": math.nan},
        {"buffer_s": 60.1},
        {"buffer_s": -1.0},
        {"buffer_s": 1e12},
        {"frames_done": -1},
        {"frames_done": 1.5},
        {"frames_done": True},
        {"frames_done": 1 << 60},
        {"samples_received": 1 << 60},
        {"unknown": 1},
        {"weights_sha256": 3},
        {"resampler_fraction": 2},
        {"resampler_fraction": -1},
        {"warnings": [{"code": "other"}]},
        {"check": []},
        {"shapes": {}},
        {"shapes": {"state": (6,)}},
        {"shapes": {"state": (0, 1 << 62)}},
        {"shapes": {"state": (1,) * 70}},
        {"floor": [[[[]]]]},
        {"samples_received": "1001"},
        {"samples_received": None},
        {"floor": {"active": [True, False], "holder": 2, "alone_frames": 1}},
        {"floor": {"active": [True, False], "holder": True, "alone_frames": 1}},
        {"floor": {"active": [True, False], "holder": [], "alone_frames": 1}},
        {"floor": {"active": ["yes", "no"], "holder": 0, "alone_frames": 1}},
        {"floor": {"active": [True, False], "holder": 0, "alone_frames": None}},
        {"policy": POLICY | {"turns": [TURN, TURN | {"last_speech_s": "late"}]}},
        {"policy": POLICY | {"turns": [TURN, TURN | {"speech_start_s": math.nan}]}},
        {"policy": POLICY | {"turns": [TURN, TURN | {"in_turn": None}]}},
        {"policy": POLICY | {"turns": [TURN, TURN | {"loud_s": None}]}},
        {"policy": POLICY | {"turns": [TURN, TURN | {"power": math.inf}]}},
        {"policy": POLICY | {"turns": [TURN, TURN | {"power": -1.0}]}},
        {"policy": POLICY | {"turns": [TURN, TURN | {"unknown": 1}]}},
        {"policy": POLICY | {"turns": [TURN, TURN | {"ended": -1}]}},
        {"policy": POLICY | {"turns": [TURN, TURN | {"ended": 0.5}]}},
        {"policy": POLICY | {"time_s": math.nan}},
        {"policy": POLICY | {"p_next": [0.5]}},
    ],
)
def test_a_damaged_snapshot_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(SnapshotError, match="expected a whole snapshot, got a damaged one"):
        Session.restore(rewritten(lively().snapshot(), **changes), METADATA)


@pytest.mark.parametrize(
    ("sums", "spectra"),
    [
        ({"noise_db": math.nan}, {}),
        ({"zero_s": -1.0}, {}),
        ({"mean_sum": math.inf}, {}),
        ({"windows": 1 << 60}, {}),
        ({"reported": ["unknown"]}, {}),
        ({"spectra": None}, {}),
        ({}, {"low_power": 0.0}),
        ({}, {"fast_power": math.nan}),
        ({}, {"pitch_counts": [0.0]}),
        ({}, {"loudness": [0.0] * 7}),
        ({}, {"loudness": [0.0] * 240}),
        ({}, {"loudness": [math.nan] * 48}),
    ],
)
def test_damaged_sums_of_the_audio_check_are_refused(
    sums: dict[str, Any], spectra: dict[str, Any]
) -> None:
    snapshot = lively().snapshot()
    first, second = msgspec.to_builtins(unpack(snapshot)[0].check)
    damaged = first | {"spectra": first["spectra"] | spectra} | sums
    with pytest.raises(SnapshotError, match="expected a whole snapshot, got a damaged one"):
        Session.restore(rewritten(snapshot, check=[damaged, second]), METADATA)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"state": np.zeros(7)}, r"expected a float32 state of shape \(6,\), got \(7,\)"),
        ({"state": np.zeros((2, 3))}, r"expected a float32 state of shape \(6,\), got \(2, 3\)"),
        ({"state": np.full(6, np.nan)}, "some of its numbers are not finite"),
        ({"state": np.full(6, np.inf)}, "some of its numbers are not finite"),
        ({"audio": np.full((320, 2), np.nan)}, "some of its numbers are not finite"),
        ({"audio": np.full((320, 2), 1e9)}, r"expected audio in \[-1, 1\] or near it"),
        ({"audio": np.zeros((320, 3))}, r"shape \(N, 2\)"),
        ({"audio": np.zeros((99999, 2))}, "got 99999"),
        ({"audio": ...}, "expected the arrays of a session, got state, resampler, unchecked"),
        ({"more": np.zeros(1)}, "expected the arrays of a session"),
        ({"past": np.zeros((1, 2))}, "expected the arrays of a session"),
        ({"resampler": np.zeros((2, 64))}, r"\(2, up to 63\)"),
        ({"resampler": np.zeros(2)}, r"\(2, up to 63\)"),
        ({"unchecked": np.zeros((2, 4096))}, r"shape \(2, at most 4095\) for the audio check"),
        ({"unchecked": np.zeros((1, 9))}, r"shape \(2, at most 4095\) for the audio check"),
    ],
)
def test_arrays_that_do_not_fit_the_model_are_refused(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        Session.restore(rewritten(lively().snapshot(), arrays), METADATA)


def test_foreign_bytes_are_refused() -> None:
    array, archive = io.BytesIO(), io.BytesIO()
    np.save(array, np.zeros(3))
    np.savez(archive, header=np.array("[1, 2]"))
    foreign = [
        b"",
        b"x",
        b"TSSN",
        b"PK\x03\x04 and so on",
        bytes(1000),
        b"\x80\x04N.",
        array.getvalue(),
        archive.getvalue(),
        lively().snapshot()[50:],
    ]
    for given_bytes in foreign:
        with pytest.raises(SnapshotError, match=f"got {len(given_bytes)} bytes that are not one"):
            Session.restore(given_bytes, METADATA)


def test_a_snapshot_that_was_cut_or_changed_is_refused_by_its_checksum() -> None:
    whole = lively().snapshot()
    for cut in (whole[:100], whole[:-1], whole + b"x", whole[:-1] + b"x"):
        with pytest.raises(SnapshotError, match="its checksum does not fit its bytes"):
            Session.restore(cut, METADATA)
    for cut in (whole[:100], whole[:-4], whole + b"1234", whole + b"x"):
        with pytest.raises(SnapshotError, match="expected a whole snapshot"):
            Session.restore(summed(cut), METADATA)


def test_a_longer_header_than_the_bytes_is_refused() -> None:
    whole = lively().snapshot()
    for claimed in (len(whole), 1 << 31):
        changed = summed(whole[:9] + claimed.to_bytes(4, "little") + whole[13:])
        with pytest.raises(SnapshotError, match=f"its header claims {claimed} bytes"):
            Session.restore(changed, METADATA)


def test_hostile_bytes_take_little_memory() -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("s", "w") as one:
        for _ in range(256):
            one.write(bytes(1 << 20))
    empty_lists = b"\x90" * (1 << 25)  # each would take 56 bytes
    nested = b"\x91" * 20000
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for header in (empty_lists, nested):
        body = b"TSSN\x05----" + len(header).to_bytes(4, "little") + header
        with pytest.raises(SnapshotError, match="expected a whole snapshot"):
            Session.restore(summed(body), METADATA)
    with pytest.raises(SnapshotError, match="bytes that are not one"):
        Session.restore(bomb.getvalue(), METADATA)
    with pytest.raises(SnapshotError, match="at most 67108864 bytes, got 67108865"):
        Session.restore(b"TSSN".ljust((1 << 26) + 1), METADATA)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 300_000


def restored_or_refused(snapshot: bytes) -> None:
    """Restore a snapshot; if it can be restored, it can be continued and stored again."""
    with contextlib.suppress(SnapshotError):
        session = Session.restore(snapshot, METADATA)
        session.push_audio(noise(min(20000, session.free_samples)))
        session.flush()
        for _ in frames_of(session):
            session.accept(output((0.9, 0.1)))
        Session.restore(session.snapshot(), METADATA)


@settings(max_examples=300)
@given(st.data())
def test_no_damage_raises_anything_but_a_snapshot_error(drawn: st.DataObject) -> None:
    snapshot = bytearray(lively().snapshot())
    end = drawn.draw(st.sampled_from((20, 1000, len(snapshot))))  # often in the header
    for _ in range(drawn.draw(st.integers(1, 4))):
        snapshot[drawn.draw(st.integers(0, end - 1))] = drawn.draw(st.integers(0, 255))
    if drawn.draw(st.booleans()):
        del snapshot[drawn.draw(st.integers(0, len(snapshot))) :]
    with contextlib.suppress(SnapshotError):
        Session.restore(bytes(snapshot), METADATA)
    restored_or_refused(summed(bytes(snapshot)))


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=9), children, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.data())
def test_no_value_of_a_header_raises_anything_but_a_snapshot_error(drawn: st.DataObject) -> None:
    snapshot = lively().snapshot()
    fields: dict[str, Any] = msgspec.to_builtins(unpack(snapshot)[0])
    place: Any = fields
    while True:  # replace one value, at any depth
        key = drawn.draw(st.sampled_from(list(place) if isinstance(place, dict) else [0, -1]))
        if not isinstance(place[key], dict | list) or not place[key] or drawn.draw(st.booleans()):
            break
        place = place[key]
    place[key] = drawn.draw(PLAIN)
    restored_or_refused(rewritten(snapshot, **fields))
