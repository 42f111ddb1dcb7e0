"""How fast `turnstream predict` is on a long recording, and where the time goes.

    python tests/bench/bench_predict.py [--minutes 10]

The bundled call is repeated. Times are processor seconds of this process, so other work on the
machine disturbs them less; ONNX Runtime uses one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import soundfile

from turnstream.cli import main
from turnstream.stream.audio_check import AudioCheck
from turnstream.stream.engine import Engine
from turnstream.stream.pause_model import PauseModel
from turnstream.stream.resample import StreamingResampler
from turnstream.stream.row_file import RowFile
from turnstream.stream.session import Session
from turnstream.stream.sources import bundled_sample

# Innermost first: the time of a part does not count again in the one that calls it.
PARTS: dict[str, tuple[type, str]] = {
    "network": (Engine, "step"),
    "pause model": (PauseModel, "logit"),
    "prediction, policy": (Session, "accept"),
    "resampling": (StreamingResampler, "push"),
    "audio check": (AudioCheck, "push"),
    "writing": (RowFile, "write"),
}


def timed(function: Callable[..., Any], name: str, spent: Counter[str]) -> Callable[..., Any]:
    def run(*args: Any, **words: Any) -> Any:
        start = time.process_time()
        try:
            return function(*args, **words)
        finally:
            spent[name] += time.process_time() - start  # type: ignore[assignment]

    return run


def measure(path: Path, *options: str, parts: bool) -> tuple[float, Counter[str]]:
    """Return the processor seconds of a run, and those of its parts if they are measured."""
    spent: Counter[str] = Counter()
    patches = [
        patch.object(owner, name, timed(getattr(owner, name), part, spent))
        for part, (owner, name) in PARTS.items()
        if parts
    ]
    for one in patches:
        one.start()
    start = time.process_time()
    code = main(["predict", str(path), "--out", str(path.with_suffix(".csv")), *options])
    total = time.process_time() - start
    for one in patches:
        one.stop()
    assert code == 0
    return total, spent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes: float = parser.parse_args().minutes
    call, rate_hz = soundfile.read(bundled_sample())
    times = max(1, round(minutes * 60 * rate_hz / len(call)))
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "long.flac"
        soundfile.write(recording, np.tile(call, (times, 1)), rate_hz)
        length_s = times * len(call) / rate_hz
        for option in ("--no-pause-model", "--pause-model"):
            total, _ = measure(recording, option, parts=False)
            timed_total, spent = measure(recording, option, parts=True)
            print(f"{option}: {length_s / total:.0f} times real time")
            spent["the rest"] = timed_total - sum(spent.values())  # type: ignore[assignment]
            for part, seconds in spent.most_common():
                print(f"  {seconds / timed_total:5.1%}  {part}")
