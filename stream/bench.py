"""`turnstream bench`: measures the time per frame on this machine, next to Silero's VAD.

The engine runs the bundled call on one thread, with several batch sizes. Silero's VAD runs on the
same audio in the same run. Times vary from run to run, so quote medians, or the ratio within one
run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bench_profile import profile, profile_table
from .engine import Engine
from .onnx_session import open_session
from .options import add_model_option
from .pause_model import SAMPLE_RATE_HZ as PAUSE_SAMPLE_RATE_HZ
from .pause_model import PauseModel
from .pcm import to_float32
from .resample import StreamingResampler
from .sources import FileSource, bundled_sample

# In samples at 16 kHz. Silero's input is a window, preceded by the last samples of the one before.
SILERO_WINDOW, SILERO_CONTEXT = 512, 64
START_UPS = 5
MOST_PAUSES = 20  # that the pause model is timed on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream bench`."""
    add_model_option(parser)
    parser.add_argument(
        "--batches",
        type=_at_least_one,
        nargs="+",
        help="batch sizes to measure: conversations per step (default: 1 8 64 256)",
    )
    parser.add_argument(
        "--steps",
        type=_at_least_one,
        default=2000,
        help=(
            "steps to time at batch size 1; a larger batch gets proportionally fewer, "
            "but at least 100 (default: 2000)"
        ),
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="instead, print where the time of a frame goes: each stage of the runtime, each part "
        "and operator of the graph (default batches: 1 64)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the results as JSON, not as a table"
    )


