"""How complete a turn sounds at each place where its recorded speaker could stop: ends, inner pauses, quiet spots between words.

A judge (teachers/judge.py) says so once for every clip of a decoded set. The simulator lets turns end where they sound complete and be held
where they do not, and the network learns to say what the judge said. A folder of scores holds one file a set, named like the set's folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np


def write_finality(path: Path, rows: Iterable[tuple[int, int, float]]) -> None:
    """Keep (clip, place, score) of a decoded set: index of the clip in it, sample of the clip, 0-1."""
    listed = list(rows)
    clips, places, values = zip(*listed, strict=True) if listed else ((), (), ())
    unfinished = path.with_name(f"unfinished-{path.name}")
    np.savez_compressed(
        unfinished,
        clip=np.array(clips, np.int32),
        place=np.array(places, np.int32),
        score=np.array(values, np.float32),
    )
    unfinished.replace(path)


def read_finality(path: Path) -> dict[int, dict[int, float]]:
    """Scores of a decoded set by clip and place; empty when there is no such file."""
    if not path.is_file():
        return {}
    scores: dict[int, dict[int, float]] = {}
    with np.load(path) as table:
        for clip, place, score in zip(
            table["clip"].tolist(), table["place"].tolist(), table["score"].tolist(), strict=True
        ):
            scores.setdefault(clip, {})[place] = score
    return scores
