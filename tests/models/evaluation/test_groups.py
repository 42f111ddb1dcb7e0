"""Shift or hold in groups of the dialogues."""

import math

import pytest

from turnstream.models.evaluation.groups import measure_groups
from turnstream.models.evaluation.predictions import EvaluatedDialogue
from turnstream.models.evaluation.shift_hold import find_silences, shift_hold

from .conftest import MakeDialogue


def test_a_group_is_measured_as_if_nothing_else_were_there(
    random_dialogues: list[EvaluatedDialogue],
) -> None:
    labels = ["a", "b", "a", "a", "b", "c", "b", "b"]
    found = measure_groups({"stereo": random_dialogues, "mono": random_dialogues}, labels)
    assert list(found) == ["a", "b", "c"]
    for group, figures in found.items():
        members = [
            dialogue
            for dialogue, label in zip(random_dialogues, labels, strict=True)
            if label == group
        ]
        for setting in ("stereo", "mono"):
            expected = shift_hold(members, setting).at[250]
            assert (figures.shifts, figures.holds) == (expected.positives, expected.negatives)
            # One dialogue has no interval: NaN.
            assert repr(figures.auc[setting]) == repr(expected.auc)
    assert [figures.dialogues for figures in found.values()] == [3, 4, 1]
    assert found["a"].auc["stereo"].value != found["b"].auc["stereo"].value


def test_every_system_but_stereo_is_scored_by_the_speaker_alone(dialogue: MakeDialogue) -> None:
    call = dialogue([(1.0, 4.0)], [(4.6, 6.6), (6.9, 8.9)])
    call.mono[0].p_next[1], call.mono[1].p_next[0] = 0.9, 0.1
    auc = measure_groups({"stereo": [call], "mono": [call], "judge": [call]}, ["call"])["call"].auc
    assert {name: estimate.value for name, estimate in auc.items()} == {
        "stereo": 0.5,
        "mono": 1.0,
        "judge": 1.0,
    }


def test_a_group_with_one_kind_has_no_auc(dialogue: MakeDialogue) -> None:
    shift, silent = dialogue([(1.0, 4.0)], [(4.6, 9.0)]), dialogue([], [])
    found = measure_groups({"stereo": [shift, silent]}, ["shift", "silent"])
    assert [(group.shifts, group.holds) for group in found.values()] == [(1, 0), (0, 0)]
    assert all(math.isnan(group.auc["stereo"].value) for group in found.values())


@pytest.mark.parametrize("label", ["one", ""])
def test_all_dialogues_in_one_group_are_the_pooled_figure(
    label: str, random_dialogues: list[EvaluatedDialogue]
) -> None:
    found = measure_groups({"stereo": random_dialogues}, [label] * len(random_dialogues))
    assert found[label].auc["stereo"] == shift_hold(random_dialogues, "stereo").at[250].auc
    assert found[label].shifts + found[label].holds == len(find_silences(random_dialogues))
