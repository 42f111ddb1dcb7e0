"""The bytes of a snapshot: a header of plain values, and named arrays.

The bytes are a mark, the CRC-32 of the rest, and the rest as MessagePack. Arrays are stored as
type, shape and little-endian values. Reading never runs code. A server saves every session again
and again, and an .npz archive would take three times as long.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

_MARK = b"TSNP"
_START = len(_MARK) + 4  # of the MessagePack
_DTYPES = {"float32": "<f4", "int64": "<i8"}


class _Array(msgspec.Struct, frozen=True, array_like=True):
    dtype: Literal["float32", "int64"]
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    values: bytes


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    header: dict[str, Any]
    arrays: dict[str, _Array]


def pack_snapshot(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the bytes that `unpack_snapshot` reads.

    Args:
        header: JSON values.
        arrays: float32 or int64, any shape.
    Raises:
        KeyError: an array has another type.
    """
    content = msgspec.msgpack.encode(
        (
            header,
            {
                name: (
                    array.dtype.name,
                    array.shape,
                    array.astype(_DTYPES[array.dtype.name], copy=False).tobytes(),
                )
                for name, array in arrays.items()
            },
        )
    )
    return _MARK + zlib.crc32(content).to_bytes(4, "little") + content


def unpack_snapshot(snapshot: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the header and the arrays of a snapshot. The arrays can be written to.

    Raises:
        ValueError: the bytes are damaged, or were not made by `pack_snapshot`.
    """
    content = snapshot[_START:]
    if snapshot[: len(_MARK)] != _MARK or int.from_bytes(
        snapshot[len(_MARK) : _START], "little"
    ) != zlib.crc32(content):
        raise ValueError("expected the mark of a snapshot, then the checksum of its content")
    try:
        read = msgspec.msgpack.decode(content, type=_Snapshot)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"expected a header and arrays: {error}") from None
    arrays: dict[str, NDArray[Any]] = {}
    for name, array in read.arrays.items():
        dtype = np.dtype(_DTYPES[array.dtype])
        if len(array.values) != math.prod(array.shape) * dtype.itemsize:
            raise ValueError(
                f"{name}: expected {array.dtype} values of shape {tuple(array.shape)}, "
                f"got {len(array.values)} bytes"
            )
        values = np.frombuffer(array.values, dtype).reshape(array.shape)
        arrays[name] = values.astype(array.dtype)
    return read.header, arrays
