"""Measure the other tasks of VAP: shift prediction, short or long onset, backchannel prediction.

Each task scores short windows of a dialogue by the mean of one output over the window. A window
is one case; VAP's published figures count every frame of a window as a case.

- Shift prediction: the last 0.5 s of speech before a shift against those before a hold. A seeded
  draw makes both kinds equally many. Score: p_future of the speaker who does not hold the floor.
- Short or long: the first 0.2 s of a long onset against those of a short one. Score: p_future of
  the speaker who begins, which is the predicted share of the speech in 0.6-2 s that is theirs. By
  definition this separates long from short; VAP uses it too, and its natural threshold is 0.5.
  The score 1 - p_backchannel would be narrower, because a short answer is short but no
  backchannel.
- Backchannel prediction: the 0.5 s before a short onset against windows in which nobody is about
  to give a backchannel. Score: p_backchannel of the listener.

In mono the model receives the channel of the speaker before the silence, of the speaker who
begins, or of the speaker to whom the other one listens.

Source: Ekstedt & Skantze 2022; the events of dialogues/events.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..dialogues.activity import FRAME_RATE_HZ
from ..dialogues.events import (
    LAST_SPEECH_S,
    find_backchannel_windows,
    find_onsets,
    find_transitions,
    with_last_speech,
)
from .measures import SEED, BinaryScore, score_binary
from .predictions import EvaluatedDialogue, Setting

ONSET_S = 0.2
Output = Literal["p_future", "p_backchannel"]


@dataclass(frozen=True)
class Window:
    """A part of a dialogue to score.

    Attributes:
        dialogue: index of the dialogue among those evaluated.
        positive: a shift follows, the onset is long, or a backchannel follows.
        input_speaker: the speaker whose channel is the input in mono.
        scored: the speaker whose output is read.
        start_frame, end_frame: end exclusive.
    """

    dialogue: int
    positive: bool
    input_speaker: int
    scored: int
    start_frame: int
    end_frame: int


def shift_windows(dialogues: Sequence[EvaluatedDialogue]) -> list[Window]:
    """Return the last 0.5 s of speech before shifts (positive) and holds, in order.

    Both kinds are equally many.
    """
    found: list[Window] = []
    for number, dialogue in enumerate(dialogues):
        for event in with_last_speech(dialogue.activity, find_transitions(dialogue.activity)):
            end = event.silence_start_frame
            found.append(
                Window(
                    number,
                    event.kind == "shift",
                    event.previous,
                    1 - event.previous,
                    end - round(LAST_SPEECH_S * FRAME_RATE_HZ),
                    end,
                )
            )
    return _equal_counts(found)


def onset_windows(dialogues: Sequence[EvaluatedDialogue]) -> list[Window]:
    """Return the first 0.2 s of long (positive) and short onsets, in order."""
    found: list[Window] = []
    for number, dialogue in enumerate(dialogues):
        for onset in find_onsets(dialogue.activity):
            end = onset.start_frame + round(ONSET_S * FRAME_RATE_HZ)
            found.append(
                Window(
                    number,
                    onset.kind == "long",
                    onset.speaker,
                    onset.speaker,
                    onset.start_frame,
                    end,
                )
            )
    return found


def backchannel_windows(dialogues: Sequence[EvaluatedDialogue]) -> list[Window]:
    """Return windows before a backchannel (positive) and without one, in order.

    Positive windows are the 0.5 s before short onsets. In the others nobody is about to give a
    backchannel.
    """
    return [
        Window(
            number,
            window.kind == "backchannel",
            1 - window.listener,
            window.listener,
            window.start_frame,
            window.end_frame,
        )
        for number, dialogue in enumerate(dialogues)
        for window in find_backchannel_windows(dialogue.activity)
    ]


def read_windows(
    dialogues: Sequence[EvaluatedDialogue],
    windows: Sequence[Window],
    output: Output,
    setting: Setting,
) -> NDArray[np.float64]:
    """Return the mean of an output over each window, (N,).

    Args:
        dialogues: the dialogues in which the windows were found.
        windows: from one of the functions above.
        output: the field of the prediction to read.
        setting: "stereo" or "mono".
    """
    spans = (
        getattr(dialogues[w.dialogue].predictions_for(setting, w.input_speaker), output)[
            w.scored, w.start_frame : w.end_frame
        ]
        for w in windows
    )
    return np.array([frames.mean(dtype=np.float64) for frames in spans])


def score_windows(windows: Sequence[Window], scores: NDArray[np.float64]) -> BinaryScore:
    """Return the measures of any system's scores, (N,), of windows.

    The AUC within a speaker groups windows by `input_speaker`, the speaker whose speech it is.
    """
    positive = np.array([w.positive for w in windows], bool)
    dialogue, speaker = (
        np.array([getattr(w, name) for w in windows], np.int64)
        for name in ("dialogue", "input_speaker")
    )
    return score_binary(scores, positive, dialogue, speaker)


def shift_prediction(dialogues: Sequence[EvaluatedDialogue], setting: Setting) -> BinaryScore:
    """Score shift (positive) or hold before the silence begins."""
    windows = shift_windows(dialogues)
    return score_windows(windows, read_windows(dialogues, windows, "p_future", setting))


def short_long(dialogues: Sequence[EvaluatedDialogue], setting: Setting) -> BinaryScore:
    """Score long (positive) or short onsets just after they begin."""
    windows = onset_windows(dialogues)
    return score_windows(windows, read_windows(dialogues, windows, "p_future", setting))


def backchannel_prediction(dialogues: Sequence[EvaluatedDialogue], setting: Setting) -> BinaryScore:
    """Score whether the listener is about to give a backchannel (positive)."""
    windows = backchannel_windows(dialogues)
    return score_windows(windows, read_windows(dialogues, windows, "p_backchannel", setting))


def _equal_counts(windows: Sequence[Window]) -> list[Window]:
    """Return all windows of the rarer kind, and a seeded draw of as many of the other."""
    kinds = [
        np.array([i for i, window in enumerate(windows) if window.positive is positive], np.int64)
        for positive in (True, False)
    ]
    rng = np.random.default_rng(SEED)
    chosen = np.concatenate(
        [rng.choice(kind, min(map(len, kinds)), replace=False) for kind in kinds]
    )
    return [windows[i] for i in np.sort(chosen)]
