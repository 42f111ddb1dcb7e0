"""Shift or hold in parts of the dialogues: one corpus, one call. Shows where a pooled figure comes from.

The AUC is that of a score 250 ms into the silence, pooled over the shifts and holds of the group alone. A
group in which one kind is missing has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .measures import score_binary
from .predictions import EvaluatedDialogue, Setting
from .report import PLOTTED_MS, GroupFigures, read_at
from .shift_hold import find_silences


def measure_groups(
    said_by: Mapping[str, Sequence[EvaluatedDialogue]],
    groups: Sequence[str],
) -> dict[str, GroupFigures]:
    """Figures of every group of dialogues.

    Args:
        said_by: what each system said, by name, of the same dialogues in the same order; "stereo" is
            scored with both channels heard, every other one with the speaker's alone.
        groups: the group of each dialogue, one name for each.
    Returns:
        By group, in the order in which they first occur.
    """
    first = next(iter(said_by.values()))
    silences = find_silences(first)
    dialogue = np.array([silence.dialogue for silence in silences], np.int64)
    shift = np.array([silence.transition.kind == "shift" for silence in silences], bool)
    settings: dict[str, Setting] = {
        name: "stereo" if name == "stereo" else "mono" for name in said_by
    }
    scores = {
        name: read_at(said, silences, settings[name], PLOTTED_MS) for name, said in said_by.items()
    }
    figures: dict[str, GroupFigures] = {}
    for group in dict.fromkeys(groups):
        inside = np.array([name == group for name in groups], bool)
        member = inside[dialogue]
        auc = {
            name: score_binary(row[member], shift[member], dialogue[member]).auc
            for name, row in scores.items()
        }
        figures[group] = GroupFigures(
            int(inside.sum()), int(shift[member].sum()), int((~shift[member]).sum()), auc
        )
    return figures
