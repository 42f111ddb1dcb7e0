"""How far classes lie apart in a picture: against scikit-learn's cross-validation, and in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from turnstream.models.evaluation.measures import Estimate
from turnstream.models.latents.space.apart import Apartness, briefly, how_far_apart, in_words

Places, Bools, Ints = NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]


def made(apart: float, count: int = 200, dialogues: int = 5) -> tuple[Places, Bools, Ints]:
    """Two round clouds whose centres lie so many standard deviations apart."""
    rng = np.random.default_rng(0)
    first = rng.random(count) < 0.4
    places = rng.normal(0, 3, (count, 2))
    places[first, 1] += 3 * apart
    return places.astype(np.float32), first, np.sort(rng.integers(0, dialogues, count))


def measured(places: Places, first: Bools, dialogue: Ints, speaker: Any = None) -> Apartness:
    """Of events in order of time; the speakers take turns unless they are given."""
    order = np.arange(len(first))
    return how_far_apart(places, first, dialogue, order % 2 if speaker is None else speaker, order)


def said(apart: Apartness) -> str:
    return in_words(("shift", "hold"), apart)


def test_figures_are_those_of_scikit_learns_cross_validation() -> None:
    places, first, dialogue = made(1.0)
    found = measured(places, first, dialogue)
    strata = 2 * dialogue + np.arange(200) % 2
    for classifier, figure in (
        (LinearDiscriminantAnalysis(priors=[0.5, 0.5]), found.line),
        (KNeighborsClassifier(15), found.neighbours),
    ):
        how: dict[str, Any] = {"cv": LeaveOneGroupOut(), "method": "predict_proba"}
        told: Any = cross_val_predict(classifier, places, first, groups=dialogue, **how)
        scores = told[:, 1]
        inside = [strata == one for one in np.unique(strata)]
        aucs = [roc_auc_score(first[one], scores[one]) for one in inside]
        pairs = [first[one].sum() * (~first[one]).sum() for one in inside]
        assert figure.value == pytest.approx(np.average(aucs, weights=pairs), abs=3e-3)
        assert figure.low < figure.value < figure.high
    assert (found.first, found.second, found.dialogues) == (first.sum(), (~first).sum(), 5)


def test_the_same_cloud_is_hardly_apart_and_distant_ones_almost_wholly() -> None:
    assert "hardly apart" in said(measured(*made(0.0, count=600)))
    assert "almost wholly apart" in said(measured(*made(5.0)))
    for apart in (0.0, 1.0, 2.0):  # two normal distributions have an AUC of Phi(d / sqrt 2)
        expected = pytest.approx(norm.cdf(apart / np.sqrt(2)), abs=0.025)
        assert measured(*made(apart, count=3000)).line.value == expected


def test_voices_that_lie_apart_are_no_classes_apart() -> None:
    """Speaker 1's places lie elsewhere, and speaker 1's silences are mostly of the first class."""
    rng = np.random.default_rng(3)
    speaker = rng.integers(0, 2, 400)
    places = (rng.normal(0, 1, (400, 2)) + 6 * speaker[:, None]).astype(np.float32)
    first = rng.random(400) < np.where(speaker, 0.85, 0.15)
    assert roc_auc_score(first, places[:, 0]) > 0.75
    found = measured(places, first, np.arange(400) // 50, speaker)
    assert max(found.line.value, found.neighbours.value) < 0.6
    assert "hardly apart" in said(found)


def test_a_class_around_the_other_is_told_by_its_neighbours_and_not_by_a_line() -> None:
    rng, order = np.random.default_rng(0), np.arange(300)
    first = order % 2 == 0
    angle, radius = rng.uniform(0, 2 * np.pi, 300), np.where(first, 1, 5) + rng.normal(0, 0.3, 300)
    places = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)
    found = measured(places, first, order // 60, order // 30 % 2)
    assert found.neighbours.value > 0.99
    assert found.line.value < 0.65
    assert "almost wholly apart" in said(found)


def test_one_dialogue_is_told_in_fifths_without_an_interval_and_many_in_tenths() -> None:
    found = measured(*made(2.0, dialogues=1))
    assert 0.85 < found.line.value < 1
    assert np.isnan(found.line.low)
    assert "so without an interval" in said(found)
    many = measured(*made(1.0, count=600, dialogues=40))
    assert many.dialogues == 40
    assert "each tenth of the dialogues told by the rest" in said(many)
    wide = Apartness(30, 30, Estimate(0.7, 0.45, 0.9), Estimate(0.6, 0.4, 0.8), 4)
    assert "perhaps by chance" in said(wide)  # whose interval holds it


def test_places_of_one_moment_are_held_out_together() -> None:
    """Twins of opposite class are told apart only by seeing the one when the other is judged."""
    twins = np.tile([[0.0, 0], [0.01, 0]], (60, 1))
    places = np.repeat(np.random.default_rng(0).normal(0, 10, (60, 2)), 2, axis=0) + twins
    first, nobody = np.tile([True, False], 60), np.zeros(120, np.int64)
    moment = np.repeat(np.arange(60), 2)
    together = how_far_apart(places.astype(np.float32), first, nobody, nobody, moment)
    assert together.neighbours.value == pytest.approx(0.5, abs=0.05)


def test_places_that_cannot_be_read_do_not_count() -> None:
    places, first, dialogue = made(1.0)
    gaps = (np.full((30, 2), np.nan, np.float32), np.ones(30, bool), np.zeros(30, np.int64))
    whole = (places, first, dialogue)
    more: list[Any] = [np.concatenate(both) for both in zip(whole, gaps, strict=True)]
    assert measured(*more) == measured(*whole)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (np.arange(200) >= 0, "There is nothing to compare: 200 shift, no hold."),
        (np.arange(200) < 3, "3 shift and 197 hold: too few to say"),
        (np.arange(200) % 29 == 3, "Shift and hold are too few to call apart or not: AUC "),
        (np.arange(200) % 17 == 0, "this is rough"),
    ],
)
def test_one_class_and_too_few_are_said_in_words(first: Bools, words: str) -> None:
    places, _, dialogue = made(1.0)
    found = measured(places, first, dialogue)
    assert words in said(found)
    few = min(found.first, found.second) < 10
    assert ("too few" in briefly(("shift", "hold"), found)) == few


def test_no_places_and_classes_that_no_speaker_has_both_of_are_said_in_words() -> None:
    places, first, dialogue = made(1.0)
    none = measured(places[:0], first[:0], dialogue[:0])
    assert said(none) == "There is nothing to compare: no shift, no hold."
    order = np.arange(90)
    found = measured(places[:90], order < 45, order // 45, 0 * order)
    assert said(found).startswith("45 shift and 45 hold: too few to say how far apart they are")
