"""The live view on a terminal, and the plain lines without one."""

from __future__ import annotations

import io

import pytest

from turnstream.stream.live.terminal import TerminalView
from turnstream.stream.live.terminal_screen import Screen
from turnstream.stream.prediction import TurnEvent

from .terminal_pictures import FakeTerminal, prediction


def test_where_there_is_no_terminal_events_are_plain_lines() -> None:
    out = io.StringIO()
    view = TerminalView("call.wav", "tiny 1")
    with Screen(view, out=out) as screen:
        screen.on_prediction(prediction(10), 0.001)
        screen.on_event(TurnEvent("end_of_turn", 0, 7.4, 0.82))
        screen.on_warning("too loud")
    assert screen.plain
    assert out.getvalue().splitlines() == [
        "call.wav, model tiny 1; Ctrl-C ends",
        " 0:07.4  You finished your turn (82 %)",
        " 0:00.2  * too loud",
    ]


def test_on_a_terminal_the_picture_is_drawn_and_the_terminal_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("TERM", "xterm-256color"), ("COLUMNS", "80"), ("LINES", "24")):
        monkeypatch.setenv(name, value)
    out = FakeTerminal()
    with Screen(TerminalView("call.wav", "tiny 1"), out=out) as screen:
        for frame in range(6):
            screen.on_prediction(prediction(frame))
        screen.on_notice("No sound for 3 s")
    text = out.getvalue()
    assert not screen.plain
    assert "No sound for 3 s" in text  # at once, not with the next prediction
    assert text.count("Will it shift to ") == 3  # in every third frame, and with the notice
    enter, leave, show_cursor = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"
    assert text.index(enter) < text.rindex("turnstream") < text.index(leave)
    assert show_cursor in text[text.rindex("events") :]


@pytest.mark.parametrize(("term", "encoding"), [("dumb", "utf-8"), ("xterm", "iso-8859-1")])
def test_a_terminal_that_cannot_show_the_picture_gets_lines(
    monkeypatch: pytest.MonkeyPatch, term: str, encoding: str
) -> None:
    monkeypatch.setenv("TERM", term)
    out = FakeTerminal()
    monkeypatch.setattr(out, "encoding", encoding, raising=False)
    with Screen(TerminalView("call.wav", "tiny 1"), out=out) as screen:
        screen.on_event(TurnEvent("backchannel", 0, 1.0, 0.9))
    assert screen.plain
    assert "Backchannel from you" in out.getvalue()
    out.getvalue().encode(encoding)
