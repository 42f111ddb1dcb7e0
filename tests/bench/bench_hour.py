"""An hour of conversation through the predictor: does the cost per frame or the memory grow?

python tests/bench/bench_hour.py [--minutes 60] [--model FILE.onnx]
"""

import argparse
import time
from pathlib import Path

import numpy as np
import psutil

from turnstream import TurnPredictor
from turnstream.stream.bench import sample_audio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--model", type=Path)
    args = parser.parse_args()
    predictor = TurnPredictor(args.model, pause_model=False)
    rate_hz = predictor.engine.metadata.sample_rate_hz
    audio = sample_audio(rate_hz)
    minute = np.resize(audio, (60 * rate_hz, 2))
    taken_us: list[float] = []
    memory_mb: list[float] = []
    for _ in range(args.minutes):
        times: list[float] = []
        for start in range(0, len(minute), rate_hz // 50):
            began = time.perf_counter()
            predictor.push_audio(minute[start : start + rate_hz // 50])
            times.append(time.perf_counter() - began)
        taken_us.append(float(np.median(times) * 1e6))
        memory_mb.append(psutil.Process().memory_info().rss / 1e6)
    fifth = max(1, args.minutes // 5)
    print(
        f"{args.minutes} minutes, {args.minutes * 3000} frames, snapshot "
        f"{len(predictor.snapshot()) / 1024:.1f} KB"
    )
    print(
        f"median per 20 ms push: first fifth {np.median(taken_us[:fifth]):.1f} us, last fifth "
        f"{np.median(taken_us[-fifth:]):.1f} us"
    )
    print(
        f"memory: after the first minute {memory_mb[0]:.1f} MB, after the last "
        f"{memory_mb[-1]:.1f} MB"
    )


if __name__ == "__main__":
    main()
