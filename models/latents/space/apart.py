"""How far apart two classes lie in a picture: how well a line and the nearest places tell them.

Each dialogue is told by the others; of a single dialogue, each fifth of its moments by the rest.
AUC compares places of the same dialogue and speaker, so that who speaks is no difference. The
figures are of places in a picture, not of the full states, which may hold more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...evaluation.measures import Estimate, consecutive
from ..quality import auc_within, ranged

LEAST = 5  # of the rarer class, for a figure
ENOUGH = 10  # of the rarer class, for a verdict
FEW = 20  # of the rarer class, for a verdict that is not called rough
PARTS = 10  # dialogues are held out one by one, or, where there are more, in so many parts
PARTS_OF_ONE = 5
NEIGHBOURS = 15
HARDLY = 0.6
VERDICTS = {  # by the AUC that is not reached
    HARDLY: "hardly apart",
    0.75: "a little apart",
    0.9: "largely apart",
    0.97: "clearly apart",
    1.01: "almost wholly apart",
}

Places = NDArray[np.float32]


@dataclass(frozen=True)
class Apartness:
    """How well two classes of so many places, from so many dialogues, are told apart.

    `line` is the AUC of linear discriminant analysis on the places, `neighbours` that of the share
    of the first class among the NEIGHBOURS nearest; NaN where it cannot be had.
    """

    first: int
    second: int
    line: Estimate
    neighbours: Estimate
    dialogues: int

    @property
    def best(self) -> Estimate:
        line, near = self.line, self.neighbours
        return near if np.isnan(line.value) or line.value < near.value else line

    @property
    def verdict(self) -> str:
        """In a few words; by the better figure, and whether its interval holds chance."""
        if min(self.first, self.second) < ENOUGH:
            return "too few to call apart or not"
        if self.best.value >= HARDLY and self.best.low <= 0.5:  # False of NaN
            return "perhaps apart, perhaps by chance"
        return next(words for above, words in VERDICTS.items() if self.best.value < above)


def how_far_apart(
    places: Places,
    first: NDArray[np.bool_],
    dialogue: NDArray[np.int64],
    speaker: NDArray[np.int64],
    moment: NDArray[np.int64],
) -> Apartness:
    """Tell two classes of places apart, each dialogue by the others.

    Args:
        places: (N, D); rows with NaN do not count.
        first: is it of the first class? (N,)
        dialogue, speaker: numbers, (N,): before the silence, or whose place it is where both are.
        moment: number, in order of time, (N,): places of the same moment are held out together.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.neighbors import KNeighborsClassifier

    known = ~np.isnan(places).any(axis=1)
    places, first, dialogue = places[known], first[known], dialogue[known]
    speaker, moment = speaker[known], moment[known]
    numbers, dialogues = consecutive(dialogue)
    counts = int(first.sum()), int((~first).sum())
    if min(counts) < LEAST:
        nothing = Estimate(np.nan, np.nan, np.nan)
        return Apartness(*counts, nothing, nothing, dialogues)
    part = _parts(numbers, PARTS) if dialogues > 1 else _parts(moment, PARTS_OF_ONE)
    # Closed forms, since there are many pictures to measure; distances are as drawn.
    line = LinearDiscriminantAnalysis(solver="lsqr", priors=(0.5, 0.5))
    near = KNeighborsClassifier(min(NEIGHBOURS, len(places) // 4))
    found: list[Estimate] = []
    for classifier in (line, near):
        scores = _held_out(classifier, places, first, part)
        told = ~np.isnan(scores)
        found.append(auc_within(scores[told], first[told], numbers[told], speaker[told]))
    return Apartness(*counts, found[0], found[1], dialogues)


def in_words(classes: tuple[str, str], apart: Apartness) -> str:
    """What the figures say, as one sentence that begins with the classes."""
    both = f"{apart.first} {classes[0]} and {apart.second} {classes[1]}"
    if not apart.first or not apart.second:
        counts = f"{apart.first or 'no'} {classes[0]}, {apart.second or 'no'} {classes[1]}"
        return f"There is nothing to compare: {counts}."
    if np.isnan(apart.best.value):
        return (
            f"{both}: too few to say how far apart they are (a figure needs {LEAST} of each, a "
            "speaker who has both, and both among the rest when a dialogue is held out)."
        )
    told = "each tenth of the dialogues told by the rest"
    if apart.dialogues <= PARTS:
        told = "each dialogue told by the others"
    if apart.dialogues == 1:
        told = "each fifth of the one dialogue told by the rest, so without an interval"
    rough = "; of so few this is rough" if min(apart.first, apart.second) < FEW else ""
    return (
        f"{classes[0].capitalize()} and {classes[1]} are {apart.verdict}: AUC within dialogue and "
        f"speaker {ranged(apart.line)} by a linear boundary, {ranged(apart.neighbours)} by the "
        f"nearest neighbours ({both}, {told}{rough})."
    )


def briefly(classes: tuple[str, str], apart: Apartness) -> str:
    """The same in a few words."""
    both = f"{classes[0]} and {classes[1]}"
    if np.isnan(apart.best.value):
        return f"{both} too few to say ({apart.first} and {apart.second})"
    return f"{both} {apart.verdict} (AUC {apart.best.value:.2f})"


def _parts(numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """In which of so many parts, or of one for each number where there are fewer, each lies."""
    ranks, different = consecutive(numbers)
    return ranks * min(count, different) // max(different, 1)


def _held_out(
    classifier: Any, places: Places, first: NDArray[np.bool_], part: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Scores of the first class, (N,), by a classifier of the other parts; NaN if these are few."""
    from sklearn import config_context

    scores = np.full(len(places), np.nan)
    fewest = classifier.get_params().get("n_neighbors", 1)
    # Checks take longer than so small a fit.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        for number in np.unique(part):
            rest = part != number
            if np.bincount(first[rest], minlength=2).min() >= 2 and rest.sum() > fewest:
                fitted = classifier.fit(places[rest], first[rest])
                scores[~rest] = fitted.predict_proba(places[~rest])[:, 1]
    return scores
