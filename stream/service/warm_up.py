"""The steps before the first client: they warm up the engine, and tell what a session will cost."""

from __future__ import annotations

import time

import numpy as np

from .batcher import Steps

_STEPS = 5
# Measured cost of a frame with sockets, checks and messages, as a multiple of the step's cost.
_ALL_OF_A_FRAME = 3.0
_PAUSE_SHARE = 0.08  # share of a core that the pause model is expected to use for a session


def session_share(engine: Steps, batch: int, *, pause: bool) -> float:
    """Return an estimate of the share of a core that a live session uses, from steps on silence.

    Args:
        engine: runs the steps.
        batch: frames in a full step.
        pause: whether all sessions use the pause model.
    """
    model = engine.metadata
    audio = np.zeros((batch, 2, model.frame_samples), np.float32)
    state = np.zeros((batch, model.state_size), np.float32)
    seconds: list[float] = []
    for _ in range(_STEPS):
        began_s, began_cpu_s = time.monotonic(), time.thread_time()
        engine.step(audio, state)
        # On a busy machine, a step may be interrupted. A coarse processor clock may show 0.
        cpu_s = time.thread_time() - began_cpu_s
        seconds.append(cpu_s or time.monotonic() - began_s)
    share = _ALL_OF_A_FRAME * min(seconds) / batch * model.frame_rate_hz
    return share + _PAUSE_SHARE if pause else share
