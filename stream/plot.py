"""Draws a conversation: waveforms, voice activity, p_shift and turn events.

A long conversation fills several pages. Colours mean the same as in the terminal and on the web
page: a speaker's own, and for p_shift that of the speaker who would get the floor.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import AudioFormatError, MissingExtraError
from .plot_page import page
from .prediction import Prediction, TurnEvent

SECONDS_PER_ROW = 30.0  # a shorter conversation gets one shorter row
ROWS_PER_PAGE = 8  # some 3000 pixels high
INCHES_PER_S = 0.5
NARROWEST_INCHES = 10.0  # width of the legend
COLOURS = ("#4c9be8", "#e69f00")  # user, other; colour-blind-safe
SHIFT_COLOUR = "#333333"
_DPI = 110
# Inches. Fixed, so that the time axis is at the same place on every page.
_LEFT, _RIGHT, _TITLE, _FOOT = 0.75, 0.15, 0.45, 0.6
_WAVES, _GAP, _CHANCES, _TICKS = 1.55, 0.08, 1.15, 0.35
_ROW = _WAVES + _GAP + _CHANCES + _TICKS
MARKS = {
    "start_of_turn": ("^", "starts a turn"),
    "eager_end_of_turn": ("d", "may have finished"),
    "turn_resumed": ("P", "resumes"),
    "end_of_turn": ("s", "has finished"),
    "backchannel": ("o", "backchannel"),
    "interruption": ("X", "interrupts"),
}
SUFFIXES = (".png", ".svg", ".pdf", ".html")


@dataclass(frozen=True)
class Recording:
    """What is drawn.

    Attributes:
        audio: samples in [-1, 1], (N, 1) or (N, 2).
        sample_rate_hz: rate of the audio.
        predictions: the predictions of all frames.
        events: all events of the conversation.
        end_threshold: of the policy: the least p_shift that ends a turn.
        title: title of the picture.
    """

    audio: NDArray[np.float32]
    sample_rate_hz: int
    predictions: Sequence[Prediction]
    events: Sequence[TurnEvent]
    end_threshold: float
    title: str = ""

    @property
    def length_s(self) -> float:
        """Length of the audio, or of the predictions if these are longer."""
        predicted_s = self.predictions[-1].time_s if self.predictions else 0.0
        return max(len(self.audio) / self.sample_rate_hz, predicted_s)

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """End of each frame in seconds, (T,)."""
        return np.array([p.time_s for p in self.predictions])

    @cached_property
    def shift(self) -> NDArray[np.float64]:
        """p_shift of each frame, (T,); NaN without a floor holder."""
        return np.array([np.nan if p.p_shift is None else p.p_shift for p in self.predictions])

    @cached_property
    def active(self) -> NDArray[np.bool_]:
        """Whether each speaker is speaking, (T, 2)."""
        return np.array([p.active for p in self.predictions], dtype=bool).reshape(-1, 2)

    @cached_property
    def holders(self) -> NDArray[np.int64]:
        """Floor holder of each frame, (T,); -1 for nobody."""
        return np.array([-1 if p.holder is None else p.holder for p in self.predictions])

    @cached_property
    def peaks(self) -> list[float]:
        """Largest amplitude of each channel of the whole recording."""
        return [float(np.abs(channel).max(initial=0)) for channel in self.audio.T]

    @property
    def rows(self) -> int:
        """Number of rows that it fills."""
        return max(1, int(np.ceil(self.length_s / SECONDS_PER_ROW)))

    @property
    def row_s(self) -> float:
        """Seconds on each row's axis."""
        return min(SECONDS_PER_ROW, max(self.length_s, 1.0))


