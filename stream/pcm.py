"""Samples as bytes and as arrays: decodes and encodes raw audio, and checks audio from outside.

The runtime works on float32 in [-1, 1]. `to_float32` converts every kind of array that a caller may
push. `decode_pcm` and `encode_pcm` convert the raw encodings of the websocket and of pipes.

An encoding has a fixed number of bytes per sample and no state. A codec with packets, such as Opus,
would also need a decoder in every session (service/inbox.py, `_process_audio`).

G.711 mu-law and A-law keep a sign and one of 128 magnitudes of a 16-bit sample. Source: ITU-T
Recommendation G.711, tables 1 and 2, and the reference encoder of G.191, which treats negative
samples as one's complement.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import AudioFormatError

Block = NDArray[np.float32]  # (N, C), nominally in [-1, 1]
Encoding = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
SAMPLE_BYTES: dict[Encoding, int] = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}

# Decoders may produce floats above full scale. Above this level they are unscaled integers.
_MAX_FLOAT_LEVEL = 8.0


def to_float32(samples: ArrayLike, channels: int = 2) -> NDArray[np.float32]:
    """Convert samples to float32 with a fixed number of channels.

    Args:
        samples: int16, float32 or float64, (N,), (N, 1) or (N, C) with C <= channels, any N. int16
            is divided by 32768. Floats are expected in [-1, 1] and are clipped to this range.
        channels: channels of the result. Missing channels are filled with silence; mono becomes
            channel 0, the user.

    Returns:
        A new array, (N, channels) float32 in [-1, 1].

    Raises:
        AudioFormatError: another type or shape, NaN or infinity, or floats far outside [-1, 1].
    """
    given = np.asarray(samples)
    is_int16 = given.dtype.kind == "i" and given.dtype.itemsize == 2
    is_float = given.dtype.kind == "f" and given.dtype.itemsize in {4, 8}
    shaped = given[:, np.newaxis] if given.ndim == 1 else given
    if not (is_int16 or is_float) or shaped.ndim != 2 or not 1 <= shaped.shape[1] <= channels:
        widths = ", ".join(["(N,)", *(f"(N, {width})" for width in range(1, channels + 1))])
        raise AudioFormatError(
            f"expected int16, float32 or float64 samples of shape {widths}, "
            f"got {given.dtype} {given.shape}"
        )
    converted = np.zeros((shaped.shape[0], channels), dtype=np.float32)
    if is_int16:
        converted[:, : shaped.shape[1]] = shaped
        converted *= 1 / 32768  # a power of two: exact
        return converted
    if not shaped.size:
        return converted
    flat = shaped.ravel()
    # On few samples, argmin and argmax take a fifth of the time of min and max. Both find NaN.
    low, high = flat[flat.argmin()], flat[flat.argmax()]
    if not (low >= -_MAX_FLOAT_LEVEL and high <= _MAX_FLOAT_LEVEL):
        raise AudioFormatError(
            f"expected float samples in [-1, 1], got a peak of {np.abs(flat).max():g}; "
            "integer audio must be given as int16"
        )
    within = low >= -1 and high <= 1
    converted[:, : shaped.shape[1]] = shaped if within else shaped.clip(-1, 1)
    return converted


def decode_pcm(encoded: bytes, encoding: Encoding, channels: int) -> Block:
    """Decode interleaved raw audio.

    Returns:
        (N, C) float32. Integers are scaled to [-1, 1). Floats are unchanged; `to_float32` checks
        their range.

    Raises:
        AudioFormatError: the encoding is unknown, or the bytes are not a whole number of samples of
            all channels.
    """
    if encoding not in SAMPLE_BYTES:
        raise AudioFormatError(f"expected an encoding of {', '.join(ENCODINGS)}, got {encoding!r}")
    frame_bytes = SAMPLE_BYTES[encoding] * channels
    if len(encoded) % frame_bytes:
        raise AudioFormatError(
            f"expected whole samples of {frame_bytes} bytes ({encoding}, {channels} channels), "
            f"got {len(encoded)} bytes"
        )
    if encoding == "pcm_s16le":
        samples = np.frombuffer(encoded, dtype="<i2").astype(np.float32) / np.float32(32768)
    elif encoding == "pcm_f32le":
        samples = np.frombuffer(encoded, dtype="<f4").astype(np.float32)
    else:
        samples = _LAWS[encoding].decoded[np.frombuffer(encoded, dtype=np.uint8)]
    return samples.reshape(-1, channels)


def decode_stereo(encoded: bytes, encoding: Encoding, channels: int) -> Block:
    """Decode interleaved raw audio to two channels: `decode_pcm`, then `to_float32`.

    Samples of 16 bits, which are most of what a server gets, are converted in one step.

    Returns:
        (N, 2) float32 in [-1, 1]; with one channel, the other one is silence.
    Raises:
        AudioFormatError: as those two.
    """
    if encoding == "pcm_s16le" and channels == 2 and not len(encoded) % 4:
        samples = np.frombuffer(encoded, dtype="<i2").reshape(-1, 2)
        return np.multiply(samples, np.float32(1 / 32768))  # a power of two: exact
    return to_float32(decode_pcm(encoded, encoding, channels))


def encode_pcm(samples: ArrayLike, encoding: Encoding) -> bytes:
    """Encode audio for the wire; the inverse of `decode_pcm`.

    Args:
        samples: (N, C) float32 in [-1, 1].
        encoding: the encoding of the wire.
    """
    floats = np.asarray(samples, np.float32)
    if encoding == "pcm_f32le":
        return floats.astype("<f4").tobytes()
    integers = np.clip(np.rint(floats * 32768), -32768, 32767).astype("<i2")
    return integers.tobytes() if encoding == "pcm_s16le" else _LAWS[encoding].encode(integers)


class _Law:
    """One companding law of G.711.

    Args:
        edges: the smallest 16-bit magnitude of each of the 128 steps, and the end of the last one,
            (129,). A step is decoded to its middle.
        positive: the bits that are inverted in the code of a positive sample. A negative one has
            the highest bit inverted, too.
    """

    def __init__(self, edges: NDArray[np.signedinteger], positive: int) -> None:
        self._edges, self._positive = edges, positive
        steps = np.arange(256, dtype=np.int32) ^ positive  # of each code; from 128 if negative
        middles = (edges[:-1] + edges[1:]) // 2
        self.decoded = (np.concatenate([middles, -middles])[steps] / 32768).astype(np.float32)

    def encode(self, integers: NDArray[np.int16]) -> bytes:
        """Returns one byte for each sample."""
        negative = integers < 0
        steps = np.searchsorted(
            self._edges[1:-1], np.where(negative, ~integers, integers), side="right"
        )
        return (steps ^ self._positive ^ np.where(negative, 0x80, 0)).astype(np.uint8).tobytes()


_SEGMENTS, _STEPS = np.divmod(np.arange(129, dtype=np.int32), 16)
# Each segment has 16 steps, which are twice as long as those of the segment before.
_RISING = (16 + _STEPS) << (_SEGMENTS + 3)
_LAWS = {
    "mulaw": _Law(_RISING - 132, 0xFF),
    "alaw": _Law(np.where(_SEGMENTS == 0, _STEPS << 4, _RISING), 0xD5),  # segment 0 is linear
}
