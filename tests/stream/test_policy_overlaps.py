"""The policy: speech that begins while the other speaks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .policy_scenes import SETTINGS, Scene, speaking


def test_a_backchannel_in_overlap_is_called_one_and_starts_no_turn() -> None:
    scene = speaking("u").play("uo", 0.5, backchannel=(0.1, 0.8)).play("u", 1.0)
    assert [event.probability for event in scene.events] == [0.8]
    assert scene.take() == [("backchannel", 1, 1.3)]


def test_a_backchannel_in_a_pause_leaves_the_turn_alone() -> None:
    scene = (
        speaking("u")
        .play("", 0.16, user_next=0.9)
        .play("o", 0.4, user_next=0.9, backchannel=(0.1, 0.8))
        .play("u", 1.0)
    )
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
    assert scene.take() == [
        ("backchannel", 0, 1.3),
        ("interruption", 0, 1.8),
        ("start_of_turn", 0, 1.8),
    ]


def test_a_backchannel_that_goes_on_into_silence_becomes_a_turn() -> None:
    scene = (
        speaking("o")
        .play("uo", 0.6, backchannel=(0.8, 0.1))
        .play("u", 0.4, user_next=0.1, backchannel=(0.8, 0.1))
    )
    assert scene.take() == [
        ("backchannel", 0, 1.3),
        ("end_of_turn", 1, 1.8),
        ("start_of_turn", 0, 1.8),
    ]


def test_a_gap_does_not_make_a_cut_in_a_backchannel_for_longer() -> None:
    scene = speaking("o")
    for _ in range(4):
        scene.play("uo", 0.2).play("o", 0.1)
    assert scene.take()[:3] == [
        ("backchannel", 0, 1.22),
        ("interruption", 0, 1.4),
        ("start_of_turn", 0, 1.4),
    ]


def test_a_cut_in_word_by_word_is_an_interruption_at_the_second_word() -> None:
    scene = speaking("o")
    for _ in range(2):
        scene.play("uo", 0.24).play("o", 0.4)
    assert scene.take()[:3] == [
        ("backchannel", 0, 1.26),
        ("interruption", 0, 1.74),
        ("start_of_turn", 0, 1.74),
    ]


def test_a_click_after_a_backchannel_is_no_interruption() -> None:
    scene = speaking("o").play("uo", 0.28).play("o", 0.3).play("uo", 0.08).play("o", 0.5)
    assert [kind for kind, _, _ in scene.take()] == ["backchannel"]


def test_a_cut_in_is_no_backchannel_any_more_once_the_model_says_so() -> None:
    scene = (
        speaking("o")
        .play("uo", 0.4, backchannel=(0.8, 0.1))
        .play("uo", 0.4, backchannel=(0.2, 0.1))
    )
    assert scene.take() == [
        ("backchannel", 0, 1.3),
        ("interruption", 0, 1.42),
        ("start_of_turn", 0, 1.42),
    ]


def test_by_default_a_cut_in_that_the_model_calls_a_backchannel_interrupts_within_0_8_s() -> None:
    scene = Scene("balanced").play("o", 1.0)
    scene.take()
    scene.play("uo", 1.0, backchannel=(0.9, 0.1))
    assert scene.take()[1] == ("interruption", 0, 1.8)


def test_a_wavering_vad_does_not_make_a_long_overlap_a_backchannel_for_longer() -> None:
    scene = (
        speaking("o")
        .play("uo", 0.7, backchannel=(0.9, 0.1))
        .play("o", 0.04)
        .play("uo", 0.7, backchannel=(0.9, 0.1))
    )
    assert scene.take() == [
        ("backchannel", 0, 1.3),
        ("interruption", 0, 1.84),
        ("start_of_turn", 0, 1.84),
    ]


def test_backchannels_with_pauses_between_them_are_several() -> None:
    scene = speaking("o")
    for _ in range(4):
        scene.play("uo", 0.24).play("o", 0.56)
    assert [kind for kind, _, _ in scene.take()] == ["backchannel"] * 4


def test_a_backchannel_that_goes_on_when_the_others_turn_has_ended_is_a_turn() -> None:
    scene = (
        speaking("o")
        .play("uo", 0.34, backchannel=(0.9, 0.1))
        .play("u", 0.6, user_next=0.7, backchannel=(0.9, 0.1))
    )
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
    assert [event for event in scene.take() if event[0] != "eager_end_of_turn"] == [
        ("end_of_turn", 1, 1.46),
        ("start_of_turn", 0, 1.48),
    ]


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
    assert [event[:2] for event in Scene().play("uo", 0.2).play("u", 1.0).take()] == [
        ("start_of_turn", 0),
        ("backchannel", 1),
    ]
    assert [
        event[:2] for event in Scene().play("o", 0.04).play("uo", 0.2).play("o", 1.0).take()
    ] == [("start_of_turn", 1), ("backchannel", 0)]
