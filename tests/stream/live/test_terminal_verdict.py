"""The verdict in a pause, what happened then, and the score at the end."""

from __future__ import annotations

import msgspec
import pytest

from turnstream.stream.live.pause_score import PauseScore
from turnstream.stream.live.terminal import TerminalView
from turnstream.stream.live.terminal_verdict import PauseVerdict, outcome_words, score_table
from turnstream.stream.live.terminal_words import Tally, closing_text, warning_words
from turnstream.stream.prediction import TurnEvent

from .terminal_pictures import NAMES, draw, prediction

SPEECH, SILENCE, OTHER = (0.9, 0.1), (0.1, 0.1), (0.1, 0.9)


def talk(view: TerminalView | PauseVerdict, *runs: tuple[int, tuple[float, float], float]) -> None:
    """Feed (frames, vad, p_next of the other); the user's turn starts at once."""
    shown = view if isinstance(view, PauseVerdict) else view._verdict
    frame = round(50 * shown.score._now_s)
    if frame == 0:
        view.on_event(TurnEvent("start_of_turn", 0, 0.0, 0.9))
    for count, vad, p_end in runs:
        for _ in range(count):
            p = prediction(frame, vad=vad, p_shift=p_end)
            view.on_prediction(msgspec.structs.replace(p, p_next=(1 - p_end, p_end)))
            frame += 1


@pytest.fixture
def verdict() -> PauseVerdict:
    return PauseVerdict(PauseScore(), end_threshold=0.4, end_silence_s=0.6)


def test_a_pause_is_named_then_judged_and_the_judgement_does_not_flicker(
    verdict: PauseVerdict,
) -> None:
    talk(verdict, (50, SPEECH, 0.3))
    assert verdict.words(NAMES) is None
    talk(verdict, (9, SILENCE, 0.3))
    assert verdict.words(NAMES) is None  # not yet a pause
    talk(verdict, (16, SILENCE, 0.3))
    assert verdict.words(NAMES) == ("You paused:", "PAUSE", "0.5 s of silence")
    talk(verdict, (5, SILENCE, 0.3))
    thinking = ("You paused:", "THINKING", "70 % sure, after 0.60 s")
    assert verdict.words(NAMES) == thinking
    talk(verdict, (10, SILENCE, 0.2))
    assert verdict.words(NAMES) == thinking
    talk(verdict, (1, SPEECH, 0.2))
    assert verdict.words(NAMES) is None


def test_an_end_of_turn_is_done_and_one_by_silence_alone_says_so(verdict: PauseVerdict) -> None:
    talk(verdict, (50, SPEECH, 0.3), (30, SILENCE, 0.7))
    verdict.on_event(TurnEvent("end_of_turn", 0, 1.6, 0.7))
    assert verdict.words(NAMES) == ("You paused:", "DONE", "70 % sure, after 0.60 s")
    talk(verdict, (50, SPEECH, 0.3))
    verdict.on_event(TurnEvent("start_of_turn", 0, 2.6, 0.9))
    talk(verdict, (100, SILENCE, 0.3))
    verdict.on_event(TurnEvent("end_of_turn", 0, 4.6, 0.3))
    assert verdict.words(NAMES) == ("You paused:", "DONE", "only by the silence of 2.0 s")


def test_an_end_because_the_other_takes_the_floor_is_no_verdict(verdict: PauseVerdict) -> None:
    talk(verdict, (50, SPEECH, 0.5), (15, SILENCE, 0.5), (6, OTHER, 0.5))
    verdict.on_event(TurnEvent("end_of_turn", 0, 1.42, 0.5))
    assert verdict.shown is not None
    assert verdict.shown.decision is None


def test_a_speaker_without_a_turn_is_not_said_to_think(verdict: PauseVerdict) -> None:
    talk(verdict, (50, SPEECH, 0.3))
    verdict.on_event(TurnEvent("end_of_turn", 0, 1.0, 0.3))
    talk(verdict, (40, SILENCE, 0.3))
    assert verdict.words(NAMES) == ("You paused:", "PAUSE", "0.8 s of silence")


