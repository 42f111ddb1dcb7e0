"""The folder that `turnstream pretrain judge` writes, and that other commands take as --judge.

silences.npz        the calls' shifts and holds, embedded by the teacher
moments.npz         many moments of the calls: call, speaker, frame, embedding
judges.json         the AUC of the judges on the calls that were held out
completeness/SET.npz    scores of the utterances' stop points, by the judge that was fitted on
                    their texts and on no call (for simulation)
held_out.npz        scores of each call, by the judge that was fitted on the other calls (for
                    evaluation)
all.npz             scores of the calls, by the judge that was fitted on all of them (for
                    training)
without_CALL.npz    scores of all calls, by the judge that was fitted on all but CALL; for
                    training a network that is measured on CALL
judges/all.npz, judges/without_CALL.npz     these judges themselves
"""

from __future__ import annotations

from pathlib import Path

HELD_OUT, ALL, WITHOUT = "held_out", "all", "without_"


def scores_path(folder: Path, name: str) -> Path:
    """Return the file with scores of calls: HELD_OUT, ALL, or WITHOUT and the id of a call."""
    return folder / f"{name}.npz"


def judge_path(folder: Path, name: str) -> Path:
    """Return the file with a judge: ALL, or WITHOUT and the id of a call."""
    return folder / "judges" / f"{name}.npz"
