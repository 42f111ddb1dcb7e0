"""Draws a conversation: waveforms, voice activity, p_shift and turn events in one picture."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import AudioFormatError, MissingExtraError
from .prediction import Prediction, TurnEvent

SECONDS_PER_ROW = 30.0  # a shorter conversation gets one shorter row
INCHES_PER_S = 0.5
NARROWEST_INCHES = 10.0  # width of the legend
COLOURS = ("#0072b2", "#d55e00")  # user, other; colour-blind-safe blue and vermilion (Okabe & Ito)
SHIFT_COLOUR = "#333333"
MARKS = {
    "start_of_turn": ("^", "starts a turn"),
    "eager_end_of_turn": ("d", "may have finished"),
    "turn_resumed": ("P", "resumes"),
    "end_of_turn": ("s", "has finished"),
    "backchannel": ("o", "backchannel"),
    "interruption": ("X", "interrupts"),
}
SUFFIXES = (".png", ".svg", ".pdf", ".html")


def plot_predictions(
    path: Path,
    audio: NDArray[np.float32],
    sample_rate_hz: int,
    predictions: Sequence[Prediction],
    events: Sequence[TurnEvent],
    *,
    title: str = "",
) -> None:
    """Draw a conversation in rows of at most 30 s and write the picture.

    Args:
        path: file to write: .png, .svg, .pdf, or .html (a page with the picture and the sound).
        audio: samples in [-1, 1], (N, 1) or (N, 2).
        sample_rate_hz: rate of the audio.
        predictions: the predictions of all frames.
        events: all events of the conversation.
        title: title of the picture.
    Raises:
        AudioFormatError: the path has another suffix.
        MissingExtraError: matplotlib is not installed.
    """
    check_picture(path)
    figure = _draw(audio, sample_rate_hz, predictions, events, title)
    if path.suffix != ".html":
        figure.savefig(path, dpi=110)
        return
    picture = io.StringIO()
    figure.savefig(picture, format="svg")
    path.write_text(_page(picture.getvalue(), audio, sample_rate_hz, title), encoding="utf-8")


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


def _draw(
    audio: NDArray[np.float32],
    sample_rate_hz: int,
    predictions: Sequence[Prediction],
    events: Sequence[TurnEvent],
    title: str,
) -> Any:
    from matplotlib.figure import Figure  # pyplot needs a display and global state; Figure does not

    length_s = max(len(audio) / sample_rate_hz, predictions[-1].time_s if predictions else 0.0)
    rows = max(1, int(np.ceil(length_s / SECONDS_PER_ROW)))
    row_s = min(SECONDS_PER_ROW, max(length_s, 1.0))
    figure: Any = Figure(
        figsize=(max(NARROWEST_INCHES, INCHES_PER_S * row_s), 3.1 * rows + 0.9),
        layout="constrained",
    )
    panels = figure.subplots(2 * rows, 1, squeeze=False, height_ratios=[1.3, 1] * rows)[:, 0]
    times = np.array([p.time_s for p in predictions])
    shift = np.array([np.nan if p.p_shift is None else p.p_shift for p in predictions])
    active = _activity(predictions)
    holders = np.array([-1 if p.holder is None else p.holder for p in predictions])
    for row in range(rows):
        start = row * SECONDS_PER_ROW
        shown = slice(*np.searchsorted(times, [start, start + SECONDS_PER_ROW + 0.1]))
        waves, chances = panels[2 * row], panels[2 * row + 1]
        _draw_waves(waves, audio, sample_rate_hz, start, times[shown], active[shown])
        # The last frame may end where the last row ends. min() keeps its events in that row.
        _draw_events(
            waves,
            [event for event in events if min(rows - 1, event.time_s // SECONDS_PER_ROW) == row],
        )
        _draw_chances(chances, times[shown], shift[shown], holders[shown])
        for panel in (waves, chances):
            panel.set_xlim(start, start + row_s)
        waves.tick_params(labelbottom=False)
    panels[-1].set_xlabel("seconds")
    figure.suptitle(title, fontsize=12)
    handles = [
        panels[0].plot([], [], mark, color="#555555", label=meaning)[0]
        for mark, meaning in MARKS.values()
    ]
    handles += [
        panels[0].plot([], [], "-", color=colour, linewidth=5, label=name)[0]
        for colour, name in zip(COLOURS, ("user", "other"), strict=True)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8
    )
    return figure


def _draw_waves(
    panel: Any,
    audio: NDArray[np.float32],
    sample_rate_hz: int,
    start_s: float,
    times: NDArray[np.float64],
    active: NDArray[np.bool_],
) -> None:
    """Draw both envelopes, the user's on top, shaded where the model detects speech."""
    piece = audio[
        round(start_s * sample_rate_hz) : round((start_s + SECONDS_PER_ROW) * sample_rate_hz)
    ]
    step = max(1, sample_rate_hz // 100)
    for speaker, base in zip((0, 1), (1.0, -1.0), strict=True):
        if speaker < piece.shape[1]:
            blocks = piece[: len(piece) // step * step, speaker].reshape(-1, step)
            peak = np.abs(blocks).max(axis=1, initial=0)
            scale = max(float(np.abs(audio[:, speaker]).max(initial=0)), 1e-3)
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
    panel: Any, times: NDArray[np.float64], shift: NDArray[np.float64], holders: NDArray[np.int64]
) -> None:
    """Draw p_shift as a line. The area below has the colour of the floor holder."""
    if len(times):
        panel.plot(times, shift, color=SHIFT_COLOUR, linewidth=1.2)
        for speaker in (0, 1):
            panel.fill_between(
                times,
                0,
                np.nan_to_num(shift),
                where=holders == speaker,
                color=COLOURS[speaker],
                alpha=0.35,
                linewidth=0,
            )
    panel.axhline(0.5, color="#000000", alpha=0.25, linewidth=0.6, linestyle=":")
    panel.set_ylim(0, 1)
    panel.set_yticks([0, 0.5, 1])
    panel.set_ylabel("p(shift)", fontsize=8)


def _activity(predictions: Sequence[Prediction]) -> NDArray[np.bool_]:
    return np.array([prediction.active for prediction in predictions], dtype=bool).reshape(-1, 2)


def _page(picture: str, audio: NDArray[np.float32], sample_rate_hz: int, title: str) -> str:
    import soundfile  # pyright: ignore[reportMissingTypeStubs]

    sound = io.BytesIO()
    with soundfile.SoundFile(
        sound, "w", sample_rate_hz, audio.shape[1], format="OGG", subtype="VORBIS"
    ) as file:
        # Write 1 s at a time: a long write overflows the stack in libsndfile's Vorbis encoder.
        for start in range(0, len(audio), sample_rate_hz):
            file.write(audio[start : start + sample_rate_hz])  # pyright: ignore[reportUnknownMemberType]
    encoded = base64.b64encode(sound.getvalue()).decode()
    name = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        "<style>body{font:16px system-ui;max-width:1100px;margin:2em auto;padding:0 1em}"
        "svg{width:100%;height:auto}audio{width:100%}</style>"
        f'<h1>{name}</h1><audio controls src="data:audio/ogg;base64,{encoded}"></audio>'
        f"{picture[picture.index('<svg') :]}"
        "<p>Above: the two speakers' sound, shaded where the model hears speech, "
        "with the turn events. Below: the probability that the floor "
        "goes to the other speaker next, in the colour of the speaker who holds it.</p></html>"
    )
