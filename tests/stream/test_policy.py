"""The policy: every event from hand-made predictions, and what holds for any probabilities at all."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.stream.errors import PolicyError
from turnstream.stream.floor import FloorTracker, reached
from turnstream.stream.policy import PRESETS, PolicySettings, TurnPolicy
from turnstream.stream.prediction import Prediction, TurnEvent

FRAME_S = 0.02
LATENT = np.zeros((2, 1), np.float32)
SETTINGS = PolicySettings(
    end_threshold=0.6,
    end_silence_secs=0.3,
    timeout_secs=1.0,
    eager_threshold=0.5,
    eager_silence_secs=0.2,
    start_secs=0.1,
    overlap_secs=0.3,
    backchannel_threshold=0.5,
    backchannel_max_secs=0.8,
)
Found = list[tuple[str, int, float]]


Pair = tuple[float, float]


def frame(index: int, vad: Pair, p_user_next: float, p_backchannel: Pair, level_dbfs: Pair | None = None) -> Prediction:
    return Prediction(
        frame=index,
        time_s=(index + 1) * 320 / 16000,
        holder=None,
        p_shift=None,
        p_hold=None,
        vad=vad,
        p_now=(0.5, 0.5),
        p_future=(0.5, 0.5),
        p_next=(p_user_next, 1 - p_user_next),
        p_backchannel=p_backchannel,
        latent=LATENT,
        latent_speaker=LATENT,
        level_dbfs=level_dbfs,
    )


class Scene:
    """Plays stretches of activity to a policy and collects (type, speaker, time) of what falls."""

    def __init__(self, policy: str | PolicySettings = SETTINGS, start_frame: int = 0) -> None:
        self.policy = TurnPolicy(policy)
        self.frames = start_frame
        self.events: list[TurnEvent] = []

    def play(self, who: str, seconds: float, *, user_next: float = 0.5, backchannel: Pair = (0.1, 0.1), level_dbfs: Pair | None = None) -> Scene:
        """`who` speaks: "u" user, "o" other, "uo" both, "" nobody."""
        vad = (0.9 if "u" in who else 0.05, 0.9 if "o" in who else 0.05)
        for _ in range(round(seconds / FRAME_S)):
            self.events += self.policy.update(frame(self.frames, vad, user_next, backchannel, level_dbfs))
            self.frames += 1
        return self

    def take(self) -> Found:
        """What fell since the last call."""
        found, self.events = [(event.type, event.speaker, round(event.time_s, 6)) for event in self.events], []
        return found

    @property
    def now(self) -> float:
        return round(self.frames * FRAME_S, 6)


def speaking(who: str, level_dbfs: Pair | None = None) -> Scene:
    """A scene in which one speaker has been in a turn for a second."""
    scene = Scene().play(who, 1.0, level_dbfs=level_dbfs)
    scene.events = []
    return scene


# ---- starts ----


def test_speech_of_start_secs_starts_a_turn() -> None:
    assert Scene().play("", 1.0).play("u", 1.0).take() == [("start_of_turn", 0, 1.1)]
    assert Scene().play("", 1.0).play("o", 1.0).take() == [("start_of_turn", 1, 1.1)]


@pytest.mark.parametrize("frame_s", [0.01, 0.02, 0.04, 0.05])
def test_times_hold_whatever_the_frame(frame_s: float) -> None:
    policy, found = TurnPolicy(replace(SETTINGS, start_secs=0.2, eager_silence_secs=0.4, end_silence_secs=0.6)), list[TurnEvent]()
    for index in range(round(2 / frame_s)):
        speaks = index < round(1 / frame_s)
        found += policy.update(replace(frame(index, (0.9 if speaks else 0.05, 0.05), 0.1, (0.1, 0.1)), time_s=(index + 1) * frame_s))
    assert [(event.type, round(event.time_s, 6)) for event in found] == [("start_of_turn", 0.2), ("eager_end_of_turn", 1.4), ("end_of_turn", 1.6)]


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
    assert [round((time_s - start_frame * FRAME_S) / FRAME_S) for time_s in (start, eager, end)] == [5, 60, 65]


def test_a_start_tells_the_speech_probability() -> None:
    scene = Scene().play("u", 0.2)
    assert [event.probability for event in scene.events] == [0.9]


# ---- levels ----

QUIET = (-60.1, -60.1)
LOUD = (-60.0, -60.0)


def test_nothing_below_the_least_level_starts_a_turn() -> None:
    assert Scene().play("uo", 10.0, level_dbfs=QUIET).take() == []
    assert Scene().play("u", 1.0, level_dbfs=LOUD).take() == [("start_of_turn", 0, 0.1)]
    assert Scene(replace(SETTINGS, min_level_dbfs=-70)).play("u", 1.0, level_dbfs=QUIET).take() == [("start_of_turn", 0, 0.1)]


def test_each_speaker_is_measured_on_the_own_channel() -> None:
    assert [event[:2] for event in Scene().play("uo", 0.2, level_dbfs=(-80, -20)).take()] == [("start_of_turn", 1)]


def test_a_click_in_faint_noise_starts_nothing() -> None:
    scene = Scene().play("u", 1.0, level_dbfs=QUIET)
    assert scene.play("u", 0.08, level_dbfs=LOUD).play("u", 5.0, level_dbfs=QUIET).take() == []


def test_faint_speech_starts_a_turn_though_parts_of_it_are_fainter() -> None:
    scene = Scene()
    for _ in range(5):
        scene.play("u", 0.04, level_dbfs=LOUD).play("u", 0.06, level_dbfs=QUIET)
    assert scene.take() == [("start_of_turn", 0, 0.22)]


def test_in_a_turn_the_level_does_not_matter() -> None:
    scene = speaking("u", LOUD).play("u", 10.0, level_dbfs=(-120, -120))
    assert scene.play("", 0.26, user_next=0.1, level_dbfs=(-120, -120)).play("u", 0.5, level_dbfs=(-120, -120)).take() == [
        ("eager_end_of_turn", 0, 11.2),
        ("turn_resumed", 0, 11.28),
    ]


def test_faint_noise_over_the_others_speech_is_neither_backchannel_nor_interruption() -> None:
    assert speaking("o").play("uo", 0.2, level_dbfs=QUIET).play("o", 1.0).play("uo", 3.0, level_dbfs=QUIET).play("o", 1.0).take() == []


def test_what_is_far_fainter_than_the_speakers_speech_starts_nothing() -> None:
    for level, started in ((-50, False), (-44, True)):
        scene = speaking("u", (-20, -120)).play("", 1.0, user_next=0.1)
        scene.take()
        assert bool(scene.play("u", 0.5, level_dbfs=(level, -120)).take()) == started


def test_the_others_speech_does_not_make_a_faint_speaker_fainter() -> None:
    scene = speaking("o", (-120, -10)).play("", 1.0, user_next=0.9)
    scene.take()
    assert scene.play("u", 0.2, level_dbfs=(-55, -120)).take() == [("start_of_turn", 0, 2.1)]


def test_who_moves_away_from_the_microphone_is_heard_again_soon() -> None:
    scene = speaking("u", (-15, -120)).play("", 1.0, user_next=0.1)
    scene.take()
    scene.play("u", 3.0, level_dbfs=(-50, -120)).play("", 1.0, user_next=0.1)
    (start, _, _) = scene.take()
    assert start[0] == "start_of_turn"
    assert 2.9 < start[2] < 3.2  # 10 dB below the range, at 10 dB per second
    assert scene.play("u", 0.2, level_dbfs=(-50, -120)).take() == [("start_of_turn", 0, 6.1)]


def test_a_short_bang_does_not_make_a_turn_sound_loud() -> None:
    scene = speaking("u", (-40, -120)).play("u", 0.02, level_dbfs=(-20, -120)).play("u", 1.0, level_dbfs=(-40, -120)).play("", 1.0, user_next=0.1)
    scene.take()
    assert scene.play("u", 0.2, level_dbfs=(-50, -120)).take() == [("start_of_turn", 0, 3.12)]


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
    assert [kind for kind, _, _ in scene.take()] == ["eager_end_of_turn", "turn_resumed", "eager_end_of_turn", "end_of_turn"]


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
    assert [kind for kind, _, _ in speaking("u").play("", 10.0, user_next=0.2).take()] == ["eager_end_of_turn", "end_of_turn"]


def test_speech_after_an_end_is_a_new_turn() -> None:
    scene = speaking("u").play("", 0.5, user_next=0.2)
    scene.take()
    assert scene.play("u", 0.5).take() == [("start_of_turn", 0, 1.6)]


def test_a_conversation_of_quick_shifts_alternates() -> None:
    scene = Scene()
    for speaker in ("u", "o", "u", "o"):
        scene.play(speaker, 1.0).play("", 0.4, user_next=0.1 if speaker == "u" else 0.9)
    finals = [(kind, speaker) for kind, speaker, _ in scene.take() if kind != "eager_end_of_turn"]
    assert finals == [(kind, speaker) for speaker in (0, 1, 0, 1) for kind in ("start_of_turn", "end_of_turn")]


# ---- speech over the other's ----


def test_a_backchannel_in_overlap_is_called_one_and_starts_no_turn() -> None:
    scene = speaking("u").play("uo", 0.5, backchannel=(0.1, 0.8)).play("u", 1.0)
    assert [event.probability for event in scene.events] == [0.8]
    assert scene.take() == [("backchannel", 1, 1.3)]


def test_a_backchannel_in_a_pause_leaves_the_turn_alone() -> None:
    scene = speaking("u").play("", 0.16, user_next=0.9).play("o", 0.4, user_next=0.9, backchannel=(0.1, 0.8)).play("u", 1.0)
    assert scene.take() == [("backchannel", 1, 1.26)]


def test_short_speech_in_overlap_is_a_backchannel_whatever_the_model_says() -> None:
    assert speaking("o").play("uo", 0.2).play("o", 1.0).take() == [("backchannel", 0, 1.22)]


def test_a_click_in_overlap_is_nothing() -> None:
    scene = speaking("o")
    for _ in range(10):
        scene.play("uo", 0.08).play("o", 0.2)
    assert scene.take() == []


def test_long_speech_in_overlap_is_an_interruption_and_a_start_of_turn() -> None:
    scene = speaking("o").play("uo", 0.5, backchannel=(0.2, 0.1))
    assert [event.probability for event in scene.events] == pytest.approx([0.8, 0.9])
    assert scene.take() == [("interruption", 0, 1.3), ("start_of_turn", 0, 1.3)]


def test_a_backchannel_that_goes_on_becomes_an_interruption() -> None:
    scene = speaking("o").play("uo", 1.0, backchannel=(0.8, 0.1))
    assert scene.take() == [("backchannel", 0, 1.3), ("interruption", 0, 1.8), ("start_of_turn", 0, 1.8)]


def test_a_backchannel_that_goes_on_into_silence_becomes_a_turn() -> None:
    scene = speaking("o").play("uo", 0.6, backchannel=(0.8, 0.1)).play("u", 0.4, user_next=0.1)
    assert scene.take() == [("backchannel", 0, 1.3), ("end_of_turn", 1, 1.8), ("start_of_turn", 0, 1.8)]


def test_gaps_do_not_make_one_long_overlap_many_backchannels() -> None:
    scene = speaking("o")
    for _ in range(4):
        scene.play("uo", 0.2).play("o", 0.1)
    assert scene.take() == [("backchannel", 0, 1.22), ("interruption", 0, 1.8), ("start_of_turn", 0, 1.8)]


def test_a_wavering_vad_does_not_make_a_long_overlap_a_backchannel_for_longer() -> None:
    scene = speaking("o").play("uo", 0.7, backchannel=(0.9, 0.1)).play("o", 0.04).play("uo", 0.7, backchannel=(0.9, 0.1))
    assert scene.take() == [("backchannel", 0, 1.3), ("interruption", 0, 1.8), ("start_of_turn", 0, 1.8)]


def test_backchannels_with_pauses_between_them_are_several() -> None:
    scene = speaking("o")
    for _ in range(4):
        scene.play("uo", 0.24).play("o", 0.26)
    assert [kind for kind, _, _ in scene.take()] == ["backchannel"] * 4


def test_a_backchannel_that_goes_on_when_the_others_turn_has_ended_is_a_turn() -> None:
    scene = speaking("o").play("uo", 0.34, backchannel=(0.9, 0.1)).play("u", 0.6, user_next=0.7, backchannel=(0.9, 0.1))
    assert [event for event in scene.take() if event[0] != "eager_end_of_turn"] == [
        ("backchannel", 0, 1.3),
        ("end_of_turn", 1, 1.64),
        ("start_of_turn", 0, 1.66),
    ]


def test_an_overlap_that_the_other_leaves_is_no_backchannel() -> None:
    patient = replace(SETTINGS, overlap_secs=0.6)
    scene = Scene(patient).play("o", 1.0)
    scene.take()
    scene.play("uo", 0.16).play("u", 0.5, user_next=0.7, backchannel=(0.9, 0.1))
    assert [event for event in scene.take() if event[0] != "eager_end_of_turn"] == [("end_of_turn", 1, 1.46), ("start_of_turn", 0, 1.48)]


def test_a_shift_with_a_little_overlap_is_no_interruption() -> None:
    scene = speaking("o").play("uo", 0.16).play("u", 1.0, user_next=0.4)
    assert scene.take() == [("end_of_turn", 1, 1.3), ("start_of_turn", 0, 1.3)]


def test_who_was_interrupted_and_fell_silent_has_ended_though_the_model_expects_him_back() -> None:
    scene = speaking("o").play("uo", 0.5)
    scene.take()
    assert scene.play("u", 0.5, user_next=0.1).take() == [("end_of_turn", 1, 1.8)]


def test_who_gave_up_an_interruption_has_ended_while_the_other_goes_on() -> None:
    scene = speaking("o").play("uo", 0.5)
    scene.take()
    assert scene.play("o", 0.5, user_next=0.9).take() == [("end_of_turn", 0, 1.8)]


def test_of_two_who_start_at_once_the_user_is_first_and_the_other_is_judged_as_overlap() -> None:
    scene = Scene().play("uo", 0.28)
    assert scene.take() == [("start_of_turn", 0, 0.1)]
    assert scene.play("uo", 0.2).take() == [("interruption", 1, 0.3), ("start_of_turn", 1, 0.3)]


def test_of_two_who_start_at_once_one_may_give_way() -> None:
    assert [event[:2] for event in Scene().play("uo", 0.2).play("u", 1.0).take()] == [("start_of_turn", 0), ("backchannel", 1)]
    assert [event[:2] for event in Scene().play("o", 0.04).play("uo", 0.2).play("o", 1.0).take()] == [("start_of_turn", 1), ("backchannel", 0)]


# ---- settings ----


@pytest.mark.parametrize("name", [*PRESETS])
def test_presets_are_known_by_name(name: str) -> None:
    scene = Scene(name).play("u", 1.0).play("", 4.0, user_next=0.1)
    assert [kind for kind, _, _ in scene.take()] == ["start_of_turn", "eager_end_of_turn", "end_of_turn"]


def test_a_more_patient_preset_is_faster_in_nothing() -> None:
    fast, balanced, patient = (PRESETS[name] for name in ("fast", "balanced", "patient"))
    for name in ("end_threshold", "end_silence_secs", "timeout_secs", "eager_threshold", "eager_silence_secs"):
        assert getattr(fast, name) <= getattr(balanced, name) < getattr(patient, name)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PolicyError, match=r"expected a policy of fast, balanced, patient or PolicySettings, got 'quick'"):
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
def test_a_setting_out_of_range_is_refused_with_both_numbers(name: str, value: object, high: int) -> None:
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
    with pytest.raises(PolicyError, match=r"expected eager values of at most end_threshold 0\.6 and end_silence_secs 0\.3, got eager_threshold 0"):
        replace(SETTINGS, **change)


def test_a_time_out_before_the_end_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"expected timeout_secs >= end_silence_secs \(0\.3\), got 0\.2"):
        replace(SETTINGS, timeout_secs=0.2)


def test_settings_may_change_inside_a_turn() -> None:
    scene = speaking("u").play("", 0.16, user_next=0.9)
    scene.policy.settings = replace(SETTINGS, timeout_secs=0.4)
    assert scene.play("", 1.0, user_next=0.9).take() == [("end_of_turn", 0, 1.4)]


# ---- whatever the model says ----

values = st.sampled_from([0.0, 0.2, 0.4, 0.45, 0.55, 0.7, 1.0])
vads = st.sampled_from([(a, b) for a in (0.0, 0.4, 1.0) for b in (0.0, 0.4, 1.0)])
levels = st.sampled_from([None, *((a, b) for a in (-15.0, -50.0, -70.0) for b in (-15.0, -50.0, -70.0))])
stretch = st.tuples(vads, values, st.tuples(values, values), st.integers(1, 40), levels)
conversations = st.lists(stretch, max_size=14)
Conversation = list[tuple[Pair, float, Pair, int, Pair | None]]
policies = st.sampled_from(
    [*PRESETS.values(), SETTINGS, replace(SETTINGS, start_secs=0, overlap_secs=0, eager_silence_secs=0, end_silence_secs=0, timeout_secs=0)]
)


def frames_of(conversation: Conversation) -> list[Prediction]:
    shapes = [(vad, p_next, p_backchannel, level) for vad, p_next, p_backchannel, count, level in conversation for _ in range(count)]
    return [frame(index, *shape) for index, shape in enumerate(shapes)]


@given(conversations, policies)
def test_events_make_sense_for_each_speaker(conversation: Conversation, policy: PolicySettings) -> None:
    turn_policy = TurnPolicy(policy)
    in_turn, eager, last_s = [False, False], [False, False], 0.0
    for prediction in frames_of(conversation):
        for event in turn_policy.update(prediction):
            speaker = event.speaker
            assert event.time_s == prediction.time_s >= last_s
            assert 0 <= event.probability <= 1
            last_s = event.time_s
            match event.type:
                case "start_of_turn":
                    assert not in_turn[speaker]
                    in_turn[speaker] = True
                case "eager_end_of_turn":
                    assert in_turn[speaker]
                    assert not eager[speaker]
                    eager[speaker] = True
                case "turn_resumed":
                    assert eager[speaker]
                    eager[speaker] = False
                case "end_of_turn":
                    assert in_turn[speaker]
                    in_turn[speaker] = eager[speaker] = False
                case "backchannel":
                    assert not in_turn[speaker]
                case "interruption":
                    assert not in_turn[speaker]
                    assert in_turn[1 - speaker]


@given(conversations, policies)
def test_long_speech_is_a_turn_whatever_the_model_says_of_it(conversation: Conversation, policy: PolicySettings) -> None:
    turn_policy, floor = TurnPolicy(policy), FloorTracker()
    longest_s = max(policy.start_secs, policy.overlap_secs, policy.backchannel_max_secs) + FRAME_S
    in_turn, spoken_s = [False, False], [0.0, 0.0]
    for prediction in frames_of([(*rest, None) for *rest, _ in conversation]):
        floor.update(prediction.vad, FRAME_S)
        for event in turn_policy.update(prediction):
            if event.type in ("start_of_turn", "end_of_turn"):
                in_turn[event.speaker] = event.type == "start_of_turn"
        for speaker in (0, 1):
            spoken_s[speaker] = spoken_s[speaker] + FRAME_S if floor.active[speaker] else 0.0
            assert in_turn[speaker] or not reached(spoken_s[speaker], longest_s)


@given(conversations, policies)
def test_what_is_too_quiet_causes_no_event(conversation: Conversation, policy: PolicySettings) -> None:
    turn_policy = TurnPolicy(policy)
    events = [event for prediction in frames_of([(*rest, (-61.0, -70.0)) for *rest, _ in conversation]) for event in turn_policy.update(prediction)]
    assert policy.start_secs == 0 or events == []


@given(conversations, policies)
def test_silence_ends_every_turn(conversation: Conversation, policy: PolicySettings) -> None:
    silence = ((0.0, 0.0), 0.5, (0.0, 0.0), round(policy.timeout_secs / FRAME_S) + 1, None)
    turn_policy = TurnPolicy(policy)
    kinds = [event.type for prediction in frames_of([*conversation, silence]) for event in turn_policy.update(prediction)]
    assert kinds.count("start_of_turn") == kinds.count("end_of_turn")


@given(conversations, policies, st.data())
def test_going_on_from_plain_values_gives_the_same_events(conversation: Conversation, policy: PolicySettings, drawn: st.DataObject) -> None:
    predictions = frames_of(conversation)
    cut = drawn.draw(st.integers(0, len(predictions)))
    whole, first, second = TurnPolicy(policy), TurnPolicy(policy), TurnPolicy(policy)
    expected = [whole.update(prediction) for prediction in predictions]
    for prediction in predictions[:cut]:
        first.update(prediction)
    second.restore(json.loads(json.dumps(first.to_plain())))
    assert [second.update(prediction) for prediction in predictions[cut:]] == expected[cut:]
