"""A random, very small Whisper in CTranslate2's binary format."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANNELS, WIDE, LAYERS, MEL_BINS = 128, 192, 2, 80
POSITIONS = 450  # more than the 400 frames of 8 s
TYPE_NUMBERS = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}

Tensors = Mapping[str, NDArray[Any]]


def model_bytes(
    tensors: Tensors, *, version: int = 6, type_numbers: Mapping[str, int] = TYPE_NUMBERS
) -> bytes:
    """Return a model file: its tensors, then an alias of the first one."""
    written = [struct.pack("<I", version), _string("WhisperSpec"), struct.pack("<I", 3)]
    written.append(struct.pack("<I", len(tensors)))
    for name, values in tensors.items():
        written += [
            _string(name),
            struct.pack("<B", values.ndim),
            struct.pack(f"<{values.ndim}I", *values.shape),
            struct.pack("<BI", type_numbers[values.dtype.name], values.nbytes),
            values.tobytes(),
        ]
    written += [struct.pack("<I", 1), _string("another_name"), _string(next(iter(tensors)))]
    return b"".join(written)


def _string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def tiny_tensors(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of the encoder, named as in a file but without `encoder/`."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    def layer(name: str, *shape: int) -> dict[str, NDArray[np.float32]]:
        inputs = int(np.prod(shape[1:]))
        return {
            f"{name}/weight": draw(*shape, scale=inputs**-0.5),
            f"{name}/bias": draw(shape[0], scale=0.2),
        }

    def norm(name: str) -> dict[str, NDArray[np.float32]]:
        return {
            f"{name}/gamma": 1 + draw(CHANNELS, scale=0.2),
            f"{name}/beta": draw(CHANNELS, scale=0.2),
        }

    tensors = {
        **layer("conv1", CHANNELS, MEL_BINS, 3),
        **layer("conv2", CHANNELS, CHANNELS, 3),
        "position_encodings/encodings": draw(POSITIONS, CHANNELS, scale=0.5),
        **norm("layer_norm"),
    }
    for number in range(LAYERS):
        attention, frames = f"layer_{number}/self_attention", f"layer_{number}/ffn"
        tensors |= {
            **norm(f"{attention}/layer_norm"),
            **layer(f"{attention}/linear_0", 3 * CHANNELS, CHANNELS),
            **layer(f"{attention}/linear_1", CHANNELS, CHANNELS),
            **norm(f"{frames}/layer_norm"),
            **layer(f"{frames}/linear_0", WIDE, CHANNELS),
            **layer(f"{frames}/linear_1", CHANNELS, WIDE),
        }
    return tensors


def write_tiny_whisper(folder: Path, tensors: Tensors | None = None) -> Path:
    """Write a folder with the encoder and something of a decoder; return the folder."""
    encoder = tiny_tensors() if tensors is None else tensors
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.bin").write_bytes(
        model_bytes(
            {"decoder/embeddings/weight": np.ones((3, 2), np.float16)}
            | {f"encoder/{name}": values for name, values in encoder.items()}
        )
    )
    return folder
