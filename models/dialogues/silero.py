"""Voice activity of real recordings: Silero VAD's ONNX network, with edges trimmed by energy.

The network file comes from the silero-vad package. The package itself is never imported, because it
needs torch. The network has windows of 32 ms and releases slowly, so its edges lie up to 0.1 s
outside of speech. Turn-taking is measured from these edges; therefore they are trimmed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import DialogueError, MissingExtraError
from ...stream.onnx_session import open_session
from .activity import (
    FRAME_RATE_HZ,
    LEVEL_RATE_HZ,
    BoolFrames,
    Samples,
    Segment,
    bridge_gaps,
    level_db,
    runs,
    segments_to_frames,
)

SAMPLE_RATE_HZ = 16000
WINDOW_SAMPLES = 512
CONTEXT_SAMPLES = 64
STATE_SHAPE = (2, 128)  # without the batch axis, which lies between the two


def is_installed() -> bool:
    """Whether the silero-vad package is installed."""
    return importlib.util.find_spec("silero_vad") is not None


@cache
def _session() -> Any:
    found = importlib.util.find_spec("silero_vad")
    if found is None or found.origin is None:
        raise MissingExtraError("silero-vad", "bench")
    path = Path(found.origin).parent / "data" / "silero_vad.onnx"
    if not path.is_file():
        raise DialogueError(
            f"{path}: expected the network of the silero-vad package, got no such file"
        )
    return open_session(path)


def speech_probability(audio: Samples) -> NDArray[np.float32]:
    """Probability of speech in every window of 32 ms.

    Args:
        audio: samples in [-1, 1], (B, N) at 16 kHz; the rows are independent.
    Returns:
        (B, ceil(N / 512)).
    Raises:
        MissingExtraError: silero-vad is not installed.
        DialogueError: audio is not (B, N), or the package lacks its network.
    """
    if audio.ndim != 2:
        raise DialogueError(f"expected audio (B, N), got shape {audio.shape}")
    session = _session()
    windows = -(-audio.shape[1] // WINDOW_SAMPLES)
    padded = np.pad(
        audio, ((0, 0), (CONTEXT_SAMPLES, windows * WINDOW_SAMPLES - audio.shape[1]))
    ).astype(np.float32)
    state = np.zeros((STATE_SHAPE[0], len(audio), STATE_SHAPE[1]), np.float32)
    rate = np.array(SAMPLE_RATE_HZ, np.int64)
    probability = np.zeros((len(audio), windows), np.float32)
    for i in range(windows):
        start = i * WINDOW_SAMPLES
        window = padded[:, start : start + CONTEXT_SAMPLES + WINDOW_SAMPLES]
        speech, state = (
            np.asarray(output)
            for output in session.run(None, {"input": window, "state": state, "sr": rate})
        )
        probability[:, i] = speech[:, 0]
    return probability


def probability_to_segments(
    probability: NDArray[np.float32],
    start_above: float = 0.5,
    stop_below: float = 0.35,
    shortest_s: float = 0.1,
    gap_s: float = 0.1,
) -> list[Segment]:
    """Convert the probabilities of one channel, (windows,), to segments in seconds.

    Args:
        probability: of speech in each window of 32 ms.
        start_above: a segment starts at this probability.
        stop_below: a segment ends when the probability falls below this.
        shortest_s: shorter segments are dropped.
        gap_s: shorter gaps are bridged.
    """
    window_s = WINDOW_SAMPLES / SAMPLE_RATE_HZ
    possible = [
        (a, b) for a, b in runs(probability >= stop_below) if probability[a:b].max() >= start_above
    ]
    started = [(a + int((probability[a:b] >= start_above).argmax()), b) for a, b in possible]
    merged = bridge_gaps([(a * window_s, b * window_s) for a, b in started], gap_s)
    return [(a, b) for a, b in merged if b - a >= shortest_s]


def trim_by_energy(
    audio: Samples,
    segments: Sequence[Segment],
    noise_margin_db: float = 10.0,
    below_peak_db: float = 35.0,
) -> list[Segment]:
    """Move the start and end of each segment inward, to where the level rises above a threshold.

    The level is the RMS of 10 ms. The threshold is the higher of two: one relative to the noise
    floor, one relative to the peak of the segment.

    Args:
        audio: one channel, (N,) at 16 kHz.
        segments: in seconds.
        noise_margin_db: distance above the noise floor, the 20th percentile of the level outside of
            the segments.
        below_peak_db: distance below the peak level of the segment.
    Returns:
        Segments in seconds. A segment that never rises above the threshold is unchanged.
    """
    level = level_db(audio, SAMPLE_RATE_HZ)
    outside = ~segments_to_frames([segments], len(level), LEVEL_RATE_HZ)[0]
    floor = float(np.percentile(level[outside], 20)) if outside.any() else -np.inf
    trimmed: list[Segment] = []
    for start, end in segments:
        first, last = round(start * LEVEL_RATE_HZ), min(round(end * LEVEL_RATE_HZ), len(level))
        inside = level[first:last]
        if len(inside) == 0:
            continue
        loud = np.flatnonzero(
            inside > max(floor + noise_margin_db, float(inside.max()) - below_peak_db)
        )
        trimmed.append(
            ((first + loud[0]) / LEVEL_RATE_HZ, (first + loud[-1] + 1) / LEVEL_RATE_HZ)
            if len(loud)
            else (start, end)
        )
    return trimmed


def detect_activity(audio: Samples, gap_s: float = 0.2) -> BoolFrames:
    """Detect who speaks when in a real recording.

    Args:
        audio: (C, N) in [-1, 1], 16 kHz, one speaker per channel.
        gap_s: shorter silences of one speaker are bridged.
    Returns:
        (C, ceil(N / 320)) bool at 50 Hz.
    Raises:
        MissingExtraError: silero-vad is not installed.
    """
    probability = speech_probability(audio)
    frames = -(-audio.shape[1] * round(FRAME_RATE_HZ) // SAMPLE_RATE_HZ)
    speakers = [
        bridge_gaps(trim_by_energy(row, probability_to_segments(p)), gap_s)
        for row, p in zip(audio, probability, strict=True)
    ]
    return segments_to_frames(speakers, frames)
