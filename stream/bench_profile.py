"""`turnstream bench --profile`: where the time of one frame goes, in the graph and around it.

The whole runtime runs on the bundled call, stage by stage as `TurnPredictor` and the server's
batcher do it, and every stage is timed where it runs, so that each finds the caches as the stages
before it left them. ONNX Runtime's profiler divides the time of the graph among its nodes. It makes
each node slower by about the same amount, which is subtracted: the nodes' times add up to that of
the graph without the profiler.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .audio_check import AudioCheck
from .contract import LABELS
from .engine import Engine
from .floor import FloorTracker
from .onnx_session import open_session
from .pcm import to_float32
from .policy import TurnPolicy
from .resample import StreamingResampler
from .ring import PcmRing
from .session import Session, levels_dbfs

T = TypeVar("T")
GRAPH = "the graph"
LINES = {
    "conversion": "check and convert the samples",
    "audio check": "look for problems of the audio",
    "resampler": "resample from 48 kHz to the model's rate",
    "ring": "queue the samples and cut the frame",
    "level": "measure the level of both channels",
    "batch": "stack frames and states",
    GRAPH: "the engine's step",
    "floor": "who is speaking, who holds the floor",
    "policy": "turn events",
    "prediction": "make the prediction, with floor and policy",
}
INPUT_RATE_HZ = 48000


@dataclass(frozen=True)
class Profile:
    """Times per frame of one conversation, in microseconds.

    Attributes:
        batch: conversations per step.
        stages: name of each stage of the runtime: its median.
        parts: part of the network: the time of its nodes in the graph, and how many they are.
        kinds: operator: the time of its nodes in the graph, and how many they are.
    """

    batch: int
    stages: dict[str, float]
    parts: dict[str, tuple[float, int]]
    kinds: dict[str, tuple[float, int]]


def profile(engine: Engine, audio: NDArray[np.float32], batch: int, steps: int) -> Profile:
    """Profile `steps` steps of `batch` conversations.

    Args:
        engine: the model.
        audio: a call at the model's rate, (N, 2). The conversations start at different places.
        batch, steps: numbers of conversations and of steps.
    """
    stages = _stages(engine, audio, batch, steps)
    parts, kinds = _nodes(engine, audio, batch, steps, stages[GRAPH] * batch)
    return Profile(batch, stages, parts, kinds)


class _Stopwatch:
    """Times calls by the name of their stage, and adds up the calls of one step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def start_step(self) -> None:
        self.steps.append(dict.fromkeys(LINES, 0.0))

    def time(self, stage: str, call: Callable[..., T], *args: Any) -> T:
        start = time.perf_counter()
        result = call(*args)
        self.steps[-1][stage] += time.perf_counter() - start
        return result


