"""Run two baselines, Silero VAD and Smart Turn, and score them as the network is scored.

A baseline receives one speaker's channel. It gives one score: the probability that this speaker's
turn is complete. The score replaces p_next of the other speaker in the mono setting. A plain
silence timer needs no audio; it is in frontier.py.

- Silero VAD, used as a plain end-of-speech detector: no speech means that the turn is over. The
  score is 1 - P(speech) of the newest window.
- Smart Turn v3, run in pauses only, which is what it was made for. It runs every 0.1 s from the
  start of a pause, and at the times at which shifts and holds are read. A score is valid until
  the next one. Outside pauses the score is NaN: there is no prediction.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..dialogues.activity import FRAME_RATE_HZ, Samples
from ..dialogues.events import find_pauses, find_transitions
from ..dialogues.silero import WINDOW_SAMPLES, speech_probability
from .conditions import FRAME_SAMPLES
from .frontier import TIMES_S
from .predictions import DialoguePrediction, EvaluatedDialogue, Frames, last_frame_at
from .recording import Recording
from .shift_hold import SILENCES_MS

DECISION_TIMES_S = sorted({ms / 1000 for ms in SILENCES_MS} | set(TIMES_S.tolist()))


class TurnScorer(Protocol):
    """Scores turn completeness at given moments, as SmartTurn does."""

    def scores(self, clips: Sequence[Samples]) -> NDArray[np.float32]:
        """Return the probability that the turn is complete, (B,).

        Args:
            clips: for each moment, all audio up to it, (N,).
        """
        ...


@dataclass(frozen=True)
class BaselineRun:
    """The scores of a baseline for one recording, and their cost.

    Attributes:
        complete: the score of each speaker at every frame, (2, T).
        decisions: number of model runs.
        cpu_s: processor time of all runs, in seconds.
        vad: P(speech) of each speaker at every frame, (2, T); None if the baseline has no such
            output.
    """

    complete: Frames
    decisions: int
    cpu_s: float
    vad: Frames | None = None


def run_silero(recording: Recording) -> BaselineRun:
    """Score every frame by 1 - P(speech) of the newest whole window at the end of the frame.

    Before the first whole window, P(speech) and the score are both 0: nobody speaks, and the turn
    is not over.

    Raises:
        MissingExtraError: silero-vad is not installed.
    """
    start_s = time.thread_time()
    speech = speech_probability(recording.audio)
    # The number of whole windows at the end of each frame.
    newest = (np.arange(recording.activity.shape[1]) + 1) * FRAME_SAMPLES // WINDOW_SAMPLES
    complete, vad = (
        np.pad(scores, ((0, 0), (1, 0)))[:, np.minimum(newest, speech.shape[1])]
        for scores in (1 - speech, speech)
    )
    return BaselineRun(complete, speech.size, time.thread_time() - start_s, vad)


def run_smart_turn(scorer: TurnScorer, recording: Recording) -> BaselineRun:
    """Score every pause of every speaker; the module docstring gives the times.

    Args:
        scorer: SmartTurn.
        recording: the recording to score.
    """

    complete = np.full(recording.activity.shape, np.nan, np.float32)
    decisions, start_s = 0, time.thread_time()
    for speaker, start, end in silences_to_score(recording):
        frames = decision_frames(start, end, recording.activity.shape[1])
        decided = scorer.scores(
            [recording.audio[speaker, : (frame + 1) * FRAME_SAMPLES] for frame in frames]
        )
        # The first score also fills the frames before it, for the mean over a silence.
        for frame, value in zip([start, *frames[1:]], decided, strict=True):
            complete[speaker, frame : max(end, frame + 1)] = value
        decisions += len(frames)
    return BaselineRun(complete, decisions, time.thread_time() - start_s)


def silences_to_score(recording: Recording) -> list[tuple[int, int, int]]:
    """Return (speaker, start frame, end frame) of every silence that a baseline must score.

    A hold is scored up to its end, an end of turn up to the last decision time.
    """
    last = round(DECISION_TIMES_S[-1] * FRAME_RATE_HZ)
    pauses = find_pauses(recording.activity & ~recording.backchannel)
    found = {
        (p.speaker, p.start_frame): p.end_frame
        if p.kind == "hold"
        else max(p.end_frame, p.start_frame + last)
        for p in pauses
    }
    for event in find_transitions(recording.activity):  # some holds are too long for a pause
        start = (event.previous, event.silence_start_frame)
        found[start] = max(found.get(start, 0), event.silence_end_frame)
    return sorted((speaker, start, end) for (speaker, start), end in found.items())


def decision_frames(start_frame: int, end_frame: int, frames: int) -> list[int]:
    """Return the last complete frame at each decision time in a silence; at least one frame."""
    moments = sorted(
        {int(last_frame_at(start_frame, seconds, frames)) for seconds in DECISION_TIMES_S}
    )
    return [frame for frame in moments if frame < end_frame] or moments[:1]


def as_evaluated(
    recording: Recording, complete: Frames, vad: Frames | None = None
) -> EvaluatedDialogue:
    """Put the scores of a baseline where the measures look for them in the mono setting.

    Outputs that the baseline does not have are NaN.

    Args:
        recording: the recording that was scored.
        complete: the score of each speaker, (2, T); used as p_next of the other speaker.
        vad: P(speech), (2, T), if the baseline has it.
    """
    nothing = np.full(complete.shape, np.nan, np.float32)
    stereo = DialoguePrediction(nothing, nothing, nothing, nothing, nothing)

    def alone(speaker: int) -> DialoguePrediction:
        p_next = np.empty_like(complete)
        p_next[1 - speaker], p_next[speaker] = complete[speaker], 1 - complete[speaker]
        return DialoguePrediction(
            nothing if vad is None else vad, nothing, nothing, p_next, nothing
        )

    return EvaluatedDialogue(
        recording.id, recording.activity, recording.backchannel, stereo, (alone(0), alone(1))
    )