def plot_recording(path: Path, recording: Recording) -> list[Path]:
    """Draw a conversation in rows of at most 30 s.

    Args:
        path: file to write: .png or .svg, .pdf, or .html (a page that plays the sound).
        recording: the conversation.
    Returns:
        The files that were written. A conversation of more than four minutes fills several pages: a
        .png or .svg for each, whose names end in numbers. A .pdf and a .html hold everything.
    Raises:
        AudioFormatError: the path has another suffix.
        MissingExtraError: matplotlib is not installed.
    """
    check_picture(path)
    if path.suffix == ".html":
        path.write_text(_html(recording), encoding="utf-8")
        return [path]
    firsts = range(0, recording.rows, ROWS_PER_PAGE)
    figures = (_draw(recording, first, first + ROWS_PER_PAGE) for first in firsts)
    if path.suffix == ".pdf":
        _save_pdf(path, figures)
        return [path]
    digits = len(str(len(firsts)))
    paths = [
        path if len(firsts) == 1 else path.with_stem(f"{path.stem}-{number:0{digits}}")
        for number in range(1, len(firsts) + 1)
    ]
    for page_path, figure in zip(paths, figures, strict=True):
        figure.savefig(page_path, dpi=_DPI)
    return paths


def _html(recording: Recording) -> str:
    width = _width(recording)
    untitled = replace(recording, title="")  # the page has the title
    pictures = [
        _svg(_draw(untitled, row, row + 1, legend=row == 0)) for row in range(recording.rows)
    ]
    return page(
        pictures,
        recording.audio,
        recording.sample_rate_hz,
        recording.title,
        row_s=recording.row_s,
        left=_LEFT / width,
        width=(width - _LEFT - _RIGHT) / width,
    )


def _svg(figure: Any) -> str:
    picture = io.StringIO()
    figure.savefig(picture, format="svg")
    text = picture.getvalue()
    # A tenth of a point is enough, and half as long.
    return re.sub(r' d="[^"]*"', _rounded, text[text.index("<svg") :])


def _rounded(path: re.Match[str]) -> str:
    return re.sub(r"(\.\d)\d+", r"\1", path[0])


def _save_pdf(path: Path, figures: Iterator[Any]) -> None:
    from matplotlib.backends.backend_pdf import PdfPages

    with PdfPages(path) as pages:
        for figure in figures:
            pages.savefig(figure)  # pyright: ignore[reportUnknownMemberType]


