"""What long work has of each dialogue so far, kept beside its result, so that it can resume."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


class Parts:
    """Arrays of each dialogue in a folder (None keeps nothing), made if need be.

    They are made anew where they depended on another key: JSON and arrays.
    """

    def __init__(self, folder: Path | None, *key: Any) -> None:
        self._folder = folder
        self._key = json.dumps(key, default=lambda one: hashlib.sha256(one.tobytes()).hexdigest())
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def of(self, number: int, make: Callable[[], Mapping[str, NDArray[Any]]]) -> Arrays:
        """The arrays of a dialogue, made only if they are not there."""
        if self._folder is None:
            return dict(make())
        path = self._folder / f"{number:05d}.npz"
        if path.is_file():
            with np.load(path) as there:
                if str(there["key"]) == self._key:
                    return {name: there[name] for name in there.files if name != "key"}
        made = dict(make())
        unfinished = path.with_suffix(".part.npz")
        arrays: dict[str, Any] = {**made, "key": np.array(self._key)}
        np.savez(unfinished, **arrays)
        unfinished.replace(path)
        return made

    def remove(self) -> None:
        """The work is done: its result is written."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def parts_beside(path: Path | None) -> Path | None:
    """Where the parts of a result lie."""
    return None if path is None else path.with_name(path.name + ".parts")
