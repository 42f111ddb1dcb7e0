"""Score a judge of turn completeness as one more system.

The judge is an upper bound for a network that learns from it. `turnstream pretrain judge` makes its
scores, of each call by a judge that was not trained on the call. They come in one .npz file with
one array per dialogue, named by the dialogue's id: (2, T) float32 at 50 Hz. A value is the
probability that the speaker's turn is complete, given the audio up to that frame. It is NaN where
the judge was not run.

The scores replace p_next of the other speaker in the mono setting, as those of a baseline do. In
a silence, a score is valid until the next one. Before the first score of a silence there is none:
a shift or hold is not measured at that time, and no end of turn is called.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import DialogueError
from ..dialogues.activity import FRAME_RATE_HZ, runs
from .baselines import as_evaluated, silences_to_score
from .frontier import find_dialogue_pauses, read_pauses
from .measures import Estimate, estimate
from .predictions import EvaluatedDialogue, Frames, Setting
from .recording import Recording
from .shift_hold import find_silences, read_at

# Largest difference in length of a dialogue and its scores: both round their last frame.
MOST_APART_FRAMES = 2

AGREEMENT_S = 0.3  # into a silence, where model and judge are compared
FEWEST_SILENCES = 5  # of a speaker, for a correlation


@dataclass(frozen=True)
class Coverage:
    """How many of the measured events have a score of the judge; each pair is (scored, all).

    Attributes:
        pauses: holds and ends of turns with a score at any time that the frontier reads.
        silences: shifts and holds with a score 250 ms into the silence.
    """

    pauses: tuple[int, int]
    silences: tuple[int, int]


def read_judge(path: Path, frames: Mapping[str, int]) -> dict[str, Frames]:
    """Read the scores of a judge for some dialogues.

    Args:
        path: the .npz file; dialogues in it that are not asked for are ignored.
        frames: the length of each dialogue in frames of 20 ms, by id.
    Returns:
        The scores by id, (2, frames) in [0, 1]; NaN where the judge was not run.
    Raises:
        DialogueError: the file does not exist or is no .npz; a dialogue is missing; its scores
            are more than two frames longer or shorter than the dialogue; or they are not
            probabilities of shape (2, T).
    """
    try:
        with path.open("rb") as file:  # np.load itself would not close a file that it cannot read
            loaded = np.load(file)
            arrays = loaded if isinstance(loaded, np.lib.npyio.NpzFile) else {}
            scores = {name: arrays[name] for name in frames if name in arrays}
    except OSError as error:
        raise DialogueError(
            f"{path}: expected the scores of a judge (.npz), got: {error.strerror or error}"
        ) from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        raise DialogueError(
            f"{path}: expected the scores of a judge (.npz), got something else"
        ) from None
    missing = [name for name in frames if name not in scores]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DialogueError(
            f"{path}: expected scores of every dialogue, got none of {missing[0]!r}{more}"
        )
    return {name: _checked(path, name, found, frames[name]) for name, found in scores.items()}


def judge_dialogue(recording: Recording, asked: Frames) -> EvaluatedDialogue:
    """Put the scores of the judge where the measures look for p_next in the mono setting.

    Args:
        recording: the dialogue; its audio is not used.
        asked: scores from `read_judge`, (2, T).
    """
    complete = asked.copy()
    for speaker, start, end in silences_to_score(recording):  # in order of time
        answers = asked[speaker, start:end]
        newest = np.maximum.accumulate(np.where(np.isnan(answers), -1, np.arange(len(answers))))
        complete[speaker, start:end] = np.where(newest >= 0, answers[newest], np.nan)
    return as_evaluated(recording, complete)


def coverage(judged: Sequence[EvaluatedDialogue]) -> Coverage:
    """Count the measured events, and those with a score of the judge."""
    pauses, silences = find_dialogue_pauses(judged), find_silences(judged)
    in_pauses = ~np.isnan(read_pauses(judged, pauses, "mono")).all(axis=1)
    in_silences = ~np.isnan(read_at(judged, silences, "mono"))
    return Coverage((int(in_pauses.sum()), len(pauses)), (int(in_silences.sum()), len(silences)))


def agreement(
    dialogues: Sequence[EvaluatedDialogue], scores: Mapping[str, Frames], setting: Setting
) -> Estimate:
    """Return how well a model agrees with the judge: a correlation of logits.

    It is taken 0.3 s into the silences of each speaker of each dialogue, and averaged over the
    speakers. It counts every silence, not only those that turn out to be a shift or a hold, and
    so it varies less by chance than an AUC of few events.

    Args:
        dialogues: the dialogues with the predictions of the model.
        scores: of the judge, from `read_judge`.
        setting: "stereo" or "mono".
    Returns:
        The mean, with its interval over dialogues; NaN if no speaker has five silences.
    """
    sums, counts = np.zeros(len(dialogues)), np.zeros(len(dialogues))
    at = round(AGREEMENT_S * FRAME_RATE_HZ)
    for number, dialogue in enumerate(dialogues):
        for speaker in (0, 1):
            silences = runs(~dialogue.activity[speaker])
            long = [start for start, end in silences if start and end - start >= at]
            frames = np.array(long, int) + at - 1
            p_next = dialogue.predictions_for(setting, speaker).p_next
            judge = scores[dialogue.id][speaker, frames]
            known = ~np.isnan(judge)
            if known.sum() >= FEWEST_SILENCES:
                model = p_next[1 - speaker, frames[known]]
                sums[number] += np.corrcoef(_logit(model), _logit(judge[known]))[0, 1]
                counts[number] += 1

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total = weights @ counts
        return np.divide(weights @ sums, total, out=np.full(len(weights), np.nan), where=total > 0)

    return estimate(statistic, len(dialogues))


def _logit(probability: NDArray[np.floating]) -> NDArray[np.float64]:
    clipped = np.clip(probability.astype(np.float64), 1e-4, 1 - 1e-4)
    return np.log(clipped / (1 - clipped))


def _checked(path: Path, name: str, scores: np.ndarray, frames: int) -> Frames:
    where = f"{path}: dialogue {name!r}"
    if scores.ndim != 2 or len(scores) != 2 or scores.dtype.kind != "f":
        raise DialogueError(
            f"{where}: expected float scores (2, T), got {scores.dtype} {scores.shape}"
        )
    if abs(scores.shape[1] - frames) > MOST_APART_FRAMES:
        raise DialogueError(
            f"{where}: expected scores of {frames} frames of 20 ms, got {scores.shape[1]}"
        )
    known = scores[~np.isnan(scores)]
    if known.size and not (known.min() >= 0 and known.max() <= 1):
        raise DialogueError(
            f"{where}: expected scores in [0, 1], got {known.min():.3g} to {known.max():.3g}"
        )
    padded = np.full((2, frames), np.nan, np.float32)
    shared = min(frames, scores.shape[1])
    padded[:, :shared] = scores[:, :shared]
    return padded
