"""The words of a live command: of events and warnings, in its picture, and at its end."""

from __future__ import annotations

import textwrap
from collections import deque

import pytest

from turnstream.stream.live.terminal import TerminalView
from turnstream.stream.live.terminal_words import (
    EXPLANATION,
    MARKS,
    SPEAK,
    Tally,
    closing_text,
    event_words,
    warning_words,
)
from turnstream.stream.prediction import EVENT_TYPES, EventType, TurnEvent

from .terminal_pictures import NAMES, draw


@pytest.mark.parametrize("kind", EVENT_TYPES)
@pytest.mark.parametrize("speaker", [0, 1])
def test_each_event_has_words_and_a_mark(kind, speaker: int) -> None:
    words = event_words(TurnEvent(kind, speaker, 1.0, 0.7), NAMES, 0.6)
    assert words.isprintable()
    assert NAMES[speaker].lower() in words.lower()
    assert len(MARKS[kind][0]) == 1


def test_the_reader_is_addressed_and_others_are_named() -> None:
    said: list[tuple[EventType, int, float, str]] = [
        ("end_of_turn", 0, 0.82, "You finished your turn (82 %)"),
        ("end_of_turn", 1, 0.82, "Other finished their turn (82 %)"),
        ("end_of_turn", 0, 0.1, "You fell silent, your turn is over"),
        ("turn_resumed", 0, 0.9, "You only paused, still your turn"),
        ("interruption", 1, 0.9, "Other interrupted you (90 %)"),
    ]
    for kind, speaker, probability, words in said:
        assert event_words(TurnEvent(kind, speaker, 1.0, probability), NAMES, 0.6) == words
    backchannel = event_words(TurnEvent("backchannel", 1, 1.0, 0.9), ("Caller", "Agent"), 0.6)
    assert backchannel.startswith("Backchannel from Agent")
    assert warning_words("channel 1: too loud", NAMES) == "Other: too loud"


def test_tally_counts_and_forgets_no_frame() -> None:
    tally = Tally()
    assert tally.latency_words is None
    for frame, latency_s in enumerate((0.001, 0.002, 0.009, None)):
        tally.add_frame((frame + 1) / 50, latency_s)
    tally.events.update(("end_of_turn", "end_of_turn", "backchannel"))
    assert tally.latency_words == "2.0 ms"
    assert (
        tally.summary()
        == "0.1 s of conversation, 4 predictions\n2 turns ended, 1 backchannel, 0 interruptions"
    )


@pytest.mark.parametrize("explanation", [EXPLANATION, SPEAK])
def test_the_explanations_fit_into_two_lines_of_80_columns(explanation: str) -> None:
    picture = draw(TerminalView("call.wav", "tiny 1", explanation=explanation), 80, 24)
    assert "…" not in picture.split("You  ")[0]
    assert len(textwrap.wrap(explanation, 76)) == 2


@pytest.mark.parametrize("command", ["demo", "listen"])
def test_the_closing_text_fits_into_80_columns(command: str) -> None:
    tally = Tally(frames=2249, seconds=44.98, latencies_s=deque([0.0219]))
    lines = closing_text(command, tally).splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(f"turnstream {command}  " in line for line in lines)
