"""Measure shift or hold in groups of dialogues, such as one corpus or one call.

The groups show where a pooled figure comes from. The AUC is that of a score 250 ms into the
silence, over the shifts and holds of the group alone. It is NaN for a group that lacks shifts or
holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .measures import score_binary
from .predictions import EvaluatedDialogue, setting_of
from .report import GroupFigures
from .shift_hold import find_silences, read_at


def measure_groups(
    by_system: Mapping[str, Sequence[EvaluatedDialogue]],
    groups: Sequence[str],
) -> dict[str, GroupFigures]:
    """Return the figures of every group of dialogues.

    Args:
        by_system: the predictions of each system, by name, for the same dialogues in the same
            order. "stereo" is scored with both channels, all others with the speaker's channel
            alone.
        groups: the name of each dialogue's group.
    Returns:
        The figures by group, in the order in which the groups first occur.
    """
    first = next(iter(by_system.values()))
    silences = find_silences(first)
    dialogue = np.array([silence.dialogue for silence in silences], np.int64)
    shift = np.array([silence.transition.kind == "shift" for silence in silences], bool)
    scores = {
        name: read_at(evaluated, silences, setting_of(name))
        for name, evaluated in by_system.items()
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
