"""The plane in the terminal draws a state where the embedding places it."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from turnstream.stream.live.terminal import TerminalView
from turnstream.stream.live.terminal_plan import PLANE_COLUMNS, Widths, plan_rows
from turnstream.stream.live.terminal_plane import HEADS, TRAIL_S, TerminalPlane
from turnstream.stream.live.terminal_screen import Screen
from turnstream.stream.saved_embedding import DenseLayer, SavedEmbedding, load_embedding

from .terminal_pictures import NAMES, draw, prediction

WIDTH, ROWS = 40, 10
LANDMARKS = {"speaking": (6.0, 5.0), "about to speak": (-6.0, 5.0), "done": (-6.0, -5.0)}


@pytest.fixture
def embedding() -> SavedEmbedding:
    """An embedding of two of a state's three values, the first mirrored and moved.

    The plane reaches from (-10, -10) to (10, 10).
    """
    layer = DenseLayer(
        np.array([[-1, 0, 0], [0, 0, 1]], np.float32), np.array([0.5, 0], np.float32)
    )
    none = np.zeros(0, np.float32)
    return SavedEmbedding(
        "pca",
        "latent",
        "m 1",
        "00",
        (layer,),
        none.reshape(0, 2),
        none.astype(str),
        none,
        (-10, -10),
        (10, 10),
        LANDMARKS,
    )


def state_at(x: float, y: float) -> list[float]:
    return [0.5 - x, 99.0, y]


def feed(
    plane: TerminalPlane, *places: tuple[tuple[float, float], tuple[float, float]], first: int = 0
) -> None:
    for frame, (user, other) in enumerate(places, first):
        plane.add(frame, np.array([state_at(*user), state_at(*other)], np.float32))


def cells(plane: TerminalPlane, *parts: str) -> set[tuple[int, int]]:
    """Return columns and rows of what is drawn."""
    picture = plane.picture(WIDTH, ROWS)
    return {
        (column, row)
        for row, line in enumerate(picture.parts)
        for column, part in enumerate(line)
        if part in parts
    }


def dots(plane: TerminalPlane, part: str) -> int:
    picture = plane.picture(WIDTH, ROWS)
    found = zip(
        "".join(picture.characters), [part for line in picture.parts for part in line], strict=True
    )
    return sum((ord(character) - 0x2800).bit_count() for character, what in found if what == part)


@pytest.mark.parametrize(
    ("x", "y"), [(0.01, 0.01), (-9.9, 9.9), (9.9, -9.9), (3.3, -7.2), (-4.75, 1.5)]
)
def test_the_heads_are_in_the_cells_where_the_embedding_puts_them(
    embedding: SavedEmbedding, x: float, y: float
) -> None:
    plane = TerminalPlane(embedding)
    feed(plane, ((x, y), (-x, -y)))
    lines = plane.picture(WIDTH, ROWS).characters
    for head, (right, up) in zip(HEADS, ((x, y), (-x, -y)), strict=True):
        (row,) = (row for row, line in enumerate(lines) if head in line)
        left, top = (right + 10) / 20 * WIDTH, (10 - up) / 20 * ROWS
        assert (lines[row].index(head), row) == (int(left), int(top))


def test_what_lies_outside_is_drawn_at_the_edge(embedding: SavedEmbedding) -> None:
    plane = TerminalPlane(embedding)
    feed(plane, ((-25.0, 0.01), (4.01, 1000.0)))
    assert cells(plane, "user_head") == {(0, ROWS // 2 - 1)}
    assert cells(plane, "other_head") == {(28, 0)}


def test_the_trail_joins_the_last_two_seconds(embedding: SavedEmbedding) -> None:
    plane = TerminalPlane(embedding, 50.0)
    frames = round(TRAIL_S * 50)
    old = [((-9.0, 9.0), (9.0, 9.0))] * 30
    moving = [((-9.0 + 18 * t / (frames - 1), -9.9), (9.0, 0.01)) for t in range(frames)]
    feed(plane, *old, *moving)
    row = ROWS - 1
    assert cells(plane, "user") == {
        (column, row) for column in range(2, 38)
    }  # from -9 up to the head at 9, without the old points
    assert cells(plane, "user_head") == {(38, row)}
    assert dots(plane, "user") == 2 * 36  # an unbroken line


def test_the_others_trail_is_told_from_the_users_without_colour(
    embedding: SavedEmbedding,
) -> None:
    plane = TerminalPlane(embedding)
    feed(plane, *(((x, -9.9), (x, 9.9)) for x in np.linspace(-9, 9, 50)))
    assert 0 < dots(plane, "other") < 0.7 * dots(plane, "user")
    assert {row for _, row in cells(plane, "other")} == {0}


def test_a_gap_of_lost_frames_is_not_bridged(embedding: SavedEmbedding) -> None:
    plane = TerminalPlane(embedding)
    feed(plane, ((-9.0, -9.0), (0.0, 9.0)), ((-8.0, -9.0), (0.0, 9.0)))
    assert cells(plane, "user") != set()
    feed(plane, ((9.0, -9.0), (0.0, 9.0)), first=5)
    assert cells(plane, "user") == set()
    assert cells(plane, "user_head") == {(38, 9)}


def test_who_is_not_heard_is_not_drawn(embedding: SavedEmbedding) -> None:
    plane = TerminalPlane(embedding, heard=(True, False))
    feed(plane, ((1.0, 1.0), (5.0, 5.0)), ((1.0, 2.0), (5.0, 6.0)))
    assert cells(plane, "other", "other_head") == set()
    assert cells(plane, "user_head") != set()
    assert (plane.nearest(0), plane.nearest(1)) == ("speaking", None)


def test_the_nearest_landmark_is_named(embedding: SavedEmbedding) -> None:
    plane = TerminalPlane(embedding)
    assert plane.nearest(0) is None
    feed(plane, ((-5.0, -4.0), (-7.0, 6.0)))
    assert (plane.nearest(0), plane.nearest(1)) == ("done", "about to speak")
    without = TerminalPlane(replace(embedding, landmarks={}))
    feed(without, ((-5.0, -4.0), (-7.0, 6.0)))
    assert without.nearest(0) is None


def test_landmarks_have_a_cross_and_a_word_that_is_whole(embedding: SavedEmbedding) -> None:
    lines = TerminalPlane(embedding).picture(WIDTH, ROWS).characters
    for word, (right, up) in LANDMARKS.items():
        assert lines[int((10 - up) / 20 * ROWS)][int((right + 10) / 20 * WIDTH)] == "+"
        assert sum(word in line for line in lines) == 1


def test_words_that_would_collide_are_moved_or_left_out(embedding: SavedEmbedding) -> None:
    crowd = {f"landmark {number}": (0.1 * number, 0.0) for number in range(8)}
    text = "\n".join(
        TerminalPlane(replace(embedding, landmarks=crowd)).picture(WIDTH, ROWS).characters
    )
    assert [word for word in crowd if word in text] == [
        "landmark 0",
        "landmark 1",
        "landmark 2",
        "landmark 3",
    ]


def test_places_of_other_states_are_the_background(embedding: SavedEmbedding) -> None:
    places = np.array([[-9.9, -9.9], [9.9, -9.9], [30.0, 0.0]], np.float32)
    plane = TerminalPlane(
        replace(
            embedding,
            places=places,
            situations=np.array(["a"] * 3),
            stability=np.ones(3, np.float32),
        )
    )
    assert cells(plane, "places") == {(0, 9), (39, 9)}  # and not the one that lies outside
    assert dots(plane, "places") == 2
    feed(plane, ((-9.9, -9.9), (0.0, 0.0)), ((-9.0, -9.9), (0.0, 0.0)))
    assert cells(plane, "places") == {(39, 9)}


# ---- in the view ----


def view_with(
    embedding: SavedEmbedding | None, frames: int = 100, heard: tuple[bool, bool] = (True, True)
) -> TerminalView:
    view = TerminalView("call.wav", "tiny 1", names=NAMES, embedding=embedding, heard=heard)
    for frame in range(frames):
        view.on_latents(frame, np.array([state_at(6.0, 5.0), state_at(-6.0, -5.0)], np.float32))
        view.on_prediction(prediction(frame), 0.002)
    return view


@pytest.mark.parametrize(
    ("width", "height"), [(80, 24), (140, 45), (60, 20), (200, 60), (60, 16), (40, 11)]
)
def test_the_picture_fills_the_terminal_and_never_overflows(
    embedding: SavedEmbedding, width: int, height: int
) -> None:
    lines = draw(view_with(embedding), width, height).splitlines()
    assert len(lines) == height
    assert max(map(len, lines)) <= width


def test_at_80x24_the_plane_and_all_that_tells_of_the_floor_are_there(
    embedding: SavedEmbedding,
) -> None:
    picture = draw(view_with(embedding), 80, 24)
    for words in (
        "● You ",
        "◆ Other ",
        "near speaking",
        "near done",
        "You have the floor.",
        "shift 30 %",
        "▲ 60 %",
        "Who next?",
        "── events",
        "about to speak",
    ):
        assert words in picture
    lines = picture.splitlines()
    start = next(row for row, line in enumerate(lines) if line.startswith(" ● You"))
    widths = Widths.of(80, NAMES)
    plane = [
        line[1 + widths.label : 1 + widths.label + widths.centre]
        for line in lines[start : start + plan_rows(24, plane=True).plane]
    ]
    view = view_with(embedding)
    assert view.plane is not None
    assert [line.ljust(widths.centre) for line in plane] == view.plane.picture(
        widths.centre, len(plane)
    ).characters


@pytest.mark.parametrize(("width", "height"), [(80, 17), (80, 11), (30, 40)])
def test_too_small_a_terminal_leaves_the_plane_out_and_loses_nothing_else(
    embedding: SavedEmbedding, width: int, height: int
) -> None:
    with_plane = draw(view_with(embedding), width, height)
    assert with_plane == draw(view_with(None), width, height)
    assert "near" not in with_plane


def test_without_a_embedding_nothing_is_different(embedding: SavedEmbedding) -> None:
    assert view_with(None).plane is None
    assert plan_rows(45) != plan_rows(45, plane=True)
    assert plan_rows(45).plane == 0


@pytest.mark.parametrize("height", range(11, 91))
def test_the_plan_uses_every_row_and_the_plane_grows_with_it(height: int) -> None:
    plan = plan_rows(height, plane=True)
    assert plan.rows == height
    assert plan.plane >= (0 if height < 18 else 6 if height < 24 else 7 if height < 45 else 15)
    assert plan.events >= 2


def test_the_plane_keeps_its_place_while_the_conversation_goes_on(
    embedding: SavedEmbedding,
) -> None:
    first, later = (draw(view_with(embedding, frames), 80, 24).splitlines() for frames in (0, 300))
    for label in ("● You", "Who next?", "── events"):
        assert [label in line for line in first] == [label in line for line in later]


def test_a_channel_that_is_not_heard_is_named(embedding: SavedEmbedding) -> None:
    lines = draw(view_with(embedding, heard=(True, False)), 80, 24).splitlines()
    assert (
        next(line for line in lines if line.startswith(" ◆ Other")).rstrip().endswith("not heard")
    )


def test_colour_changes_no_character_of_the_plane(embedding: SavedEmbedding) -> None:
    places = np.random.default_rng(1).uniform(-10, 10, (300, 2)).astype(np.float32)
    full = replace(
        embedding,
        places=places,
        situations=np.array(["a"] * 300),
        stability=np.ones(300, np.float32),
    )
    coloured = draw(view_with(full), 80, 24, colour=True)
    plain = "".join(
        part.partition("m")[2] if number else part
        for number, part in enumerate(coloured.split("\x1b["))
    )
    assert plain == draw(view_with(full), 80, 24)


def test_the_bundled_plane_shows_all_its_landmarks_at_80x24() -> None:
    bundled = load_embedding()
    view = TerminalView("call.wav", "turnstream 4", embedding=bundled)
    picture = draw(view, 80, 24)
    assert all(word in picture for word in bundled.landmarks)
    assert Widths.of(80, NAMES).centre >= PLANE_COLUMNS


def test_where_there_is_no_terminal_a_line_says_that_the_plane_is_not_drawn(
    embedding: SavedEmbedding,
) -> None:
    out = io.StringIO()
    with Screen(TerminalView("call.wav", "tiny 1", embedding=embedding), out=out) as screen:
        screen.on_latents(0, np.zeros((2, 3), np.float32))
    assert out.getvalue().splitlines()[1] == "The plane of the latents is drawn on a terminal only."
    assert not Console(file=out).is_terminal
