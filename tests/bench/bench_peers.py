"""What a second of a stereo call costs: turnstream, Silero VAD, TEN VAD and Smart Turn, in one run.

python tests/bench/bench_peers.py [--rounds 60] [--batch 64] [--picture peers.png]

In every round, all of them process the same second of the bundled call, one after the other, on one
thread. The table holds medians of the processor time over the rounds, and medians of the ratios
within a round.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from peers import RATE_HZ, Peer, peers

from turnstream.stream.bench import sample_audio

WARM_UP_ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="rounds to time (default 60)")
    parser.add_argument("--batch", type=int, default=64, help="conversations a step (default 64)")
    parser.add_argument("--picture", type=Path, help="write a bar chart to this file")
    args = parser.parse_args()
    audio = sample_audio(RATE_HZ)
    found, missing = peers(audio, args.batch)
    times_ms = measure(found, len(audio), args.rounds)
    print(table(found, times_ms))
    for line in missing:
        print(f"missing: {line}")
    if args.picture:
        draw(found, times_ms, args.picture)
        print(f"{args.picture}: the same as a picture")


def measure(found: list[Peer], samples: int, rounds: int) -> np.ndarray:
    """Return the milliseconds for a second of stereo audio, (peers, rounds)."""
    times_ms = np.zeros((len(found), rounds))
    for turn in range(-WARM_UP_ROUNDS, rounds):
        start = turn % (samples // RATE_HZ - 2) * RATE_HZ
        for row, peer in enumerate(found):
            taken_ms = peer.hear(start)
            if turn >= 0:
                times_ms[row, turn] = taken_ms
    return times_ms


def table(found: list[Peer], times_ms: np.ndarray) -> str:
    """Return the table of medians."""
    lines = [f"{'':42} {'ms a second':>12} {'x the first':>12} {'% of a core':>12}  answers"]
    for peer, taken in zip(found, times_ms, strict=True):
        median, ratio = np.median(taken), np.median(taken / times_ms[0])
        lines.append(
            f"{peer.name:42} {median:>12.2f} {ratio:>12.2f} {median / 10:>12.2f}  {peer.answers}"
        )
    return "\n".join(lines)


def draw(found: list[Peer], times_ms: np.ndarray, path: Path) -> None:
    """Draw the medians as bars, the cheapest at the top."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    medians = np.median(times_ms, axis=1)
    order = np.argsort(-medians)
    figure, axes = pyplot.subplots(figsize=(8, 0.5 * len(found) + 1.2), layout="constrained")
    ours = [found[row].name.startswith("turnstream") for row in order]
    bars = axes.barh(
        [f"{found[row].name}\n{found[row].answers}" for row in order],
        medians[order],
        color=["tab:blue" if own else "tab:gray" for own in ours],
    )
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    axes.tick_params(axis="y", labelsize=7)
    axes.margins(x=0.1)
    axes.set_xlabel("milliseconds of one core for a second of both speakers (median)")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
