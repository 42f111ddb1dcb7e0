"""The bytes of a snapshot: what is written is read again, and everything else is refused."""

from __future__ import annotations

import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.stream.snapshot_format import pack_snapshot, unpack_snapshot

HEADER = {"version": 1, "time_s": 0.1 + 0.2, "floor": {"active": [True, None]}, "text": "\u00e9"}
ARRAYS = {
    "audio": np.arange(6, dtype=np.float32).reshape(3, 2),
    "none": np.zeros((0, 2), np.float32),
    "count": np.array(7, np.int64),
    "view": np.arange(8, dtype=np.float32).reshape(2, 4).T,
}
PACKED = pack_snapshot(HEADER, ARRAYS)


def test_what_is_packed_is_read_again() -> None:
    header, arrays = unpack_snapshot(PACKED)
    assert header == HEADER
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    arrays["audio"][0] = 5.0  # can be written to


@given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(position: int, change: int) -> None:
    damaged = bytearray(PACKED)
    damaged[position] ^= change
    with pytest.raises(ValueError, match="expected the mark of a snapshot"):
        unpack_snapshot(bytes(damaged))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (["float32", [2], b"1234"], r"a: expected float32 values of shape \(2,\), got 4 bytes"),
        (["float32", [-1], b""], "expected a header and arrays: Expected `int` >= 0"),
        (["object", [0], b""], "expected a header and arrays: Invalid enum value 'object'"),
        (["float32", [0]], "expected a header and arrays: Expected `array` of at least length 3"),
    ],
)
def test_an_array_that_cannot_be_is_refused(array: object, reason: str) -> None:
    snapshot = pack_snapshot({}, {})
    content = msgspec.msgpack.encode(({}, {"a": array}))
    whole = snapshot[:4] + zlib.crc32(content).to_bytes(4, "little") + content
    with pytest.raises(ValueError, match=reason):
        unpack_snapshot(whole)


def test_an_array_of_another_type_cannot_be_packed() -> None:
    with pytest.raises(KeyError, match="float64"):
        pack_snapshot({}, {"a": np.zeros(3)})