def _at_least_one(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {word!r}")
    return int(word)


def main(args: argparse.Namespace) -> int:
    """Measure, print the results and return the exit code."""
    engine = Engine(args.model)
    metadata = engine.metadata
    audio = sample_audio(metadata.sample_rate_hz)
    if args.profile:
        profiles = [
            profile(engine, audio, batch, max(100, args.steps // batch))
            for batch in args.batches or [1, 64]
        ]
        as_json = json.dumps([asdict(found) for found in profiles], indent=1)
        print(as_json if args.json else profile_table(profiles))
        return 0
    silero = measure_silero(audio, args.steps)  # just before batch 1, with which it is compared
    rows = [
        measure_batch(engine, audio, batch, max(100, args.steps // batch))
        for batch in args.batches or [1, 8, 64, 256]
    ]
    for row in rows:
        row["times_silero"] = (
            row["real_time_factor"] / silero["real_time_factor"] if silero else None
        )
    found: dict[str, Any] = {
        "machine": {
            "processor": _processor(),
            "python": platform.python_version(),
            "onnxruntime": version("onnxruntime"),
            "threads": 1,
        },
        "model": {
            "name": metadata.name,
            "version": metadata.version,
            "precision": metadata.precision,
            "weights_sha256": metadata.weights_sha256,
        },
        "start_up_ms": start_up_ms(engine.path),
        "state_bytes": metadata.state_size * 4,
        "frame_ms": 1000 / metadata.frame_rate_hz,
        "batches": rows,
        "silero": silero,
        "pause_model": measure_pause_model(max(1, min(MOST_PAUSES, args.steps // 100))),
    }
    print(json.dumps(found, indent=1) if args.json else _table(found))
    return 0


def sample_audio(sample_rate_hz: int) -> NDArray[np.float32]:
    """Return the bundled call at the given rate, (N, 2) float32."""
    source = FileSource(bundled_sample())
    resampler = StreamingResampler(source.sample_rate_hz, sample_rate_hz, channels=2)
    audio = np.concatenate([resampler.push(to_float32(block)) for block in source])
    source.close()
    return audio


def measure_batch(
    engine: Engine, audio: NDArray[np.float32], batch: int, steps: int
) -> dict[str, Any]:
    """Time `steps` steps of `batch` conversations, which start at different times of the audio.

    `steps // 10` more steps run first, as a warm-up.

    Returns:
        Median and 99th percentile per step in microseconds, the median per conversation, the
        real-time factor per conversation, and the number of conversations that run in real time.
    """
    size = engine.metadata.frame_samples
    frames = (
        audio[: len(audio) // size * size].reshape(-1, size, 2).transpose(0, 2, 1)
    )  # (T, 2, size)
    places = np.arange(batch) * len(frames) // batch
    state = engine.init_state(batch)
    taken: list[float] = []
    for t in range(steps + steps // 10):
        x = np.ascontiguousarray(frames[(places + t) % len(frames)])
        start = time.perf_counter()
        _, state = engine.step(x, state)
        taken.append(time.perf_counter() - start)
    timed = np.array(taken[steps // 10 :]) * 1e6
    median = float(np.median(timed))
    return {
        "batch": batch,
        "median_us": median,
        "p99_us": float(np.percentile(timed, 99)),
        "median_us_per_stereo_frame": median / batch,
        "real_time_factor": median / batch * engine.metadata.frame_rate_hz / 1e6,
        "real_time_conversations": batch * 1e6 / engine.metadata.frame_rate_hz / median,
    }


def measure_silero(audio: NDArray[np.float32], steps: int) -> dict[str, float] | None:
    """Time `steps` windows of Silero's VAD on the user's channel.

    Silero's VAD takes one channel, so the figures for stereo count every window twice.

    Args:
        audio: (N, 2) float32 at 16 kHz.
        steps: number of windows.
    Returns:
        Medians in microseconds and the real-time factor, or None if silero-vad is not installed.
    """
    found = importlib.util.find_spec("silero_vad")
    if found is None or found.origin is None:
        return None
    session = open_session(Path(found.origin).parent / "data" / "silero_vad.onnx")
    rate = np.array(16000, np.int64)
    state = np.zeros((2, 1, 128), np.float32)
    taken: list[float] = []
    for t in range(steps):
        start_sample = t * SILERO_WINDOW % (len(audio) - SILERO_WINDOW - SILERO_CONTEXT)
        x = np.ascontiguousarray(
            audio[start_sample : start_sample + SILERO_WINDOW + SILERO_CONTEXT, 0]
        )[None]
        start = time.perf_counter()
        _, state = session.run(None, {"input": x, "state": state, "sr": rate})
        taken.append(time.perf_counter() - start)
    median = float(np.median(taken[steps // 10 :]) * 1e6)
    return {
        "median_us_per_mono_window": median,
        "us_per_stereo_20_ms": 2 * median * 320 / SILERO_WINDOW,
        "real_time_factor": 2 * median * 16000 / SILERO_WINDOW / 1e6,
    }


def measure_pause_model(pauses: int) -> dict[str, float]:
    """Time the bundled pause model on stretches of the bundled call.

    Returns:
        The median per answer in milliseconds. A first call, as a warm-up, is not counted.
    """
    model, audio = PauseModel(), sample_audio(PAUSE_SAMPLE_RATE_HZ)
    taken: list[float] = []
    for end in np.linspace(model.samples, len(audio), pauses + 1).astype(int):
        start = time.perf_counter()
        model.logit(np.ascontiguousarray(audio[end - model.samples : end, 0]))
        taken.append(time.perf_counter() - start)
    return {"median_ms_per_answer": float(np.median(taken[1:]) * 1000)}


def start_up_ms(model: Path) -> float:
    """Return the time from the start of Python to the first prediction, the median of START_UPS."""
    code = (
        "import sys, time, numpy, turnstream; "
        "turnstream.TurnPredictor(sys.argv[1]).push_audio(numpy.zeros(640, 'float32')); "
        "print(time.time())"
    )
    taken: list[float] = []
    for _ in range(START_UPS):
        start = time.time()  # of the system: the other process has it, too
        done = subprocess.run(
            [sys.executable, "-c", code, str(model)], check=True, stdout=subprocess.PIPE
        )
        taken.append(float(done.stdout) - start)
    return sorted(taken)[START_UPS // 2] * 1000


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    names = (
        [
            line.partition(":")[2].strip()
            for line in path.read_text().splitlines()
            if line.startswith("model name")
        ]
        if path.exists()
        else []
    )
    return (
        f"{names[0] if names else platform.processor() or platform.machine()}, "
        f"{os.cpu_count()} cores"
    )


def _table(found: dict[str, Any]) -> str:
    machine, model = found["machine"], found["model"]
    lines = [
        f"{machine['processor']}; Python {machine['python']}, "
        f"ONNX Runtime {machine['onnxruntime']}, {machine['threads']} thread",
        f"{model['name']} {model['version']}, {model['precision']} "
        f"({model['weights_sha256'][:12]}); "
        f"state {found['state_bytes'] / 1024:.1f} KB a conversation; "
        f"from start to first prediction {found['start_up_ms']:.0f} ms",
        "",
        f"{'batch':>6} {'median us':>10} {'p99 us':>10} {'us / stereo frame':>18} "
        f"{'real-time factor':>17} {'x Silero':>9} {'conversations':>14}",
    ]
    for row in found["batches"]:
        times = f"{row['times_silero']:.2f}" if row["times_silero"] else "-"
        lines.append(
            f"{row['batch']:>6.0f} {row['median_us']:>10.1f} {row['p99_us']:>10.1f} "
            f"{row['median_us_per_stereo_frame']:>18.1f} "
            f"{row['real_time_factor']:>17.5f} {times:>9} {row['real_time_conversations']:>14.0f}"
        )
    silero = found["silero"]
    if silero is None:
        lines.append(
            "\nno comparison with Silero's VAD; to install it: pip install 'turnstream[bench]'"
        )
    else:
        lines.append(
            "\nSilero's VAD on the same audio: "
            f"{silero['median_us_per_mono_window']:.1f} us a 32 ms window, "
            f"{silero['us_per_stereo_20_ms']:.1f} us for two channels of 20 ms, "
            f"real-time factor {silero['real_time_factor']:.5f}"
        )
    answer_ms = found["pause_model"]["median_ms_per_answer"]
    lines.append(f"the pause model: {answer_ms:.1f} ms an answer")
    return "\n".join(lines)
