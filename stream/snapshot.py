"""The bytes of a snapshot: a header, then arrays of numbers.

    4 bytes   TSSN
    1 byte    SNAPSHOT_VERSION
    4 bytes   CRC-32 of everything after these 4 bytes
    4 bytes   length of the header
    header    `SnapshotHeader` as MessagePack; `shapes` lists the arrays
    arrays    float32, in the order of `shapes`, without gaps

All numbers are little-endian. Nothing is compressed, so a snapshot takes about as much memory as it
has bytes. Every name, type, size and number is checked before it is used. What the values mean is
known to `Session` alone.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from .channel_check import AudioWarning, ChannelSums
from .errors import SnapshotError
from .speech_spectra import StoredCount

SNAPSHOT_VERSION = 5
MAX_BUFFER_S = 60.0  # most audio that may wait in a snapshot
MAX_SNAPSHOT_BYTES = 1 << 26  # above 60 s of stereo at 96 kHz
_MAX_HEADER_BYTES = 1 << 15  # a header has about 6 KB
_MAGIC = b"TSSN"
_START = struct.Struct("<4sBI")
_LITTLE = np.dtype("<f4")

_Length = Annotated[int, Meta(ge=0, le=MAX_SNAPSHOT_BYTES)]
Float32 = NDArray[np.float32]


class SnapshotHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything in a snapshot except for the arrays.

    Attributes:
        shapes: name and shape of each array, in their order.
        weights_sha256: weights of the model.
        sample_rate_hz: rate of the pushed audio.
        samples_received: samples per channel pushed so far.
        frames_done: number of predictions made.
        buffer_s: audio that the session can hold, in seconds.
        resampler_fraction: see `StreamingResampler.snapshot`.
        floor, policy, pause: states of the floor tracker, the policy and the pause tracker, as
            their `to_plain` returns them. Without a policy or a pause model they are None.
        policy_settings: fields of PolicySettings; None without a policy.
        check: sums of the audio check, one for each channel.
        warnings: warnings that nobody has taken yet.
    """

    shapes: dict[str, Annotated[tuple[_Length, ...], Meta(max_length=2)]]
    weights_sha256: str
    sample_rate_hz: int
    samples_received: StoredCount
    frames_done: StoredCount
    buffer_s: Annotated[float, Meta(gt=0, le=MAX_BUFFER_S)]
    resampler_fraction: StoredCount
    floor: dict[str, Any]
    policy: dict[str, Any] | None
    pause: dict[str, Any] | None
    policy_settings: dict[str, Any] | None
    check: tuple[ChannelSums, ChannelSums]
    warnings: list[AudioWarning]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SnapshotHeader)


def pack(header: SnapshotHeader, arrays: dict[str, Float32]) -> bytes:
    """Return the bytes of a snapshot.

    Args:
        header: its `shapes` are those of the arrays.
        arrays: float32 arrays of any shape.
    """
    encoded = _encoder.encode(header)
    parts = [len(encoded).to_bytes(4, "little"), encoded]
    parts += [array.astype(_LITTLE, copy=False).tobytes() for array in arrays.values()]
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return b"".join((_START.pack(_MAGIC, SNAPSHOT_VERSION, checksum), *parts))


def unpack(snapshot: bytes) -> tuple[SnapshotHeader, dict[str, Float32]]:
    """Return the header and the arrays of a snapshot. All numbers in the arrays are finite.

    Raises:
        SnapshotError: the bytes are not a snapshot, have another version, are damaged, or have more
            than MAX_SNAPSHOT_BYTES.
    """
    if len(snapshot) < _START.size + 4 or not snapshot.startswith(_MAGIC):
        raise SnapshotError(
            f"expected a snapshot made by turnstream, got {len(snapshot)} bytes that are not one"
        )
    if len(snapshot) > MAX_SNAPSHOT_BYTES:
        raise SnapshotError(
            f"expected a snapshot of at most {MAX_SNAPSHOT_BYTES} bytes, got {len(snapshot)}"
        )
    _, version, checksum = _START.unpack_from(snapshot)
    if version != SNAPSHOT_VERSION:
        raise SnapshotError(f"expected snapshot version {SNAPSHOT_VERSION}, got {version}")
    if zlib.crc32(memoryview(snapshot)[_START.size :]) != checksum:
        raise damaged("its checksum does not fit its bytes")
    first = _START.size + 4
    start = first + int.from_bytes(snapshot[_START.size : first], "little")
    if start > min(len(snapshot), first + _MAX_HEADER_BYTES):
        raise damaged(f"its header claims {start - first} bytes")
    try:
        header = _decoder.decode(snapshot[first:start])
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise damaged(error) from None
    sizes = [math.prod(shape) for shape in header.shapes.values()]
    if 4 * sum(sizes) != len(snapshot) - start:
        raise damaged(f"{sum(sizes)} numbers promised, {len(snapshot) - start} bytes of them found")
    numbers = np.frombuffer(snapshot, _LITTLE, offset=start).astype(np.float32)
    if not np.isfinite(numbers).all():
        raise damaged("some of its numbers are not finite")
    arrays: dict[str, Float32] = {}
    for (name, shape), size in zip(header.shapes.items(), sizes, strict=True):
        arrays[name], numbers = numbers[:size].reshape(shape), numbers[size:]
    return header, arrays


def damaged(reason: object) -> SnapshotError:
    """Return the error for a snapshot with wrong values."""
    what = f"{type(reason).__name__} {reason}" if isinstance(reason, Exception) else reason
    return SnapshotError(f"expected a whole snapshot, got a damaged one: {what}")
