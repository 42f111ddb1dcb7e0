"""Fixtures: the bundled model, and the call that comes with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from turnstream import Engine
from turnstream.stream.sources import bundled_sample

from .offline import RATE_HZ


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def call() -> NDArray[np.int16]:
    """The bundled call: caller and agent, (N, 2)."""
    samples: NDArray[Any] = soundfile.read(bundled_sample(), dtype="int16")[0]
    return samples


@pytest.fixture(scope="module")
def user(call: NDArray[np.int16]) -> NDArray[np.int16]:
    """Eleven seconds of the caller, (N,), with three turns."""
    return np.ascontiguousarray(call[round(8.5 * RATE_HZ) : round(19.5 * RATE_HZ), 0])