def test_every_outcome_has_words(verdict: PauseVerdict) -> None:
    told: list[str] = []

    def tell() -> None:
        assert verdict.outcome is not None
        told.append(outcome_words(verdict.outcome, NAMES))

    talk(verdict, (50, SPEECH, 0.3), (50, SILENCE, 0.3), (50, SPEECH, 0.3))
    tell()
    talk(verdict, (40, SILENCE, 0.5))
    verdict.on_event(TurnEvent("end_of_turn", 0, 3.8, 0.5))
    talk(verdict, (50, SPEECH, 0.3))
    tell()
    talk(verdict, (25, SILENCE, 0.5), (60, OTHER, 0.5))
    tell()
    talk(verdict, (100, SPEECH, 0.5), (50, SILENCE, 0.5))
    verdict.on_event(TurnEvent("end_of_turn", 0, verdict.score._now_s, 0.5))
    talk(verdict, (60, OTHER, 0.5))
    tell()
    talk(verdict, (100, SPEECH, 0.5), (30, SILENCE, 0.5))
    verdict.on_event(TurnEvent("end_of_turn", 0, verdict.score._now_s, 0.5))
    talk(verdict, (10, SILENCE, 0.5), (60, OTHER, 0.5))
    tell()
    assert told == [
        "Right: You went on after 1.00 s",
        "Cut off: You went on after 0.80 s",
        "Too slow: Other spoke first, after 0.50 s",
        "Too slow: later than the timer; Other took the floor after 1.00 s",
        "Right: Other took the floor after 0.80 s",
    ]


def test_the_picture_shows_the_verdict_large_and_then_the_outcome_and_the_score() -> None:
    view = TerminalView("call.wav", "tiny 1", names=NAMES, end_threshold=0.4)
    talk(view, (50, SPEECH, 0.3), (40, SILENCE, 0.3))
    assert "You paused:   THINKING   70 % sure, after 0.60 s" in draw(view, 80, 24)
    assert "q quits" not in draw(view, 80, 24)
    talk(view, (30, SPEECH, 0.3))
    view.quit_key = True
    picture = draw(view, 80, 24)
    assert "paused" not in picture
    assert "Right: You went on after 0.80 s." in picture
    assert "turnstream: 1 right, 0 cut off, 0 too slow; timer of 0.7 s: 0, 1, 0" in picture
    assert "q quits" in picture
    assert "q quits" in draw(view, 40, 11)
    assert len(picture.splitlines()) == 24


def test_the_end_shows_the_score_beside_the_timer_and_how_few_pauses_there_were() -> None:
    tally = Tally()
    verdict = PauseVerdict(tally.score, 0.4, 0.6)
    assert "Pauses" not in closing_text("demo", tally)
    talk(verdict, (50, SPEECH, 0.3), (50, SILENCE, 0.3), (50, SPEECH, 0.3))
    assert score_table(tally.score).splitlines() == [
        "Pauses: 1                   right  cut off  too slow",
        "  turnstream                    1        0         0",
        "  silence timer of 0.7 s        0        1         0",
        "In 1 the same speaker went on, in 0 the other took the floor.",
        "Few pauses: chance decides much.",
    ]
    assert max(map(len, closing_text("demo", tally).splitlines())) <= 80
    assert score_table(tally.score) in closing_text("demo", tally)
    for _ in range(30):
        talk(verdict, (50, SILENCE, 0.3), (50, SPEECH, 0.3))
    assert "chance" not in score_table(tally.score)


def test_a_recording_is_not_asked_about_a_microphone() -> None:
    message = (
        "channel 0: nothing but zeros for 5 s; "
        "is the microphone muted or the wrong channel connected?"
    )
    assert warning_words(message, NAMES).endswith("wrong channel connected?")
    assert warning_words(message, NAMES, live=False) == "You: nothing but zeros for 5 s"
