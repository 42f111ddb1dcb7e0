"""Read the tensors of a model file in CTranslate2's binary format. No torch.

Layout, little-endian: version (uint32); name of the model's kind (string); its revision (uint32);
number of tensors (uint32); each tensor; then aliases, which are not read. A string is its length
with a zero byte (uint16), the characters, and the zero byte. A tensor is its name (string), its
rank (uint8), its dimensions (uint32 each), its type (uint8), its length in bytes (uint32) and its
values.

Source: model_spec.py of CTranslate2 (MIT), binary version 6.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import ConfigError

VERSION = 6
TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)  # by their number in the file


def read_tensors(path: Path, prefix: str) -> dict[str, NDArray[np.float32]]:
    """Return the tensors whose names begin with `prefix`, without it, as float32.

    Raises:
        ConfigError: the file cannot be read, or is no such file.
    """
    found: dict[str, NDArray[np.float32]] = {}
    try:
        with path.open("rb") as file:
            version = _number(file, "I")
            if version != VERSION:
                raise ValueError(f"version {version}")
            _string(file)
            _number(file, "I")
            for _ in range(_number(file, "I")):
                name = _string(file)
                shape = [_number(file, "I") for _ in range(_number(file, "B"))]
                dtype = TYPES[_number(file, "B")]
                values = file.read(_number(file, "I"))
                if name.startswith(prefix):
                    found[name.removeprefix(prefix)] = (
                        np.frombuffer(values, dtype).reshape(shape).astype(np.float32)
                    )
    except (OSError, struct.error, IndexError, ValueError) as error:
        raise ConfigError(
            f"{path}: expected a CTranslate2 model of binary version {VERSION}, got: {error}"
        ) from None
    return found


def _number(file: BinaryIO, kind: str) -> int:
    return struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0]


def _string(file: BinaryIO) -> str:
    return file.read(_number(file, "H"))[:-1].decode()
