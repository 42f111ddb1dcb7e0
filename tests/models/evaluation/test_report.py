"""The report equals what the measures give when they are called directly.

Comparisons are checked by hand.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest

from turnstream.models.evaluation.calibration import calibration
from turnstream.models.evaluation.frontier import frontier
from turnstream.models.evaluation.measures import auc
from turnstream.models.evaluation.predictions import EvaluatedDialogue, Setting
from turnstream.models.evaluation.report import (
    SETTINGS,
    ConditionFigures,
    as_json,
    auc_difference,
    fall,
    measure_condition,
    measure_system,
    measure_timer,
    roc_curve,
)
from turnstream.models.evaluation.shift_hold import find_silences, read_at, shift_hold
from turnstream.models.evaluation.windows import (
    backchannel_prediction,
    shift_prediction,
    short_long,
)

pytestmark = pytest.mark.usefixtures("few_draws")


def informed(dialogues: list[EvaluatedDialogue], weight: float) -> list[EvaluatedDialogue]:
    """Return the same dialogues from a system whose p_next leans towards what will happen."""
    found: list[EvaluatedDialogue] = []
    for dialogue in dialogues:
        lean = np.zeros_like(dialogue.stereo.p_next)
        for silence in find_silences([dialogue]):
            event = silence.transition
            lean[event.next, event.silence_start_frame : event.silence_end_frame] = weight
        stereo = replace(dialogue.stereo, p_next=np.clip(dialogue.stereo.p_next + lean, 0, 1))
        first, second = (replace(said, p_next=said.p_next.copy()) for said in dialogue.mono)
        found.append(replace(dialogue, stereo=stereo, mono=(first, second)))
    return found


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_systems_figures_are_those_of_the_measures(
    setting: Setting, random_dialogues: list[EvaluatedDialogue]
) -> None:
    few = random_dialogues[:2]
    figures = measure_system(few, setting)
    assert figures.shift_hold == shift_hold(few, setting)
    assert figures.frontier == frontier(few, setting)
    assert figures.shift_prediction == shift_prediction(few, setting)
    assert figures.short_long == short_long(few, setting)
    assert figures.backchannel_prediction == backchannel_prediction(few, setting)
    assert as_json(figures.calibration) == as_json(calibration(few, setting))


def test_a_baseline_is_measured_by_its_score_only(
    random_dialogues: list[EvaluatedDialogue],
) -> None:
    figures = measure_system(random_dialogues[:1], "mono", only_p_next=True)
    given = {
        field.name
        for field in dataclasses.fields(figures)
        if getattr(figures, field.name) is not None
    }
    assert given == {"shift_hold", "shift_hold_at_200_ms", "frontier"}


def test_scores_at_200_ms_are_read_when_ten_frames_were_heard(
    random_dialogues: list[EvaluatedDialogue],
) -> None:
    silences = find_silences(random_dialogues)
    read = read_at(random_dialogues, silences, "mono", 200)
    for value, silence in zip(read, silences, strict=True):
        event = silence.transition
        assert (
            value
            == random_dialogues[silence.dialogue]
            .mono[event.previous]
            .p_next[1 - event.previous, event.silence_start_frame + 9]
        )


def test_the_fall_is_the_difference_of_the_aucs_and_its_interval_that_of_the_pairs(
    random_dialogues: list[EvaluatedDialogue],
) -> None:
    clean, worse = informed(random_dialogues, 0.5), informed(random_dialogues, 0.1)
    found = fall(clean, worse, "stereo")
    expected = (
        shift_hold(clean, "stereo").at[250].auc.value
        - shift_hold(worse, "stereo").at[250].auc.value
    )
    assert found.value == pytest.approx(expected)
    assert expected > 0.1
    assert found.low < expected < found.high
    same = fall(clean, clean, "stereo")
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_a_difference_counts_only_what_both_scored(
    random_dialogues: list[EvaluatedDialogue],
) -> None:
    model, baseline = informed(random_dialogues, 0.5), informed(random_dialogues, 0.0)
    assert auc_difference((model, "stereo"), (baseline, "mono")).value > 0.1
    for dialogue in baseline[1:]:
        dialogue.mono[0].p_next[:], dialogue.mono[1].p_next[:] = np.nan, np.nan
    expected = (
        shift_hold(model[:1], "stereo").at[250].auc.value
        - shift_hold(baseline[:1], "mono").at[250].auc.value
    )
    assert auc_difference((model, "stereo"), (baseline, "mono")).value == pytest.approx(expected)


def test_the_area_under_the_roc_curve_is_the_auc(random_dialogues: list[EvaluatedDialogue]) -> None:
    evaluated = informed(random_dialogues, 0.3)
    false, found = roc_curve(evaluated, "stereo")
    assert (false[0], found[0], false[-1], found[-1]) == (0, 0, 1, 1)
    silences = find_silences(evaluated)
    shift = np.array([silence.transition.kind == "shift" for silence in silences])
    assert np.trapezoid(found, false) == pytest.approx(
        auc(read_at(evaluated, silences, "stereo", 250), shift)
    )


def test_a_condition_is_measured_on_what_was_heard_in_it(
    random_dialogues: list[EvaluatedDialogue],
) -> None:
    clean, worse = informed(random_dialogues[:1], 0.5), random_dialogues[:1]
    found = measure_condition(clean, worse, "stereo")
    assert as_json(found) == as_json(
        ConditionFigures(
            shift_hold(worse, "stereo"), frontier(worse, "stereo"), fall(clean, worse, "stereo")
        )
    )
    assert (measure_timer(worse).holds, measure_timer(worse).ends) == (
        found.frontier.holds,
        found.frontier.ends,
    )


def test_json_has_names_for_everything_and_null_for_what_cannot_be_had(
    random_dialogues: list[EvaluatedDialogue],
) -> None:
    plain = json.loads(
        json.dumps(as_json(measure_system(random_dialogues[:1], "stereo")), allow_nan=False)
    )
    assert set(plain["shift_hold"]["at"]) == {"50", "250", "500"}
    # A single dialogue has no interval.
    assert plain["shift_hold"]["at"]["250"]["auc"]["low"] is None
    assert set(plain["frontier"]["cut_off_at"]) == {"0.3", "0.6"}
    assert set(plain["frontier"]["points"][0]) == {
        "threshold",
        "delay_s",
        "timeout_s",
        "cut_off",
        "latency_s",
    }
