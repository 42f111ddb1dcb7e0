"""The policy: start and end of turns from hand-made predictions, and its settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.stream.errors import PolicyError
from turnstream.stream.floor import FloorTracker
from turnstream.stream.policy import PRESETS, PolicySettings, TurnPolicy
from turnstream.stream.prediction import TurnEvent

from .policy_scenes import FRAME_S, SETTINGS, Scene, frame, speaking

TURN = ("start_of_turn", "eager_end_of_turn", "end_of_turn")

# ---- starts ----


def test_speech_of_start_secs_starts_a_turn() -> None:
    assert Scene().play("", 1.0).play("u", 1.0).take() == [("start_of_turn", 0, 1.1)]
    assert Scene().play("", 1.0).play("o", 1.0).take() == [("start_of_turn", 1, 1.1)]


@pytest.mark.parametrize("frame_s", [0.01, 0.02, 0.04, 0.05])
def test_times_hold_whatever_the_frame(frame_s: float) -> None:
    policy, found = (
        TurnPolicy(replace(SETTINGS, start_secs=0.2, eager_silence_secs=0.4, end_silence_secs=0.6)),
        list[TurnEvent](),
    )
    floor = FloorTracker()
    for index in range(round(2 / frame_s)):
        speaks = index < round(1 / frame_s)
        found += policy.update(
            msgspec.structs.replace(
                frame(floor, index, (0.9 if speaks else 0.05, 0.05), 0.1, (0.1, 0.1)),
                time_s=(index + 1) * frame_s,
            )
        )
    assert [(event.type, round(event.time_s, 6)) for event in found] == [
        ("start_of_turn", 0.2),
        ("eager_end_of_turn", 1.4),
        ("end_of_turn", 1.6),
    ]


def test_a_click_starts_nothing() -> None:
    scene = Scene()
    for _ in range(10):
        scene.play("u", 0.08).play("", 0.1)
    assert scene.take() == []


@given(st.integers(0, 100_000))
def test_delays_do_not_depend_on_the_time_of_day(start_frame: int) -> None:
    scene = Scene(start_frame=start_frame)
    scene.play("u", 1.0).play("", 0.5, user_next=0.1)
    start, eager, end = (index for _, _, index in scene.take())
    assert [
        round((time_s - start_frame * FRAME_S) / FRAME_S) for time_s in (start, eager, end)
    ] == [5, 60, 65]


def test_a_start_tells_the_speech_probability() -> None:
    scene = Scene().play("u", 0.2)
    assert [event.probability for event in scene.events] == [0.9]


# ---- ends ----


def test_a_likely_shift_ends_the_turn_eagerly_and_then_finally() -> None:
    scene = speaking("u").play("", 1.0, user_next=0.2)
    assert [event.probability for event in scene.events] == [0.8, 0.8]
    assert scene.take() == [("eager_end_of_turn", 0, 1.2), ("end_of_turn", 0, 1.3)]


def test_a_turn_that_goes_on_after_an_eager_end_is_resumed() -> None:
    scene = speaking("o").play("", 0.24, user_next=0.9).play("o", 0.5)
    assert scene.take() == [("eager_end_of_turn", 1, 1.2), ("turn_resumed", 1, 1.26)]


def test_a_turn_can_end_after_it_was_resumed() -> None:
    scene = speaking("u").play("", 0.24, user_next=0.2).play("u", 0.5).play("", 0.4, user_next=0.2)
    assert [kind for kind, _, _ in scene.take()] == [
        "eager_end_of_turn",
        "turn_resumed",
        "eager_end_of_turn",
        "end_of_turn",
    ]


def test_a_probability_between_the_thresholds_is_only_eager_until_the_time_out() -> None:
    scene = speaking("u").play("", 1.5, user_next=0.45)
    assert scene.take() == [("eager_end_of_turn", 0, 1.2), ("end_of_turn", 0, 2.0)]


def test_a_thinking_pause_is_waited_for_until_the_time_out() -> None:
    assert speaking("u").play("", 0.98, user_next=0.9).take() == []
    assert speaking("u").play("", 1.5, user_next=0.9).take() == [("end_of_turn", 0, 2.0)]


def test_a_pause_without_an_eager_end_is_not_resumed_aloud() -> None:
    assert speaking("u").play("", 0.5, user_next=0.9).play("u", 0.5).take() == []


def test_a_late_change_of_mind_ends_the_turn_at_once() -> None:
    scene = speaking("u").play("", 0.6, user_next=0.9).play("", 0.2, user_next=0.2)
    assert scene.take() == [("end_of_turn", 0, 1.62)]


def test_the_other_taking_the_floor_ends_the_turn_in_the_same_frame() -> None:
    scene = speaking("u").play("", 0.1, user_next=0.9).play("o", 1.0, user_next=0.9)
    assert scene.take() == [("end_of_turn", 0, 1.2), ("start_of_turn", 1, 1.2)]


def test_no_turn_ends_twice() -> None:
    assert [kind for kind, _, _ in speaking("u").play("", 10.0, user_next=0.2).take()] == [
        "eager_end_of_turn",
        "end_of_turn",
    ]


def test_speech_after_an_end_is_a_new_turn() -> None:
    scene = speaking("u").play("", 0.5, user_next=0.2)
    scene.take()
    assert scene.play("u", 0.5).take() == [("start_of_turn", 0, 1.6)]


def test_a_conversation_of_quick_shifts_alternates() -> None:
    scene = Scene()
    for speaker in ("u", "o", "u", "o"):
        scene.play(speaker, 1.0).play("", 0.4, user_next=0.1 if speaker == "u" else 0.9)
    finals = [(kind, speaker) for kind, speaker, _ in scene.take() if kind != "eager_end_of_turn"]
    assert finals == [
        (kind, speaker) for speaker in (0, 1, 0, 1) for kind in ("start_of_turn", "end_of_turn")
    ]


# ---- why a turn ended, and which it was ----


@pytest.mark.parametrize(
    ("after", "trigger"),
    [
        (lambda scene: scene.play("", 1.0, user_next=0.2), "model"),
        (lambda scene: scene.play("", 1.5, user_next=0.9), "timeout"),
        (lambda scene: scene.play("", 0.1, user_next=0.9).play("o", 1.0), "other_spoke"),
        (lambda scene: scene.play("uo", 0.5).play("o", 0.5, user_next=0.9), "other_spoke"),
    ],
)
def test_an_end_tells_what_caused_it(after: Callable[[Scene], Scene], trigger: str) -> None:
    scene = after(speaking("u"))
    assert [event.trigger for event in scene.events if event.type == "end_of_turn"] == [trigger]
    assert {event.trigger for event in scene.events if event.type != "end_of_turn"} <= {None}


def test_events_of_a_turn_have_its_number_and_each_speaker_counts_alone() -> None:
    scene = Scene()
    for speaker in ("u", "u", "o"):
        scene.play(speaker, 1.0).play("", 0.6, user_next=0.1 if speaker == "u" else 0.9)
    scene.play("u", 0.5).play("", 0.24, user_next=0.2).play("u", 0.5)
    assert [(event.type, event.speaker, event.turn_index) for event in scene.events] == [
        *[(kind, 0, turn) for turn in (0, 1) for kind in TURN],
        *[(kind, 1, 0) for kind in TURN],
        ("start_of_turn", 0, 2),
        ("eager_end_of_turn", 0, 2),
        ("turn_resumed", 0, 2),
    ]


def test_a_backchannel_has_the_number_of_the_speakers_next_turn() -> None:
    scene = Scene().play("u", 1.0).play("", 0.6, user_next=0.1).play("o", 1.0).play("uo", 0.2)
    scene.play("o", 0.5)
    assert [(event.type, event.turn_index) for event in scene.events][-1] == ("backchannel", 1)


def test_a_turn_ends_when_the_application_says_so() -> None:
    scene = speaking("u").play("", 0.1, user_next=0.8)
    (event,) = scene.policy.end_turn()
    assert event == TurnEvent("end_of_turn", 0, 1.1, pytest.approx(0.2), 0, "forced")
    assert scene.policy.end_turn() == []
    assert scene.play("", 3.0, user_next=0.1).take() == []


def test_speech_after_a_forced_end_is_a_new_turn() -> None:
    scene = speaking("u")
    scene.policy.end_turn()
    scene.play("u", 0.5)
    assert [(event.type, event.turn_index) for event in scene.events] == [("start_of_turn", 1)]
    assert scene.take() == [("start_of_turn", 0, 1.1)]


def test_who_is_in_no_turn_has_none_that_ends() -> None:
    scene = speaking("u")
    assert scene.policy.end_turn(1) == []
    with pytest.raises(PolicyError, match="speaker: expected 0 or 1, got 2"):
        scene.policy.end_turn(2)


def test_equal_eager_and_final_values_turn_eager_ends_off() -> None:
    settings = replace(SETTINGS, eager_threshold=0.6, eager_silence_secs=0.3)
    scene = Scene(settings).play("u", 1.0).play("", 0.5, user_next=0.9)
    scene.play("", 1.0, user_next=0.2)
    assert [event.type for event in scene.events] == ["start_of_turn", "end_of_turn"]


# ---- settings ----


def test_settings_have_the_defaults_of_balanced() -> None:
    assert PolicySettings(end_threshold=0.7) == replace(PRESETS["balanced"], end_threshold=0.7)


@pytest.mark.parametrize("name", [*PRESETS])
def test_presets_are_known_by_name(name: str) -> None:
    scene = Scene(name).play("u", 1.0).play("", 4.0, user_next=0.1)
    assert [kind for kind, _, _ in scene.take()] == [
        "start_of_turn",
        "eager_end_of_turn",
        "end_of_turn",
    ]


def test_a_more_patient_preset_is_faster_in_nothing() -> None:
    fast, balanced, patient = (PRESETS[name] for name in ("fast", "balanced", "patient"))
    for name in (
        "end_threshold",
        "end_silence_secs",
        "timeout_secs",
        "eager_threshold",
        "eager_silence_secs",
    ):
        assert getattr(fast, name) <= getattr(balanced, name) <= getattr(patient, name)
        assert getattr(fast, name) < getattr(patient, name)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        PolicyError,
        match=r"expected a policy of fast, balanced, patient or PolicySettings, got 'quick'",
    ):
        TurnPolicy("quick")


@pytest.mark.parametrize(
    ("name", "value", "high"),
    [
        ("end_threshold", 1.01, 1),
        ("end_threshold", -0.01, 1),
        ("end_threshold", math.nan, 1),
        ("eager_threshold", "0.5", 1),
        ("backchannel_threshold", None, 1),
        ("backchannel_threshold", True, 1),
        ("timeout_secs", 61, 60),
        ("timeout_secs", math.inf, 60),
        ("start_secs", -1, 60),
        ("overlap_secs", 1j, 60),
        ("backchannel_max_secs", 1e9, 60),
        ("speech_range_db", -1, 120),
        ("speech_range_db", math.inf, 120),
    ],
)
def test_a_setting_out_of_range_is_refused_with_both_numbers(
    name: str, value: object, high: int
) -> None:
    with pytest.raises(PolicyError) as caught:
        replace(SETTINGS, **{name: value})  # type: ignore[arg-type]
    assert str(caught.value) == f"{name}: expected a number from 0 to {high}, got {value!r}"


@pytest.mark.parametrize("value", [-121, 0.1, math.nan, True, "-60"])
def test_a_least_level_out_of_range_is_refused(value: object) -> None:
    with pytest.raises(PolicyError) as caught:
        replace(SETTINGS, min_level_dbfs=value)  # type: ignore[arg-type]
    assert str(caught.value) == f"min_level_dbfs: expected a number from -120 to 0, got {value!r}"


@pytest.mark.parametrize("change", [{"eager_threshold": 0.7}, {"eager_silence_secs": 0.4}])
def test_an_eager_end_cannot_be_later_than_the_final_one(change: dict[str, float]) -> None:
    with pytest.raises(
        PolicyError,
        match=(
            r"expected eager values of at most end_threshold 0\.6 and end_silence_secs 0\.3, got "
            "eager_threshold 0"
        ),
    ):
        replace(SETTINGS, **change)


def test_a_time_out_before_the_end_is_refused() -> None:
    with pytest.raises(
        PolicyError, match=r"expected timeout_secs >= end_silence_secs \(0\.3\), got 0\.2"
    ):
        replace(SETTINGS, timeout_secs=0.2)


def test_settings_may_change_inside_a_turn() -> None:
    scene = speaking("u").play("", 0.16, user_next=0.9)
    scene.policy.settings = replace(SETTINGS, timeout_secs=0.4)
    assert scene.play("", 1.0, user_next=0.9).take() == [("end_of_turn", 0, 1.4)]
