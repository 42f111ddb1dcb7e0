"""The policy: sounds that are too quiet to start a turn."""

from __future__ import annotations

from dataclasses import replace

from .policy_scenes import SETTINGS, Scene, speaking

QUIET = (-60.1, -60.1)
LOUD = (-60.0, -60.0)


def test_nothing_below_the_least_level_starts_a_turn() -> None:
    assert Scene().play("uo", 10.0, level_dbfs=QUIET).take() == []
    assert Scene().play("u", 1.0, level_dbfs=LOUD).take() == [("start_of_turn", 0, 0.1)]
    assert Scene(replace(SETTINGS, min_level_dbfs=-70)).play("u", 1.0, level_dbfs=QUIET).take() == [
        ("start_of_turn", 0, 0.1)
    ]


def test_each_speaker_is_measured_on_the_own_channel() -> None:
    assert [event[:2] for event in Scene().play("uo", 0.2, level_dbfs=(-80, -20)).take()] == [
        ("start_of_turn", 1)
    ]


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
    assert scene.play("", 0.26, user_next=0.1, level_dbfs=(-120, -120)).play(
        "u", 0.5, level_dbfs=(-120, -120)
    ).take() == [
        ("eager_end_of_turn", 0, 11.2),
        ("turn_resumed", 0, 11.28),
    ]


def test_faint_noise_over_the_others_speech_is_neither_backchannel_nor_interruption() -> None:
    assert (
        speaking("o")
        .play("uo", 0.2, level_dbfs=QUIET)
        .play("o", 1.0)
        .play("uo", 3.0, level_dbfs=QUIET)
        .play("o", 1.0)
        .take()
        == []
    )


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
    scene = (
        speaking("u", (-40, -120))
        .play("u", 0.02, level_dbfs=(-20, -120))
        .play("u", 1.0, level_dbfs=(-40, -120))
        .play("", 1.0, user_next=0.1)
    )
    scene.take()
    assert scene.play("u", 0.2, level_dbfs=(-50, -120)).take() == [("start_of_turn", 0, 3.12)]
