"""Voice activity projection: classes of the next 2 s, and what is read out of them.

Each speaker's future is four bins, on or off; eight bits make one of 256 classes. Bit i is bin i of the first
speaker, bit 4 + i bin i of the second. Read-outs sum the expected activity of some bins and share it between the
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
UNKNOWN = -1  # label of a frame whose future lies beyond the recording


def class_bits() -> NDArray[np.bool_]:
    """The eight bits of every class, (CLASSES, 2, BINS)."""
    bits = (np.arange(CLASSES)[:, None] >> np.arange(2 * BINS)) & 1
    return bits.reshape(CLASSES, 2, BINS).astype(bool)


def swapped_classes() -> NDArray[np.int64]:
    """For every class, the class in which the speakers have changed places, (CLASSES,)."""
    classes = np.arange(CLASSES)
    return (classes >> BINS) | ((classes & ((1 << BINS) - 1)) << BINS)


def expected_bins() -> NDArray[np.float32]:
    """Class probabilities times one of these = expected bins on: (2, CLASSES, 2), first and second speaker; columns now, future."""
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
    """The class that each frame's future falls into.

    A bin is on when the speaker is active in at least half of its frames. Frame t's future begins at frame t + 1.

    Args:
        activity: (2, T).
    Returns:
        (T,) classes, UNKNOWN where the future ends before the last bin does.
    """
    frames = activity.shape[1]
    edges = [round(edge * frame_rate_hz) for edge in bin_edges_s]
    sums = np.concatenate(
        [np.zeros((2, 1), np.int64), np.cumsum(activity, axis=1)], axis=1
    )  # sums[:, t] = active frames before t
    known = max(0, frames - edges[-1])  # frames t with t + 1 + edges[-1] <= frames
    classes = np.full(frames, UNKNOWN, np.int64)
    classes[:known] = 0
    now = np.arange(known) + 1
    for b, (low, high) in enumerate(zip(edges, edges[1:], strict=False)):
        on = 2 * (sums[:, now + high] - sums[:, now + low]) >= high - low  # (2, known)
        for speaker in (0, 1):
            classes[:known] += on[speaker].astype(np.int64) << (speaker * BINS + b)
    return classes