def check_picture(path: Path) -> None:
    """Check that a picture can be drawn; call this before the expensive work.

    Raises:
        AudioFormatError: the suffix is not one of SUFFIXES.
        MissingExtraError: matplotlib is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise AudioFormatError(
            f"expected a picture ending in {', '.join(SUFFIXES)}, got {str(path)!r}"
        )
    try:
        import matplotlib.figure  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ModuleNotFoundError:
        raise MissingExtraError("matplotlib", "plot") from None


def _width(recording: Recording) -> float:
    return max(NARROWEST_INCHES, INCHES_PER_S * recording.row_s)


def _draw(recording: Recording, first: int, end: int, *, legend: bool = True) -> Any:
    """Return a figure of the rows from first up to but not including end."""
    from matplotlib.figure import Figure  # pyplot needs a display and global state; Figure does not

    rows = range(first, min(end, recording.rows))
    head, foot = (_TITLE, _FOOT) if legend else (0.1, 0.0)
    width, height = _width(recording), head + len(rows) * _ROW + foot
    figure: Any = Figure(figsize=(width, height))

    def panel(top: float, size: float) -> Any:
        """Add axes of a height in inches below a position from the top."""
        share = (width - _LEFT - _RIGHT) / width
        return figure.add_axes(
            (_LEFT / width, (height - top - size) / height, share, size / height)
        )

    for place, row in enumerate(rows):
        start = row * SECONDS_PER_ROW
        shown = slice(*np.searchsorted(recording.times, [start, start + SECONDS_PER_ROW + 0.1]))
        times = recording.times[shown]
        top = head + place * _ROW
        waves, chances = panel(top, _WAVES), panel(top + _WAVES + _GAP, _CHANCES)
        _draw_waves(waves, recording, start, times, recording.active[shown])
        # The last frame may end where the last row ends. min() keeps its events in that row.
        _draw_events(
            waves,
            [
                event
                for event in recording.events
                if min(recording.rows - 1, event.time_s // SECONDS_PER_ROW) == row
            ],
        )
        _draw_chances(
            chances,
            times,
            recording.shift[shown],
            recording.holders[shown],
            recording.end_threshold,
        )
        for one in (waves, chances):
            one.set_xlim(start, start + recording.row_s)
        waves.tick_params(labelbottom=False)
    if legend:
        _add_legend(figure, recording.title)
    return figure


def _add_legend(figure: Any, title: str) -> None:
    """Add the title, the name of the time axis, and what marks and colours mean."""
    panels = figure.axes
    panels[-1].set_xlabel("seconds")
    figure.suptitle(title, fontsize=12, y=1 - 0.15 / figure.get_figheight(), va="top")
    handles = [
        panels[0].plot([], [], mark, color="#555555", label=meaning)[0]
        for mark, meaning in MARKS.values()
    ]
    handles += [
        panels[0].plot([], [], "-", color=colour, linewidth=5, label=name)[0]
        for colour, name in zip(COLOURS, ("user", "other"), strict=True)
    ]
    figure.legend(
        handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=8
    )


def _draw_waves(
    panel: Any,
    recording: Recording,
    start_s: float,
    times: NDArray[np.float64],
    active: NDArray[np.bool_],
) -> None:
    """Draw both envelopes, the user's on top, shaded where the model detects speech."""
    audio, sample_rate_hz = recording.audio, recording.sample_rate_hz
    piece = audio[
        round(start_s * sample_rate_hz) : round((start_s + SECONDS_PER_ROW) * sample_rate_hz)
    ]
    step = max(1, sample_rate_hz // 50)  # about one a pixel
    for speaker, base in zip((0, 1), (1.0, -1.0), strict=True):
        if speaker < piece.shape[1]:
            blocks = piece[: len(piece) // step * step, speaker].reshape(-1, step)
            peak = np.abs(blocks).max(axis=1, initial=0)
            scale = max(recording.peaks[speaker], 1e-3)
            at = start_s + np.arange(len(peak)) * step / sample_rate_hz
            panel.fill_between(
                at,
                base - 0.8 * peak / scale,
                base + 0.8 * peak / scale,
                color=COLOURS[speaker],
                linewidth=0,
            )
        if len(times):
            panel.fill_between(
                times,
                base - 0.95,
                base + 0.95,
                where=active[:, speaker],
                color=COLOURS[speaker],
                alpha=0.15,
                linewidth=0,
                step="pre",
            )
    panel.set_ylim(-2, 2)
    panel.set_yticks([1, -1], ["user", "other"])
    for line in np.arange(np.ceil(start_s), start_s + SECONDS_PER_ROW):
        panel.axvline(line, color="#000000", alpha=0.05, linewidth=0.5)


def _draw_events(panel: Any, events: Sequence[TurnEvent]) -> None:
    for event in events:
        height = 1.85 if event.speaker == 0 else -1.85
        panel.plot(
            [event.time_s],
            [height],
            MARKS[event.type][0],
            color=COLOURS[event.speaker],
            markersize=7,
            markeredgecolor="white",
            clip_on=False,
        )


def _draw_chances(
    panel: Any,
    times: NDArray[np.float64],
    shift: NDArray[np.float64],
    holders: NDArray[np.int64],
    end_threshold: float,
) -> None:
    """Draw p_shift as a line. The area below has the colour of the one who would get the floor."""
    if len(times):
        panel.plot(times, shift, color=SHIFT_COLOUR, linewidth=1.2)
        for holder in (0, 1):
            panel.fill_between(
                times,
                0,
                np.nan_to_num(shift),
                where=holders == holder,
                color=COLOURS[1 - holder],
                alpha=0.35,
                linewidth=0,
            )
    panel.axhline(end_threshold, color="#000000", alpha=0.6, linewidth=0.8, linestyle=":")
    panel.set_ylim(0, 1)
    panel.set_yticks([0, end_threshold, 1], ["0", f"{end_threshold:.2f}", "1"])
    panel.set_ylabel("p(shift)", fontsize=8)
