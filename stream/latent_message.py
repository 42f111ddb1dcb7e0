"""The binary messages of the websocket protocol: the latent states after one frame. No I/O.

PROTOCOL.md, section "Latents", is the specification.
"""

from __future__ import annotations

import struct
from typing import Literal, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import ProtocolError

LatentKind = Literal["latent", "latent_speaker"]

# Fields: magic, version, kind, dtype, zero, frame, rows, columns.
_LATENT_HEADER = struct.Struct("<4sBBBBQHH")
_LATENT_MAGIC = b"TSLT"
_LATENT_VERSION = 1  # of this header
_LATENT_KINDS: dict[int, LatentKind] = {1: "latent", 2: "latent_speaker"}
_LATENT_KIND_NUMBERS = {name: number for number, name in _LATENT_KINDS.items()}
_FLOAT32 = 1


class LatentMessage(msgspec.Struct, frozen=True, eq=False):
    """The latent states of both speakers after one frame; `values` is (2, H) float32."""

    frame: int
    kind: LatentKind
    values: NDArray[np.float32]


def latents_to_bytes(message: LatentMessage) -> bytes:
    """Returns the binary message that `parse_latents` reads."""
    rows, columns = message.values.shape
    header = _LATENT_HEADER.pack(
        _LATENT_MAGIC,
        _LATENT_VERSION,
        _LATENT_KIND_NUMBERS[message.kind],
        _FLOAT32,
        0,
        message.frame,
        rows,
        columns,
    )
    return header + message.values.astype("<f4", copy=False).tobytes()


def parse_latents(wire: bytes) -> LatentMessage:
    """Parse one binary message of a server.

    Raises:
        ProtocolError: bad_message; the header is wrong, or the message has fewer or more bytes
            than its header announces.
    """
    if len(wire) < _LATENT_HEADER.size:
        raise ProtocolError(
            "bad_message",
            f"expected a latent header of {_LATENT_HEADER.size} bytes, got {len(wire)} bytes",
        )
    magic, version, kind, dtype, _, frame, rows, columns = cast(
        tuple[bytes, int, int, int, int, int, int, int], _LATENT_HEADER.unpack_from(wire)
    )
    if magic != _LATENT_MAGIC:
        raise ProtocolError(
            "bad_message",
            f"expected a latent header that starts with {_LATENT_MAGIC!r}, got {magic!r}",
        )
    if version != _LATENT_VERSION or kind not in _LATENT_KINDS or dtype != _FLOAT32:
        expected = (
            f"version {_LATENT_VERSION}, kind {' or '.join(map(str, _LATENT_KINDS))}, "
            f"dtype {_FLOAT32}"
        )
        raise ProtocolError(
            "bad_message",
            f"expected latents of {expected}; got version {version}, kind {kind}, dtype {dtype}",
        )
    expected_bytes = _LATENT_HEADER.size + rows * columns * 4
    if len(wire) != expected_bytes:
        raise ProtocolError(
            "bad_message",
            f"expected {expected_bytes} bytes for latents of shape ({rows}, {columns}), "
            f"got {len(wire)}",
        )
    values = (
        np.frombuffer(wire, "<f4", offset=_LATENT_HEADER.size)
        .astype(np.float32)
        .reshape(rows, columns)
    )
    return LatentMessage(frame, _LATENT_KINDS[kind], values)
