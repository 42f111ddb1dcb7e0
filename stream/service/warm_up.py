"""The steps before the first client: they warm up the engine, and tell what a session will cost."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ..session import Session
from .batcher import Steps

_REPETITIONS = 5
_FRAMES = 20  # of a session, in one repetition
# Measured cost of a frame without its row of a step (sockets, messages, cold caches), as a multiple
# of what its session costs alone. The rows of the float model and of int8 cost differently much.
_AROUND_A_ROW = 6.0
_PAUSE_SHARE = 0.25  # share of a core that the pause model is expected to use for a session


def session_share(engine: Steps, batch: int, *, pause: bool) -> float:
    """Return an estimate of the share of a core that a live session uses, from silence.

    Args:
        engine: runs the steps.
        batch: frames in a full step.
        pause: whether all sessions use the pause model.
    """
    model = engine.metadata
    audio = np.zeros((batch, 2, model.frame_samples), np.float32)
    state = np.zeros((batch, model.state_size), np.float32)
    row_s = _cost_s(lambda: engine.step(audio, state)) / batch
    output, _ = engine.step(audio, state)
    session = Session(model, sample_rate_hz=model.sample_rate_hz)
    frame = np.zeros((model.frame_samples, 2), np.float32)

    def process() -> None:
        for _ in range(_FRAMES):
            session.push_audio(frame)
            session.take_frame()
            session.accept(output)

    share = (row_s + _AROUND_A_ROW * _cost_s(process) / _FRAMES) * model.frame_rate_hz
    return share + _PAUSE_SHARE if pause else share


def _cost_s(call: Callable[[], object]) -> float:
    """Return the least processor time of some calls: a busy machine may interrupt one."""
    seconds: list[float] = []
    for _ in range(_REPETITIONS):
        began_s, began_cpu_s = time.monotonic(), time.thread_time()
        call()
        cpu_s = time.thread_time() - began_cpu_s
        seconds.append(cpu_s or time.monotonic() - began_s)  # a coarse clock may show 0
    return min(seconds)
