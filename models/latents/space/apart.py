"""How far apart two classes lie in a picture.

It is how well a line, and the nearest neighbours, tell them where they were not fitted.

Each dialogue is told by the others; of a single dialogue, each fifth of its moments by the rest.
AUC compares places of the same dialogue and speaker, so that who speaks is no difference between
the classes. The figures are of places in a picture, not of the full states, which may hold more.
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
VERDICTS = (
    (0.75, "a little apart"),
    (0.9, "largely apart"),
    (0.97, "clearly apart"),
    (1.01, "almost wholly apart"),
)  # AUC below
HARDLY = 0.6

Places = NDArray[np.float32]


@dataclass(frozen=True)
class Apartness:
    """How well two classes are told apart; NaN where it cannot be had.

    Attributes:
        first, second: how many places of each class there are.
        line: AUC of linear discriminant analysis on the places, 0.5 being chance.
        neighbours: AUC of the share of the first class among the NEIGHBOURS nearest places.
        dialogues: that they are from.
        dims: of the picture.
    """

    first: int
    second: int
    line: Estimate
    neighbours: Estimate
    dialogues: int
    dims: int


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
        dialogue: number, (N,).
        speaker: before the silence, or whose the place is where both are compared, (N,).
        moment: number, in order of time, (N,): places of the same moment are held out together.
    """
    known = ~np.isnan(places).any(axis=1)
    places, first, dialogue = places[known], first[known], dialogue[known]
    speaker, moment = speaker[known], moment[known]
    numbers, dialogues = consecutive(dialogue)
    counts = int(first.sum()), int((~first).sum())
    if min(counts) < LEAST:
        nothing = Estimate(np.nan, np.nan, np.nan)
        return Apartness(*counts, nothing, nothing, dialogues, places.shape[1])
    part = numbers if dialogues > 1 else _parts(moment, PARTS_OF_ONE)
    part = part if dialogues <= PARTS else _parts(numbers, PARTS)
    found = [
        _auc(_held_out(classifier, places, first, part), first, numbers, speaker)
        for classifier in _classifiers(len(places))
    ]
    return Apartness(*counts, found[0], found[1], dialogues, places.shape[1])


def in_words(classes: tuple[str, str], apart: Apartness) -> str:
    """What the figures say, as one sentence that begins with the classes."""
    both = f"{apart.first} {classes[0]} and {apart.second} {classes[1]}"
    if not apart.first + apart.second:
        return f"There is no {classes[0]} and no {classes[1]} to read here."
    if not apart.first or not apart.second:
        there, lacking = classes if apart.first else classes[::-1]
        return f"There is nothing to compare: {apart.first + apart.second} {there}, no {lacking}."
    if np.isnan(best := np.fmax(apart.line.value, apart.neighbours.value)):
        lacking = (
            f"a figure needs {LEAST} of each"
            if min(apart.first, apart.second) < LEAST
            else "no speaker has both, or when a dialogue is held out, the others lack a class"
        )
        return f"{both}: too few to say how far apart they are ({lacking})."
    figures = (
        f"AUC within dialogue and speaker {ranged(apart.line)} by a "
        f"{'straight line' if apart.dims == 2 else 'flat plane'}, {ranged(apart.neighbours)} by "
        "the nearest neighbours"
    )
    told = (
        "each dialogue told by the others"
        if 1 < apart.dialogues <= PARTS
        else "each tenth of the dialogues told by the rest"
    )
    told = (
        told
        if apart.dialogues > 1
        else "each fifth of the one dialogue told by the rest, so without an interval"
    )
    rough = (
        f"; with {min(apart.first, apart.second)} of a class this is rough"
        if min(apart.first, apart.second) < FEW
        else ""
    )
    return (
        f"{classes[0].capitalize()} and {classes[1]} are {verdict(apart, float(best))}: {figures} "
        f"({both}, {told}{rough})."
    )


def briefly(classes: tuple[str, str], apart: Apartness) -> str:
    """The same in a few words."""
    best = float(np.fmax(apart.line.value, apart.neighbours.value))
    if np.isnan(best):
        return f"{classes[0]} and {classes[1]} too few to say ({apart.first} and {apart.second})"
    return f"{classes[0]} and {classes[1]} {verdict(apart, best)} (AUC {best:.2f})"


def verdict(apart: Apartness, best: float) -> str:
    """In a few words; by the better of the two figures, and whether its interval holds chance."""
    low = apart.line.low if best == apart.line.value else apart.neighbours.low
    if min(apart.first, apart.second) < ENOUGH:
        return "too few to call apart or not"
    if best < HARDLY:
        return "hardly apart"
    if low <= 0.5:  # False of NaN
        return "perhaps apart, perhaps by chance"
    return next(words for above, words in VERDICTS if best < above)


def _parts(numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    ranks, different = consecutive(numbers)
    return ranks * min(count, different) // max(different, 1)


def _classifiers(count: int) -> list[Any]:
    """Of a line and of the neighbours, with distances as they are drawn.

    These are closed forms, since there are many pictures to measure.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.neighbors import KNeighborsClassifier

    return [
        LinearDiscriminantAnalysis(solver="lsqr", priors=(0.5, 0.5)),
        KNeighborsClassifier(min(NEIGHBOURS, count // 4)),
    ]


def _held_out(
    classifier: Any, places: Places, first: NDArray[np.bool_], part: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Scores of the first class, (N,), each by a classifier that has not seen its part.

    NaN where the rest has not enough of both classes.
    """
    from sklearn import config_context

    scores = np.full(len(places), np.nan)
    with config_context(
        assume_finite=True, skip_parameter_validation=True
    ):  # which take longer than so small a fit
        for number in np.unique(part):
            rest = part != number
            if min(
                first[rest].sum(), (~first[rest]).sum()
            ) >= 2 and rest.sum() > classifier.get_params().get("n_neighbors", 1):
                fitted = classifier.fit(places[rest], first[rest])
                scores[~rest] = fitted.predict_proba(places[~rest])[:, 1]
    return scores


def _auc(
    scores: NDArray[np.float64],
    first: NDArray[np.bool_],
    numbers: NDArray[np.int64],
    speaker: NDArray[np.int64],
) -> Estimate:
    known = ~np.isnan(scores)
    return auc_within(scores[known], first[known], numbers[known], speaker[known])
