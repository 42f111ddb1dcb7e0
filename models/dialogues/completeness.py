"""Scores of turn completeness for the clips of a decoded set, on disk.

A score (0-1) says how complete a turn would sound if it ended at a given sample of a clip. There
are scores for all stop points, the samples where the recorded speaker could stop: the end, inner
pauses, and quiet spots between words. A judge (teachers/judge.py) scores each clip once. The
simulator prefers to end turns where they sound complete, and to pause where they do not. The
network learns to predict the scores.

A folder of scores holds one file per set, named after the set's folder. `turnstream pretrain judge`
writes one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

COMPLETENESS = (
    "completeness"  # name of the folder of scores, in that of `turnstream pretrain judge`
)


def write_completeness(path: Path, rows: Iterable[tuple[int, int, float]]) -> None:
    """Write the scores of a decoded set.

    Args:
        path: .npz file to write.
        rows: (clip, stop point, score): index of the clip in the set, sample in the clip, score in
            0-1.
    """
    listed = list(rows)
    clips, stop_points, values = zip(*listed, strict=True) if listed else ((), (), ())
    unfinished = path.with_name(f"unfinished-{path.name}")
    np.savez_compressed(
        unfinished,
        clip=np.array(clips, np.int32),
        place=np.array(stop_points, np.int32),
        score=np.array(values, np.float32),
    )
    unfinished.replace(path)


def read_completeness(path: Path) -> dict[int, dict[int, float]]:
    """Return the scores of a decoded set by clip and stop point; empty if there is no such file."""
    if not path.is_file():
        return {}
    scores: dict[int, dict[int, float]] = {}
    with np.load(path) as table:
        for clip, stop_point, score in zip(
            table["clip"].tolist(), table["place"].tolist(), table["score"].tolist(), strict=True
        ):
            scores.setdefault(clip, {})[stop_point] = score
    return scores
