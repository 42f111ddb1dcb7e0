"""Voice activity projection: classes of the next 2 s, and the read-outs computed from them.

The future of each speaker is divided into four bins, each on or off. The eight bits of both
speakers form one of 256 classes: bit i is bin i of the first speaker, bit 4 + i is bin i of the
second. A read-out is the expected activity of one speaker in some bins, divided by that of both
speakers.

Source: Ekstedt & Skantze 2022, "Voice Activity Projection" (bins of 0.2, 0.4, 0.6 and 0.8 s).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 4
CLASSES = 4**BINS
NOW_BINS = (0, 1)  # 0-600 ms with the source's bins
FUTURE_BINS = (2, 3)  # 600-2000 ms
UNKNOWN = -1  # label of a frame whose future ends beyond the recording


def class_bits() -> NDArray[np.bool_]:
    """Return the eight bits of every class, (CLASSES, 2, BINS)."""
    bits = (np.arange(CLASSES)[:, None] >> np.arange(2 * BINS)) & 1
    return bits.reshape(CLASSES, 2, BINS).astype(bool)


def swapped_classes() -> NDArray[np.int64]:
    """Return, for every class, the class with the two speakers exchanged, (CLASSES,)."""
    classes = np.arange(CLASSES)
    return (classes >> BINS) | ((classes & ((1 << BINS) - 1)) << BINS)


def expected_bins() -> NDArray[np.float32]:
    """Return matrices that map class probabilities to the expected number of active bins.

    Returns:
        (2, CLASSES, 2): a matrix for the first and one for the second speaker; the columns are
        NOW_BINS and FUTURE_BINS.
    """
    bits = class_bits().astype(np.float32)
    return np.stack(
        [
            np.stack(
                [bits[:, speaker, list(bins)].sum(axis=1) for bins in (NOW_BINS, FUTURE_BINS)],
                axis=1,
            )
            for speaker in (0, 1)
        ]
    )


def projection_classes(
    activity: NDArray[np.bool_], frame_rate_hz: float, bin_edges_s: tuple[float, ...]
) -> NDArray[np.int64]:
    """Return the class of each frame's future.

    A bin is on when the speaker is active in at least half of its frames. The future of frame t
    begins at frame t + 1.

    Args:
        activity: voice activity of both speakers, (2, T).
        frame_rate_hz: of the activity.
        bin_edges_s: edges of the bins, in seconds from the beginning of the future.
    Returns:
        (T,) classes, UNKNOWN where the last bin ends beyond the recording.
    """
    frames = activity.shape[1]
    edges = [round(edge * frame_rate_hz) for edge in bin_edges_s]
    # sums[:, t] = active frames before t
    sums = np.concatenate([np.zeros((2, 1), np.int64), np.cumsum(activity, axis=1)], axis=1)
    known = max(0, frames - edges[-1])  # number of frames t with t + 1 + edges[-1] <= frames
    classes = np.full(frames, UNKNOWN, np.int64)
    classes[:known] = 0
    now = np.arange(known) + 1
    for b, (low, high) in enumerate(zip(edges, edges[1:], strict=False)):
        on = 2 * (sums[:, now + high] - sums[:, now + low]) >= high - low  # (2, known)
        for speaker in (0, 1):
            classes[:known] += on[speaker].astype(np.int64) << (speaker * BINS + b)
    return classes