def _stages(engine: Engine, audio: NDArray[np.float32], batch: int, steps: int) -> dict[str, float]:
    """Returns the median time of every stage, in microseconds per frame of one conversation."""
    metadata = engine.metadata
    size = metadata.frame_samples
    count = len(audio) // size
    places = [b * count // batch for b in range(batch)]
    sessions = [Session(metadata) for _ in places]
    checks = [AudioCheck(metadata.sample_rate_hz) for _ in places]
    resampler = StreamingResampler(INPUT_RATE_HZ, metadata.sample_rate_hz, channels=2)
    wide = np.zeros((size * INPUT_RATE_HZ // metadata.sample_rate_hz, 2), np.float32)
    floors, policies = [FloorTracker() for _ in places], [TurnPolicy() for _ in places]
    rings = [PcmRing(2, 2 * size) for _ in places]
    frame_s = size / metadata.sample_rate_hz
    watch = _Stopwatch()
    for t in range(steps + steps // 10):
        watch.start_step()
        for b, session in enumerate(sessions):
            place = (places[b] + t) % count * size
            samples = watch.time("conversion", to_float32, audio[place : place + size])
            watch.time("audio check", checks[b].push, samples)
            watch.time("resampler", resampler.push, wide)
            watch.time("ring", rings[b].push, samples)
            watch.time("level", levels_dbfs, watch.time("ring", rings[b].pop, size).T)
            session.push_audio(samples)
        frames = [session.take_frame() for session in sessions]
        x = watch.time("batch", np.stack, frames)
        state = watch.time("batch", np.stack, [session.state for session in sessions])
        output, after = watch.time(GRAPH, engine.step, x, state)
        for b, session in enumerate(sessions):
            session.state = after[b]
            prediction = watch.time("prediction", session.accept, output, b)
            watch.time("floor", floors[b].update, prediction.vad, frame_s, prediction.level_dbfs)
            watch.time("policy", policies[b].update, prediction)
    timed = {
        stage: np.array([step[stage] for step in watch.steps[steps // 10 :]]) * 1e6 / batch
        for stage in LINES
    }
    medians = {stage: float(np.median(taken)) for stage, taken in timed.items()}
    # The audio check works once in half a second, so that a median of steps would hide it.
    halves = np.array_split(timed["audio check"], max(1, steps * size // metadata.sample_rate_hz))
    medians["audio check"] = float(np.median([taken.mean() for taken in halves]))
    return medians


def _nodes(
    engine: Engine, audio: NDArray[np.float32], batch: int, steps: int, step_us: float
) -> tuple[dict[str, tuple[float, int]], dict[str, tuple[float, int]]]:
    """Returns the times of the parts of the network, and of the kinds of operators.

    Args:
        engine, audio, batch, steps: as for `profile`.
        step_us: time of one step without the profiler, to which the nodes' times are to add up.
    """
    size = engine.metadata.frame_samples
    frames = audio[: len(audio) // size * size].reshape(-1, size, 2).transpose(0, 2, 1)
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(engine.path, profile=Path(folder) / "profile")
        state = engine.init_state(batch)
        for t in range(steps):
            x = np.ascontiguousarray(frames[(np.arange(batch) * 37 + t) % len(frames)])
            *_, state = session.run(list(LABELS), {"audio": x, "state": state})
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text())
    times: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = event["name"].removesuffix("_kernel_time"), event["args"]["op_name"]
            times.setdefault(key, []).append(event["dur"])
    means = {key: _trimmed_mean(taken) for key, taken in times.items()}
    added_us = max(0.0, (sum(means.values()) - step_us) / len(means))  # by the profiler, to each
    parts: dict[str, tuple[float, int]] = {}
    kinds: dict[str, tuple[float, int]] = {}
    for (name, kind), mean in means.items():
        # Fused nodes begin with the word "fused".
        part = name.split()[-1].partition("/")[0] if "/" in name else ""
        for groups, group in ((parts, part or "other"), (kinds, kind)):
            total, number = groups.get(group, (0.0, 0))
            groups[group] = (total + max(0.0, mean - added_us) / batch, number + 1)
    return parts, dict(sorted(kinds.items(), key=lambda item: -item[1][0]))


def _trimmed_mean(taken: list[float]) -> float:
    """Returns the mean of the lower three quarters. The profiler counts whole microseconds."""
    return float(np.mean(sorted(taken)[: max(1, len(taken) * 3 // 4)]))


def profile_table(profiles: list[Profile]) -> str:
    """Return the profiles as a table, one column per batch size."""
    lines = [
        "microseconds per stereo frame"
        + "".join(f"{f'batch {found.batch}':>20}" for found in profiles),
        "",
    ]
    for stage, text in LINES.items():
        lines.append(f"{stage:14} {text:48}" + _cells([f.stages[stage] for f in profiles]))
    for title, groups in (
        ("in the graph, by part", [found.parts for found in profiles]),
        ("in the graph, by operator", [found.kinds for found in profiles]),
    ):
        lines += ["", title]
        for name in dict.fromkeys(name for group in groups for name in group):
            values = [group.get(name, (0.0, 0)) for group in groups]
            nodes = f"{values[0][1]} nodes"
            lines.append(f"  {name:28} {nodes:32}" + _cells([value for value, _ in values]))
    return "\n".join(lines)


def _cells(values: list[float]) -> str:
    return "".join(f"{value:>12.1f}" for value in values)
