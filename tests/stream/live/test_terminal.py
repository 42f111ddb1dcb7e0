"""The picture of the live view: its layout, its shapes and what it tells."""

from __future__ import annotations

import math

import numpy as np
import pytest

from turnstream.stream.live.terminal import TerminalView
from turnstream.stream.live.terminal_plan import Widths, plan_rows
from turnstream.stream.live.terminal_shapes import bar, clock, column_rows, fit, level_share
from turnstream.stream.prediction import TurnEvent

from .terminal_pictures import NAMES, draw, prediction


@pytest.fixture
def view() -> TerminalView:
    """Ten seconds: the user speaks for eight seconds, then the other takes the floor."""
    view = TerminalView(
        "call.wav", "tiny 1", names=NAMES, end_threshold=0.6, session="3f2a1b", duration_s=42.0
    )
    for frame in range(400):
        view.on_prediction(prediction(frame), 0.002)
    view.on_event(TurnEvent("start_of_turn", 0, 0.1, 0.9))
    view.on_event(TurnEvent("end_of_turn", 0, 8.0, 0.82))
    view.on_event(TurnEvent("start_of_turn", 1, 8.1, 0.9))
    for frame in range(400, 500):
        view.on_prediction(prediction(frame, vad=(0.1, 0.9), holder=1, p_shift=0.75), 0.004)
    view.on_level((-60.0, -15.0))
    return view


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 16), (40, 11), (200, 60)])
def test_picture_fills_the_terminal_and_never_overflows(
    view: TerminalView, width: int, height: int
) -> None:
    lines = draw(view, width, height).splitlines()
    assert len(lines) == height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_layout_stays_where_it_is_while_the_conversation_goes_on(
    view: TerminalView, width: int, height: int
) -> None:
    empty = TerminalView("call.wav", "tiny 1", names=NAMES)
    first, later = draw(empty, width, height).splitlines(), draw(view, width, height).splitlines()
    assert len(first) == len(later)
    for label in ("You ", "Other ", "100 %", "   held", "Who next?", "── events"):
        rows = [
            [row for row, line in enumerate(lines) if label in line[:12]]
            for lines in (first, later)
        ]
        assert rows[0][0] == rows[1][0], label


def test_everything_is_told_at_80x24_without_colour(view: TerminalView) -> None:
    picture = draw(view, 80, 24)
    assert "\x1b" not in picture
    for words in (
        "call.wav",
        "tiny 1",
        "delay 2.0 ms",
        "0:10.0 / 0:42.0",
        "One speaker has the floor.",
    ):
        assert words in picture
    assert "Other has the floor. Will it shift to you?" in picture
    assert "likely a shift" in picture
    assert "shift 75 %" in picture
    assert "▲ 60 %" in picture
    assert "You finished your turn (82 %)" in picture
    assert "session 3f2a1b" in draw(view, 120, 40)


def test_who_speaks_and_who_has_the_floor_is_beside_the_strips(view: TerminalView) -> None:
    lines = draw(view, 80, 24).splitlines()
    you, other = (
        next(row for row, line in enumerate(lines) if line.startswith(f" {name} "))
        for name in NAMES
    )
    assert "○ silent       10 %" in lines[you]
    assert "● speaking     90 %" in lines[other]
    assert "has the floor" in lines[other + 2]
    assert "has the floor" not in lines[you + 2]


def test_marks_are_on_the_time_axis_of_their_speaker(view: TerminalView) -> None:
    lines = draw(view, 80, 24).splitlines()
    you, other = (
        next(row for row, line in enumerate(lines) if line.startswith(f" {name} ")) + 2
        for name in NAMES
    )
    columns = Widths.of(80, NAMES)
    seconds_per_column = math.ceil(500 / columns.centre) / 50
    from_the_end = {
        mark: columns.centre - 1 - (line.index(mark) - 1 - columns.label)
        for mark, line in (("■", lines[you]), ("►", lines[other]))
    }
    assert from_the_end["■"] == pytest.approx(2.0 / seconds_per_column, abs=1)
    assert from_the_end["►"] == pytest.approx(1.9 / seconds_per_column, abs=1)
    assert "■" not in lines[other]


