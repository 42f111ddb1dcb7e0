"""The policy: properties that hold for any conversation and any predictions."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from turnstream.stream.floor import FloorTracker, reached
from turnstream.stream.policy import PRESETS, PolicySettings, TurnPolicy
from turnstream.stream.prediction import Prediction

from .policy_scenes import FRAME_S, SETTINGS, Pair, frame

values = st.sampled_from([0.0, 0.2, 0.4, 0.45, 0.55, 0.7, 1.0])
vads = st.sampled_from([(a, b) for a in (0.0, 0.4, 1.0) for b in (0.0, 0.4, 1.0)])
levels = st.sampled_from(
    [None, *((a, b) for a in (-15.0, -50.0, -70.0) for b in (-15.0, -50.0, -70.0))]
)
stretch = st.tuples(vads, values, st.tuples(values, values), st.integers(1, 40), levels)
conversations = st.lists(stretch, max_size=14)
Conversation = list[tuple[Pair, float, Pair, int, Pair | None]]
policies = st.sampled_from(
    [
        *PRESETS.values(),
        SETTINGS,
        replace(
            SETTINGS,
            start_secs=0,
            overlap_secs=0,
            eager_silence_secs=0,
            end_silence_secs=0,
            timeout_secs=0,
        ),
    ]
)


def frames_of(conversation: Conversation) -> list[Prediction]:
    shapes = [
        (vad, p_next, p_backchannel, level)
        for vad, p_next, p_backchannel, count, level in conversation
        for _ in range(count)
    ]
    floor = FloorTracker()
    return [frame(floor, index, *shape) for index, shape in enumerate(shapes)]


@given(conversations, policies)
def test_events_make_sense_for_each_speaker(
    conversation: Conversation, policy: PolicySettings
) -> None:
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
def test_long_speech_is_a_turn_whatever_the_model_says_of_it(
    conversation: Conversation, policy: PolicySettings
) -> None:
    turn_policy = TurnPolicy(policy)
    longest_s = max(policy.start_secs, policy.overlap_secs, policy.backchannel_max_secs) + FRAME_S
    in_turn, spoken_s = [False, False], [0.0, 0.0]
    for prediction in frames_of([(*rest, None) for *rest, _ in conversation]):
        for event in turn_policy.update(prediction):
            if event.type in ("start_of_turn", "end_of_turn"):
                in_turn[event.speaker] = event.type == "start_of_turn"
        for speaker in (0, 1):
            spoken_s[speaker] = spoken_s[speaker] + FRAME_S if prediction.active[speaker] else 0.0
            assert in_turn[speaker] or not reached(spoken_s[speaker], longest_s)


@given(conversations, policies)
def test_what_is_too_quiet_causes_no_event(
    conversation: Conversation, policy: PolicySettings
) -> None:
    turn_policy = TurnPolicy(policy)
    events = [
        event
        for prediction in frames_of([(*rest, (-61.0, -70.0)) for *rest, _ in conversation])
        for event in turn_policy.update(prediction)
    ]
    assert policy.start_secs == 0 or events == []


@given(conversations, policies)
def test_silence_ends_every_turn(conversation: Conversation, policy: PolicySettings) -> None:
    silence = ((0.0, 0.0), 0.5, (0.0, 0.0), round(policy.timeout_secs / FRAME_S) + 1, None)
    turn_policy = TurnPolicy(policy)
    kinds = [
        event.type
        for prediction in frames_of([*conversation, silence])
        for event in turn_policy.update(prediction)
    ]
    assert kinds.count("start_of_turn") == kinds.count("end_of_turn")


@given(conversations, policies, st.data())
def test_going_on_from_plain_values_gives_the_same_events(
    conversation: Conversation, policy: PolicySettings, drawn: st.DataObject
) -> None:
    predictions = frames_of(conversation)
    cut = drawn.draw(st.integers(0, len(predictions)))
    whole, first, second = TurnPolicy(policy), TurnPolicy(policy), TurnPolicy(policy)
    expected = [whole.update(prediction) for prediction in predictions]
    for prediction in predictions[:cut]:
        first.update(prediction)
    second.restore(json.loads(json.dumps(first.to_plain())))
    assert [second.update(prediction) for prediction in predictions[cut:]] == expected[cut:]
