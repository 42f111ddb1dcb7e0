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

CLASSES = ("shift", "hold")


def made(
    apart: float, count: int = 200, dialogues: int = 5, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    """Two round clouds whose centres lie so many standard deviations apart."""
    rng = np.random.default_rng(seed)
    first = rng.random(count) < 0.4
    places = rng.normal(0, 3, (count, 2))
    places[first, 1] += 3 * apart
    return places.astype(np.float32), first, np.sort(rng.integers(0, dialogues, count))


def who(events: NDArray[Any]) -> NDArray[np.int64]:
    """The speakers of so many events, in turn."""
    return np.arange(len(events)) % 2


def measured(apart: float, **more: int) -> Apartness:
    places, first, dialogue = made(apart, **more)
    return how_far_apart(places, first, dialogue, who(first), np.arange(len(first)))


def test_figures_are_those_of_scikit_learns_cross_validation() -> None:
    places, first, dialogue = made(1.0)
    found = how_far_apart(places, first, dialogue, who(first), np.arange(len(first)))
    for classifier, figure in (
        (LinearDiscriminantAnalysis(priors=[0.5, 0.5]), found.line),
        (KNeighborsClassifier(15), found.neighbours),
    ):
        scores = cross_val_predict(
            classifier,
            places,
            first,
            groups=dialogue,
            cv=LeaveOneGroupOut(),
            method="predict_proba",
        )[:, 1]
        strata = 2 * dialogue + who(first)
        inside = [strata == one for one in np.unique(strata)]
        aucs = [roc_auc_score(first[one], scores[one]) for one in inside]
        pairs = [first[one].sum() * (~first[one]).sum() for one in inside]
        assert figure.value == pytest.approx(np.average(aucs, weights=pairs), abs=3e-3)
        assert figure.low < figure.value < figure.high
    assert (found.first, found.second, found.dialogues) == (first.sum(), (~first).sum(), 5)


def test_the_same_cloud_is_hardly_apart_and_distant_ones_almost_wholly() -> None:
    assert "hardly apart" in in_words(CLASSES, measured(0.0, count=600))
    assert "almost wholly apart" in in_words(CLASSES, measured(5.0))
    for apart in (0.0, 1.0, 2.0):  # two normal distributions have an AUC of Phi(d / sqrt 2)
        assert measured(apart, count=3000).line.value == pytest.approx(
            norm.cdf(apart / np.sqrt(2)), abs=0.025
        )


def test_voices_that_lie_apart_are_no_classes_apart() -> None:
    """Speaker 1's places lie elsewhere, and speaker 1's silences are mostly of the first class."""
    rng = np.random.default_rng(3)
    speaker = rng.integers(0, 2, 400)
    places = (rng.normal(0, 1, (400, 2)) + 6 * speaker[:, None]).astype(np.float32)
    first = rng.random(400) < np.where(speaker, 0.85, 0.15)
    assert roc_auc_score(first, places[:, 0]) > 0.75
    found = how_far_apart(places, first, np.arange(400) // 50, speaker, np.arange(400))
    assert max(found.line.value, found.neighbours.value) < 0.6
    assert "hardly apart" in in_words(CLASSES, found)


def test_a_class_around_the_other_is_told_by_its_neighbours_and_not_by_a_line() -> None:
    rng = np.random.default_rng(0)
    first = np.arange(300) % 2 == 0
    angle, radius = rng.uniform(0, 2 * np.pi, 300), np.where(first, 1, 5) + rng.normal(0, 0.3, 300)
    places = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)
    found = how_far_apart(
        places, first, np.arange(300) // 60, np.arange(300) // 30 % 2, np.arange(300)
    )
    assert found.neighbours.value > 0.99
    assert found.line.value < 0.65
    assert "almost wholly apart" in in_words(CLASSES, found)


def test_a_single_dialogue_is_told_in_parts_and_has_no_interval() -> None:
    found = measured(2.0, dialogues=1)
    assert 0.85 < found.line.value < 1
    assert np.isnan(found.line.low)
    assert "so without an interval" in in_words(CLASSES, found)


def test_places_of_one_moment_are_held_out_together() -> None:
    """Twins of opposite class at nearly the same place.

    They are told apart only by seeing the one when the other is judged.
    """
    rng = np.random.default_rng(0)
    places = np.repeat(rng.normal(0, 10, (60, 2)), 2, axis=0) + np.tile(
        [[0.0, 0], [0.01, 0]], (60, 1)
    )
    first = np.tile([True, False], 60)
    together = how_far_apart(
        places.astype(np.float32),
        first,
        np.zeros(120, np.int64),
        np.zeros(120, np.int64),
        np.repeat(np.arange(60), 2),
    )
    assert together.neighbours.value == pytest.approx(0.5, abs=0.05)


def test_places_that_cannot_be_read_do_not_count() -> None:
    places, first, dialogue = made(1.0)
    with_gaps = np.concatenate([places, np.full((30, 2), np.nan, np.float32)])
    more = how_far_apart(
        with_gaps,
        np.append(first, np.ones(30, bool)),
        np.append(dialogue, np.zeros(30, np.int64)),
        np.append(who(first), np.zeros(30, np.int64)),
        np.arange(230),
    )
    assert more == how_far_apart(places, first, dialogue, who(first), np.arange(200))


def test_one_class_none_and_too_few_are_said_in_words() -> None:
    places, _, dialogue = made(1.0)
    one = how_far_apart(places, np.ones(200, bool), dialogue, who(dialogue), np.arange(200))
    assert in_words(CLASSES, one) == "There is nothing to compare: 200 shift, no hold."
    none = how_far_apart(places[:0], np.ones(0, bool), dialogue[:0], dialogue[:0], np.arange(0))
    assert in_words(CLASSES, none) == "There is no shift and no hold to read here."
    few = how_far_apart(places, np.arange(200) < 3, dialogue, who(dialogue), np.arange(200))
    assert "3 shift and 197 hold: too few to say" in in_words(CLASSES, few)
    assert "too few" in briefly(CLASSES, few)
    some = in_words(
        CLASSES,
        how_far_apart(places, np.arange(200) % 29 == 3, dialogue, who(dialogue), np.arange(200)),
    )
    assert some.startswith("Shift and hold are too few to call apart or not: AUC ")
    at_once = in_words(
        CLASSES,
        how_far_apart(
            places[:90],
            np.arange(90) < 45,
            np.arange(90) // 45,
            np.zeros(90, np.int64),
            np.arange(90),
        ),
    )
    assert (
        at_once
        == "45 shift and 45 hold: too few to say how far apart they are (no speaker has both, or "
        "when a dialogue is held out, the others lack a class)."
    )
    assert "this is rough" in in_words(
        CLASSES,
        how_far_apart(places, np.arange(200) % 17 == 0, dialogue, who(dialogue), np.arange(200)),
    )


def test_many_dialogues_are_held_out_in_tenths() -> None:
    found = measured(1.0, count=600, dialogues=40)
    assert found.dialogues == 40
    assert "each tenth of the dialogues told by the rest" in in_words(CLASSES, found)


def test_an_interval_that_holds_chance_is_not_called_apart() -> None:
    wide = Apartness(30, 30, Estimate(0.7, 0.45, 0.9), Estimate(0.6, 0.4, 0.8), 4, 2)
    assert "perhaps by chance" in in_words(CLASSES, wide)
