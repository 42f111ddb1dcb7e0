"""Voice activity as frames and as segments, and a simple energy detector.

Times are in seconds. Frames are at 50 Hz unless stated otherwise. The energy detector is for clean
close-talking recordings (the simulator's utterances). It also trims the edges that a robust
detector (silero.py) finds in real calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

FRAME_RATE_HZ = 50.0
LEVEL_RATE_HZ = 100.0  # short-time levels are measured every 10 ms
SHORTEST_BURST_S = 0.04  # shorter bursts of energy are no speech
SILENCE_DB = -120.0  # level given to digital silence

Segment = tuple[float, float]  # start and end in seconds
BoolFrames = NDArray[np.bool_]
Samples = NDArray[np.float32]


def bridge_gaps(segments: Iterable[Segment], gap_s: float = 0.2) -> list[Segment]:
    """Sort segments, and merge those that overlap or lie less than `gap_s` apart.

    The default of 0.2 s is the usual limit for inter-pausal units.
    """
    merged: list[Segment] = []
    for start, end in sorted(segments):
        if merged and (start <= merged[-1][1] or start - merged[-1][1] < gap_s - 1e-9):
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def segments_to_frames(
    segments: Sequence[Sequence[Segment]], frames: int, frame_rate_hz: float = FRAME_RATE_HZ
) -> BoolFrames:
    """Activity of each speaker, (C, frames). Edges are rounded to the nearest frame."""
    active = np.zeros((len(segments), frames), bool)
    for row, speaker_segments in zip(active, segments, strict=True):
        for start, end in speaker_segments:
            row[max(0, round(start * frame_rate_hz)) : max(0, round(end * frame_rate_hz))] = True
    return active


def runs(flags: BoolFrames) -> list[tuple[int, int]]:
    """Start (inclusive) and end (exclusive) of every run of True in a (T,) array."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def level_db(audio: Samples, sample_rate_hz: int) -> NDArray[np.float32]:
    """RMS of every 10 ms in dB re full scale, (N,) -> (T,). An incomplete last block is dropped."""
    hop = round(sample_rate_hz / LEVEL_RATE_HZ)
    blocks = audio[: len(audio) // hop * hop].reshape(-1, hop)
    power = np.einsum("th,th->t", blocks, blocks, dtype=np.float64) / hop
    return (10 * np.log10(power + 10 ** (SILENCE_DB / 10))).astype(np.float32)


def speech_threshold_db(
    level: NDArray[np.float32],
    noise_margin_db: float = 8.0,
    below_peak_db: float = 35.0,
    least_contrast_db: float = 18.0,
) -> float:
    """Level in dB above which a clean utterance counts as speech.

    It lies above the noise floor, not too far below the peak level, and never close to it.
    """
    smooth = np.convolve(level, np.full(5, 0.2), mode="valid") if len(level) >= 5 else level
    floor, peak = np.percentile(smooth, 5), np.percentile(level, 95)
    return float(min(max(floor + noise_margin_db, peak - below_peak_db), peak - least_contrast_db))


def energy_segments(
    audio: Samples, sample_rate_hz: int, gap_s: float = 0.12, shortest_s: float = 0.1
) -> list[Segment]:
    """Speech segments of a clean utterance.

    Args:
        audio: samples in [-1, 1], (N,).
        sample_rate_hz: of the audio.
        gap_s: shorter silences count as speech (stop closures last up to about 0.1 s).
        shortest_s: shorter sounds are dropped as clicks or breaths.
    Returns:
        Segments in seconds, in order; empty when there is no speech.
    """
    level = level_db(audio, sample_rate_hz)
    if len(level) == 0 or level.max() < -70:
        return []
    bursts = [
        (a / LEVEL_RATE_HZ, b / LEVEL_RATE_HZ) for a, b in runs(level > speech_threshold_db(level))
    ]
    kept = [
        burst
        for burst in bridge_gaps(bursts, 0.03)
        if burst[1] - burst[0] >= SHORTEST_BURST_S - 1e-9
    ]
    return [
        segment
        for segment in bridge_gaps(kept, gap_s)
        if segment[1] - segment[0] >= shortest_s - 1e-9
    ]
