"""Probes against scikit-learn's own cross-validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut
from sklearn.preprocessing import StandardScaler

from turnstream.models.checkpoint import save_checkpoint
from turnstream.models.latents.collect import collect, load_network, read_source
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.events.contrasts import Cases
from turnstream.models.latents.events.probe_fits import (
    GAP_S,
    LEAST,
    auc_of,
    folds_of,
    held_out_scores,
    matched_weights,
    reach_of,
    read_states,
    some_of,
)
from turnstream.models.latents.memory.readings import log_mel, sound_at

from ....networks import CONFIGS, random_model


def cases_of(number: Any, start_s: Any, first: Any, end_s: Any = None) -> Cases:
    number, start_s, first = np.array(number), np.array(start_s), np.array(first)
    end_s = start_s + 1 if end_s is None else np.array(end_s)
    return Cases(number, start_s, end_s, np.arange(len(number)) % 2, first, number)


def made_states(dialogues: int) -> tuple[np.ndarray, Cases]:
    """Three units in twelve tell the class; one tells the dialogue, whose classes are its own."""
    rng = np.random.default_rng(0)
    number = np.sort(rng.integers(0, dialogues, 40 * dialogues))
    first = rng.random(len(number)) < 0.3 + 0.4 * (number % 2)
    states = rng.normal(0, 1, (len(number), 12))
    states[:, :3] += 0.5 * first[:, None]
    states[:, 5] += number
    return states.astype(np.float32), cases_of(number, np.arange(len(number)) * 3.0, first)


@pytest.mark.parametrize("dialogues", [4, 13])
def test_scores_are_those_of_scikit_learns_cross_validation_over_dialogues(dialogues: int) -> None:
    states, cases = made_states(dialogues)
    folds, units = folds_of(cases)
    scores = held_out_scores(states, cases, folds)
    splitter = LeaveOneGroupOut() if dialogues <= 10 else GroupKFold(5)
    expected = np.empty(len(states))
    for fit, score in splitter.split(states, groups=cases.number):
        same = cases.strata[fit][:, None] == cases.strata[fit]
        other = same & (cases.first[fit][:, None] != cases.first[fit])
        weights = other.sum(axis=1) / same.sum(axis=1)
        scaler = StandardScaler().fit(states[fit].astype(np.float64))
        probe = LogisticRegression(C=1 / 12, max_iter=1000).fit(
            scaler.transform(states[fit]), cases.first[fit], sample_weight=weights / weights.mean()
        )
        expected[score] = probe.decision_function(scaler.transform(states[score]))
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    found = auc_of(scores, cases, units)
    strata = [np.flatnonzero(cases.strata == one) for one in np.unique(cases.strata)]
    pairs = [cases.first[one].sum() * (~cases.first[one]).sum() for one in strata]
    aucs = [roc_auc_score(cases.first[one], expected[one]) for one in strata]
    assert found.value == pytest.approx(np.average(aucs, weights=pairs), abs=1e-3)
    assert 0.6 < found.low < found.value < found.high < 1


def test_each_dialogues_classes_weigh_alike_and_one_of_a_single_class_nothing() -> None:
    first = np.array([True, False, False, False, True, False, True, True])
    weights = matched_weights(first, np.array([0, 0, 0, 0, 1, 1, 2, 2]))
    np.testing.assert_allclose(weights, np.array([3, 1, 1, 1, 2, 2, 0, 0]) / 1.25)
    assert not matched_weights(first, np.arange(8)).any()


def test_of_a_single_dialogue_blocks_of_time_are_scored_with_a_gap() -> None:
    rng = np.random.default_rng(0)
    start_s = rng.uniform(0, 300, 100)
    folds, units = folds_of(cases_of(np.zeros(100, np.int64), start_s, rng.random(100) < 0.5))
    assert len(folds) == len(np.unique(units)) == 5
    for fit, score in folds:
        assert np.abs(start_s[fit][:, None] - start_s[score]).min() > GAP_S
        assert len(fit) > 60
        assert start_s[score].max() - start_s[score].min() < 100


def test_folds_of_fewer_cases_are_the_same_folds() -> None:
    _, cases = made_states(3)
    folds, _ = folds_of(cases)
    kept = np.arange(len(cases)) % 3 > 0
    numbers = cases.number[kept]
    for (fit, score), (fewer, scored) in zip(folds, some_of(folds, kept), strict=True):
        assert set(numbers[fewer]) == set(cases.number[fit])
        assert set(numbers[scored]) == set(cases.number[score])
        assert len(fewer) + len(scored) == kept.sum()


def test_too_few_of_a_class_give_no_figure() -> None:
    states, cases = made_states(3)
    first, scores = np.arange(len(states)) < LEAST - 1, np.arange(len(states), dtype=float)
    cases = replace(cases, first=first, speaker=np.zeros(len(states), int))
    assert np.isnan(auc_of(scores, cases, cases.number).value)
    first[LEAST] = True
    assert not np.isnan(auc_of(scores, cases, cases.number).value)
    # The first class is in one dialogue only, so what it is scored by has seen none of it.
    assert np.isnan(held_out_scores(states, cases, folds_of(cases)[0])[first]).all()


def test_the_newest_frames_are_read_within_the_dialogue_and_up_to_the_events_end(
    tiny_collection: Collection,
) -> None:
    cases = cases_of([0, 1, 2], [0.1, 10.0, 19.9], [True, False, True], [0.4, 10.3, 19.9])
    reach = reach_of(cases, (-0.2, 0.0, 0.25, 0.3, 0.4), tiny_collection)
    # The frame that ends at 10.0 s is number 499.
    assert reach.steps[1].tolist() == [489, 499, 511, 514, 519]
    expected = [[0, 1, 1, 1, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 0]]
    assert reach.there.astype(int).tolist() == expected
    states = read_states(tiny_collection, cases.number, reach.steps)
    there = tiny_collection.frames(1, ["latent", "p_next"])
    for name, values in there.items():
        np.testing.assert_array_equal(states.values[name][1], values[reach.steps[1]])
    one = np.array([1])
    swapped, own = (states.of("latent", one, 2, one, both=both)[0] for both in (True, False))
    np.testing.assert_array_equal(swapped, there["latent"][511, ::-1].reshape(-1))
    np.testing.assert_array_equal(own, there["latent"][511, 1])


def test_the_sound_is_the_newest_frame_that_the_network_hears(
    tiny_manifest: Path, tmp_path: Path
) -> None:
    config = CONFIGS["lstm_2d_gated_stride_concat"]  # every step of it takes two frames of sound
    save_checkpoint(random_model(config), tmp_path / "run")
    model = load_network(tmp_path / "run")
    collection = collect(model, "strided", read_source(tiny_manifest)[:1], tmp_path / "collection")
    steps = np.array([[0, 7, 300]])
    found = read_states(collection, np.array([0]), steps, model).values["sound"]
    mel = log_mel(model, sound_at(collection, 0, 16000)).numpy()
    assert mel.shape[1] == 2 * collection.frame_count(0)
    np.testing.assert_array_equal(found[0], mel[:, 2 * steps[0] + 1].transpose(1, 0, 2))
