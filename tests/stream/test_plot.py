"""The picture draws all that it is given, and nothing else."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from turnstream import MissingExtraError
from turnstream.stream import plot
from turnstream.stream.errors import AudioFormatError
from turnstream.stream.live import terminal
from turnstream.stream.plot import COLOURS, MARKS, SHIFT_COLOUR, Recording, plot_recording
from turnstream.stream.prediction import EVENT_TYPES, Prediction, TurnEvent

RATE_HZ = 8000
EVENTS = [TurnEvent(kind, number % 2, 1.0 + number, 0.5) for number, kind in enumerate(EVENT_TYPES)]


def conversation(seconds: float) -> tuple[NDArray[np.float32], list[Prediction]]:
    """Return predictions: the user speaks in even seconds, the other in odd ones."""
    latent = np.zeros((2, 1), np.float32)
    audio = (0.1 * np.random.default_rng(0).standard_normal((round(seconds * RATE_HZ), 2))).astype(
        np.float32
    )
    predictions: list[Prediction] = []
    for frame in range(round(seconds * 50)):
        other = frame // 50 % 2
        vad = (0.9 - 0.8 * other, 0.1 + 0.8 * other)
        p_shift = None if frame < 5 else (frame % 50) / 50
        p_hold = None if p_shift is None else 1 - p_shift
        holder = None if frame < 5 else other
        predictions.append(
            Prediction(
                frame,
                (frame + 1) / 50,
                holder,
                p_shift,
                p_hold,
                vad,
                (0.5, 0.5),
                (0.5, 0.5),
                (0.5, 0.5),
                (0.0, 0.0),
                latent,
                latent,
                (not other, bool(other)),
            )
        )
    return audio, predictions


def recorded(seconds: float, events: list[TurnEvent], title: str = "") -> Recording:
    audio, predictions = conversation(seconds)
    return Recording(audio, RATE_HZ, predictions, events, 0.4, title)


def drawn(seconds: float, events: list[TurnEvent], title: str = "") -> list[Any]:
    """Return the panels of the figure: waveforms and probabilities of each row."""
    return list(plot._draw(recorded(seconds, events, title), 0, 8).axes)


def silence(samples: int, channels: int) -> Recording:
    return Recording(np.zeros((samples, channels), np.float32), RATE_HZ, [], [], 0.5)


def marks(panel: Any) -> list[tuple[float, str, str, bool]]:
    """Return a panel's event marks: time, symbol, colour, whether it is on the user's side."""
    lines = [
        line for line in panel.lines if len(line.get_xdata()) == 1 and line.get_marker() != "None"
    ]
    return [
        (
            float(line.get_xdata()[0]),
            line.get_marker(),
            to_hex(line.get_color()),
            line.get_ydata()[0] > 0,
        )
        for line in lines
    ]


def test_every_event_is_marked_at_its_time_in_its_speakers_colour() -> None:
    waves, _ = drawn(10.0, EVENTS)
    expected = [
        (event.time_s, MARKS[event.type][0], COLOURS[event.speaker], event.speaker == 0)
        for event in EVENTS
    ]
    assert sorted(marks(waves)) == sorted(expected)


def test_no_events_no_marks() -> None:
    assert marks(drawn(10.0, [])[0]) == []


def test_a_long_conversation_is_folded_and_no_event_is_lost_or_doubled() -> None:
    times_s = [0.02, 29.98, 30.0, 59.98, 60.0]
    panels = drawn(60.0, [TurnEvent("start_of_turn", 0, time_s, 0.5) for time_s in times_s])
    assert len(panels) == 4
    assert [time_s for panel in panels[::2] for time_s, *_ in marks(panel)] == times_s
    assert [panel.get_xlim() for panel in panels] == [(0, 30), (0, 30), (30, 60), (30, 60)]


def test_a_short_conversation_fills_its_row() -> None:
    panels = drawn(20.0, [])
    assert [panel.get_xlim() for panel in panels] == [(0, 20), (0, 20)]
    assert panels[0].figure.get_figwidth() == 10


def test_the_shift_probability_is_drawn_as_given() -> None:
    _, chances = drawn(4.0, [])
    (line,) = [line for line in chances.lines if to_hex(line.get_color()) == SHIFT_COLOUR]
    _, predictions = conversation(4.0)
    np.testing.assert_array_equal(line.get_xdata(), [p.time_s for p in predictions])
    np.testing.assert_array_equal(
        line.get_ydata(), [np.nan if p.p_shift is None else p.p_shift for p in predictions]
    )
    assert chances.get_ylabel() == "p(shift)"


def shaded_s(panel: Any, colour: str) -> float:
    """Return the seconds that are shaded in a colour, summed over the polygons."""
    paths = [
        path
        for item in panel.collections
        if isinstance(item, PolyCollection) and item.get_alpha()
        for path in shaded_paths(item, colour)
    ]
    return float(sum(np.ptp(path.vertices[:, 0]) for path in paths))


def shaded_paths(item: Any, colour: str) -> list[Any]:
    return item.get_paths() if to_hex(item.get_facecolor()[0]) == colour else []


def test_activity_and_floor_are_shaded_for_each_speaker() -> None:
    waves, chances = drawn(4.0, [])
    for colour in COLOURS:
        assert shaded_s(waves, colour) == pytest.approx(2.0, abs=0.1)
        assert shaded_s(chances, colour) == pytest.approx(2.0, abs=0.2)


def test_names_are_written() -> None:
    waves, _ = drawn(4.0, [], "a call")
    figure = waves.figure
    assert figure.get_suptitle() == "a call"
    assert [label.get_text() for label in waves.get_yticklabels()] == ["user", "other"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *(meaning for _, meaning in MARKS.values()),
        "user",
        "other",
    ]
    assert set(MARKS) == set(EVENT_TYPES)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_nothing_predicted_is_a_picture_too(tmp_path: Path, channels: int, suffix: str) -> None:
    for samples in (0, 50, 8000):
        path = tmp_path / f"{samples}{suffix}"
        plot_recording(path, silence(samples, channels))
        assert path.stat().st_size > 1000


def test_a_page_holds_the_picture_the_sound_and_a_safe_title(tmp_path: Path) -> None:
    plot_recording(tmp_path / "call.html", recorded(3.0, EVENTS[:1], "<b>&call"))
    page = (tmp_path / "call.html").read_text()
    assert page.count("<svg") == page.count("</svg>") == 1
    assert 'src="data:audio/ogg;base64,T2dnU' in page  # "OggS"
    assert "<title>&lt;b&gt;&amp;call</title>" in page
    assert "<b>" not in page


def test_the_sound_of_a_long_recording_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot, "_draw", lambda *_, legend: None)
    monkeypatch.setattr(plot, "_svg", lambda _: "<svg></svg>")
    # A single write of this length overflows the stack of libsndfile's encoder.
    audio = np.zeros((180 * 16000, 2), np.float32)
    plot_recording(tmp_path / "long.html", Recording(audio, 16000, [], [], 0.5))
    assert (tmp_path / "long.html").stat().st_size > 1000


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        AudioFormatError,
        match=r"expected a picture ending in \.png, \.svg, \.pdf, \.html, got '.*call\.gif'",
    ):
        plot_recording(tmp_path / "call.gif", silence(1, 1))


def test_a_missing_matplotlib_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        MissingExtraError,
        match=r"matplotlib is not installed; to install it: pip install 'turnstream\[plot\]'",
    ):
        plot_recording(tmp_path / "call.png", silence(1, 1))


def test_drawing_warns_of_nothing(tmp_path: Path) -> None:
    recording = recorded(2.0, EVENTS[:1], "Gespräch ☎.wav")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_recording(tmp_path / "call.svg", recording)
    assert (tmp_path / "call.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("seconds", "names"),
    [
        (240.0, ["call.png"]),
        (250.0, ["call-1.png", "call-2.png"]),
        (2190.0, [f"call-{number:02}.png" for number in range(1, 11)]),
    ],
)
def test_a_long_recording_fills_pages_of_a_few_thousand_pixels(
    tmp_path: Path, seconds: float, names: list[str]
) -> None:
    recording = Recording(np.zeros((round(seconds * 100), 1), np.float32), 100, [], [], 0.5)
    written = plot_recording(tmp_path / "call.png", recording)
    assert written == [tmp_path / name for name in names]
    assert sorted(tmp_path.iterdir()) == written
    heights = [int.from_bytes(path.read_bytes()[20:24]) for path in written]
    assert max(heights) < 3500
    assert heights[:-1] == [max(heights)] * (len(written) - 1)


def test_pages_continue_where_the_one_before_ends() -> None:
    recording = recorded(290.0, [TurnEvent("end_of_turn", 1, time_s, 0.5) for time_s in (239, 241)])
    first, second = plot._draw(recording, 0, 8).axes, plot._draw(recording, 8, 16).axes
    assert (len(first), len(second)) == (16, 4)
    assert (first[-1].get_xlim(), second[0].get_xlim()) == ((210, 240), (240, 270))
    assert [marks(panel)[0][0] for panel in (first[14], second[0])] == [239, 241]


def test_a_long_page_has_a_picture_for_each_row(tmp_path: Path) -> None:
    plot_recording(tmp_path / "call.html", recorded(70.0, [], "call"))
    page = (tmp_path / "call.html").read_text()
    assert page.count("<svg") == page.count('<div class="row">') == 3
    assert page.count("may have finished") == 1  # the legend, as a comment in the SVG


def test_a_pdf_has_all_pages(tmp_path: Path) -> None:
    assert plot_recording(tmp_path / "call.pdf", recorded(250.0, [])) == [tmp_path / "call.pdf"]
    assert b"/Count 2" in (tmp_path / "call.pdf").read_bytes()


def test_the_dotted_line_is_the_threshold_of_the_policy() -> None:
    _, chances = drawn(4.0, [])
    (line,) = [line for line in chances.lines if line.get_linestyle() == ":"]
    assert set(line.get_ydata()) == {0.4}
    assert [label.get_text() for label in chances.get_yticklabels()] == ["0", "0.40", "1"]


def test_the_chance_has_the_colour_of_the_one_who_would_get_the_floor() -> None:
    _, chances = drawn(1.0, [])  # the user holds the floor
    assert shaded_s(chances, COLOURS[1]) == pytest.approx(0.9, abs=0.1)
    assert shaded_s(chances, COLOURS[0]) == 0


def test_colours_are_those_of_the_terminal_and_of_the_web_page() -> None:
    style = (Path(terminal.__file__).parents[1] / "service" / "web" / "style.css").read_text()
    assert terminal._COLOURS == COLOURS
    for name, colour in zip(("user", "other"), COLOURS, strict=True):
        assert f"--{name}: {colour};" in style