def test_before_anyone_has_spoken_it_waits() -> None:
    view = TerminalView("microphone", "tiny 1")
    assert "Nobody has the floor yet" in draw(view, 80, 24)
    view.on_prediction(prediction(0, vad=(0.0, 0.0), holder=None, p_shift=None))
    picture = draw(view, 80, 24)
    assert "Nobody has the floor yet" in picture
    assert "has the floor" not in picture.replace("Nobody has the floor", "").replace(
        "One speaker has the floor", ""
    )


def test_colour_changes_no_character(view: TerminalView) -> None:
    coloured = draw(view, 80, 24, colour=True)
    assert "\x1b[" in coloured
    plain = "".join(
        part.partition("m")[2] if number else part
        for number, part in enumerate(coloured.split("\x1b["))
    )
    assert plain == draw(view, 80, 24)


def test_drawing_is_deterministic(view: TerminalView) -> None:
    assert draw(view, 100, 30) == draw(view, 100, 30)


def test_newest_event_is_first_and_warnings_are_in_the_log(view: TerminalView) -> None:
    view.on_warning("the microphone is silent")
    lines = draw(view, 80, 24).splitlines()
    headline = next(row for row, line in enumerate(lines) if "── events" in line)
    assert "the microphone is silent" in lines[headline + 1]
    assert "Other started a turn" in lines[headline + 2]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 20), (40, 11)])
def test_what_is_wrong_just_now_is_seen_at_every_size_until_it_is_over(
    view: TerminalView, width: int, height: int
) -> None:
    before = draw(view, width, height)
    view.on_notice("No sound for 3 s")
    assert " ! No sound for 3 s" in draw(view, width, height)
    view.on_notice(
        "A very long notice that cannot fit into any of the terminals that are tried here, "
        "because it has too many words, by far"
    )
    assert max(map(len, draw(view, width, height).splitlines())) <= width
    view.on_notice(None)
    assert draw(view, width, height) == before


def test_a_long_warning_goes_on_in_the_next_line(view: TerminalView) -> None:
    view.on_warning(
        "speech sounds twice too fast; was it recorded at 8000 Hz and declared as 16000 Hz?"
    )
    lines = draw(view, 80, 24).splitlines()
    start = next(row for row, line in enumerate(lines) if "twice too fast" in line)
    assert (lines[start][12:] + " " + lines[start + 1].strip()).endswith(
        "was it recorded at 8000 Hz and declared as 16000 Hz?"
    )


@pytest.mark.parametrize("height", range(11, 61))
def test_plan_uses_every_row(height: int) -> None:
    assert plan_rows(height).rows == height


def test_24_rows_have_room_for_every_part() -> None:
    plan = plan_rows(24)
    assert min(plan.trace, plan.axis, plan.scale, plan.upcoming, plan.explanation, plan.strip) > 0


def test_shapes_have_their_size_and_ends() -> None:
    assert column_rows([math.nan, 0.0, 0.5, 1.0], 2) == ["   █", " ▁██"]
    assert bar(0.0, 8) == "░" * 8
    assert bar(1.0, 8) == "█" * 8
    assert bar(0.5, 8, 0.75) == "████░░┃░"
    assert [len(bar(value, 7, 1.0)) for value in np.linspace(-0.2, 1.2, 50)] == [7] * 50
    assert level_share(-60) == level_share(-100) == 0
    assert level_share(0) == 1
    assert [fit("Caller", width) for width in (0, 1, 4, 8)] == ["", "…", "Cal…", "Caller  "]


def test_clock_never_shows_sixty_seconds() -> None:
    assert [clock(time_s) for time_s in (0.0, 7.4, 59.96, 60.0, 754.32)] == [
        "0:00.0",
        "0:07.4",
        "0:59.9",
        "1:00.0",
        "12:34.3",
    ]
