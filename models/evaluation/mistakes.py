"""Find and show the worst mistakes of the model: audio clips and pictures of shifts and holds.

The worst mistakes are the shifts with the lowest p_shift and the holds with the highest, 250 ms
into the silence, with both channels as input. About half of them are shifts, half holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from ..dialogues.activity import FRAME_RATE_HZ, Samples, runs
from .plots import THEMES, Theme, picture
from .predictions import EvaluatedDialogue
from .recording import SAMPLE_RATE_HZ
from .report import SETTINGS, Mistake
from .shift_hold import SCORE_S, Silence, find_silences, read_at

BEFORE_S, AFTER_S = 5.0, 1.0  # length of a clip before the silence and after it
LEVEL_RATE_HZ = 200


def find_mistakes(
    dialogues: Sequence[EvaluatedDialogue], count: int
) -> list[tuple[Silence, float]]:
    """Return the worst `count` mistakes, each with its p_shift, worst first.

    A mistake is a shift with p_shift below 0.5 or a hold with p_shift of at least 0.5. If one
    kind has too few, the other fills up.
    """
    silences = find_silences(dialogues)
    scored = list(zip(silences, read_at(dialogues, silences, "stereo").tolist(), strict=True))
    missed = sorted(
        (pair for pair in scored if pair[0].transition.kind == "shift" and pair[1] < 0.5),
        key=lambda pair: pair[1],
    )
    misjudged = sorted(
        (pair for pair in scored if pair[0].transition.kind == "hold" and pair[1] >= 0.5),
        key=lambda pair: -pair[1],
    )
    holds = min(len(misjudged), max(count // 2, count - len(missed)))
    return sorted(
        missed[: count - holds] + misjudged[:holds],
        key=lambda pair: -abs(pair[1] - (pair[0].transition.kind == "shift")),
    )


def describe(
    dialogues: Sequence[EvaluatedDialogue], found: Sequence[tuple[Silence, float]]
) -> list[Mistake]:
    """Return the report entries of mistakes from `find_mistakes`."""
    mistakes: list[Mistake] = []
    for number, (silence, p_shift) in enumerate(found, 1):
        event = silence.transition
        start_s = event.silence_start_frame / FRAME_RATE_HZ
        mistakes.append(
            Mistake(
                f"{number:02d}_{event.kind}",
                dialogues[silence.dialogue].id,
                event.kind,
                start_s,
                silence.length_s,
                event.previous,
                event.next,
                float(p_shift),
            )
        )
    return mistakes


def in_words(mistake: Mistake) -> str:
    """Return two clauses: what happened, and what the model predicted."""
    happened = f"speaker {mistake.next_speaker} took over" if mistake.kind == "shift" else "went on"
    return (
        f"Speaker {mistake.speaker} stopped at {mistake.time_s:.2f} s and after "
        f"{mistake.silence_s:.2f} s {happened}, a {mistake.kind}; 250 ms into the silence the "
        f"model gave a shift a probability of {mistake.p_shift:.2f}."
    )


def write_mistake(
    folder: Path, mistake: Mistake, dialogue: EvaluatedDialogue, audio: Samples
) -> None:
    """Write the clip as a stereo WAV file, and its pictures for light and dark pages.

    Args:
        folder: the folder to write to.
        mistake: a mistake in `dialogue`.
        dialogue: the dialogue with the model's predictions.
        audio: the whole dialogue, (2, N) at 16 kHz.
    """
    start_s = max(0.0, mistake.time_s - BEFORE_S)
    end_s = min(mistake.time_s + mistake.silence_s + AFTER_S, audio.shape[1] / SAMPLE_RATE_HZ)
    clip = audio[:, round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]
    sf.write(
        folder / f"{mistake.name}.wav", np.clip(clip, -1, 1).T, SAMPLE_RATE_HZ, subtype="PCM_16"
    )
    for theme in THEMES:
        _draw(folder, theme, mistake, dialogue, clip, start_s)


def _draw(
    folder: Path,
    theme: Theme,
    mistake: Mistake,
    dialogue: EvaluatedDialogue,
    clip: Samples,
    start_s: float,
) -> None:
    end_s = start_s + clip.shape[1] / SAMPLE_RATE_HZ
    frames = slice(round(start_s * FRAME_RATE_HZ), round(end_s * FRAME_RATE_HZ))
    # The prediction of a frame is made at its end.
    times_s = (
        np.arange(frames.start, frames.start + dialogue.activity[0, frames].size) + 1
    ) / FRAME_RATE_HZ
    with picture(
        folder, mistake.name, theme, (9.0, 3.6), nrows=3, height_ratios=[1, 1, 1.5], sharex=True
    ) as panels:
        for speaker, colour in enumerate((theme.first, theme.second)):
            panel: Any = panels[speaker]
            at_s, peaks = _envelope(clip[speaker])
            for first, end in runs(dialogue.activity[speaker, frames]):
                spoken_s = (frames.start + np.array([first, end])) / FRAME_RATE_HZ
                panel.axvspan(*spoken_s, color=colour, alpha=0.18, linewidth=0)
            panel.fill_between(start_s + at_s, -peaks, peaks, color=colour, linewidth=0)
            panel.set(ylim=(-1.05, 1.05), yticks=[], ylabel=f"speaker {speaker}")
        panels[0].set_title(
            in_words(mistake).replace("; ", ";\n"), fontsize=9, loc="left", color=theme.ink
        )
        chances = panels[2]
        for setting, line, colour in zip(
            SETTINGS, ("-", "--"), (theme.ink, theme.faint), strict=True
        ):
            p_next = dialogue.predictions_for(setting, mistake.speaker).p_next[
                1 - mistake.speaker, frames
            ]
            chances.plot(
                times_s,
                p_next,
                line,
                color=colour,
                linewidth=1.5,
                label=f"p(speaker {1 - mistake.speaker} is next), {setting}",
            )
        chances.plot(
            [mistake.time_s + SCORE_S],
            [mistake.p_shift],
            "o",
            color=theme.ink,
            markersize=6,
        )
        chances.axhline(0.5, color=theme.faint, linewidth=0.8, linestyle=":")
        chances.set(ylim=(0, 1), yticks=[0, 0.5, 1], xlim=(start_s, end_s), xlabel="seconds")
        for panel in panels:
            panel.axvspan(
                mistake.time_s,
                mistake.time_s + mistake.silence_s,
                color=theme.third,
                alpha=0.22,
                linewidth=0,
            )
        legend = chances.legend(
            loc="upper left", fontsize=7.5, facecolor=theme.paper, edgecolor="none", framealpha=0.8
        )
        for words in legend.get_texts():
            words.set_color(theme.ink)


def _envelope(samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return the times in seconds and the peaks of every 5 ms.

    The largest peak of the clip is scaled to 1; digital silence stays at 0.
    """
    step = SAMPLE_RATE_HZ // LEVEL_RATE_HZ
    peaks = np.abs(samples[: len(samples) // step * step]).reshape(-1, step).max(axis=1, initial=0)
    return np.arange(len(peaks)) / LEVEL_RATE_HZ, peaks / max(float(peaks.max(initial=0)), 1e-3)
