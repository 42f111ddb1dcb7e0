"""Other systems' ideas of a finished turn, in the form in which the network's predictions are scored.

Each hears one speaker's channel alone and gives one score, the chance that this speaker's turn is complete, which takes the
place of p_next of the other speaker in the mono setting. A plain silence timer needs no predictions: the frontier has it.

- Silero VAD as people use it: no speech, so the turn is over; the score is 1 - P(speech) of the newest window.
- Smart Turn v3: asked in the pauses only, as it was made to be, every 0.1 s from their start and at the times at which shifts and
  holds are read; between two decisions the last one stands. Outside of pauses its scores are NaN: it said nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..dialogues.activity import FRAME_RATE_HZ, Samples
from ..dialogues.events import find_pauses, find_transitions
from ..dialogues.silero import WINDOW_SAMPLES, speech_probability
from .conditions import FRAME_SAMPLES, Recording
from .frontier import TIMES_S
from .predictions import EvaluatedDialogue, Frames, Prediction, heard_frame
from .shift_hold import SILENCES_MS

DECISION_TIMES_S = sorted({ms / 1000 for ms in SILENCES_MS} | set(TIMES_S.tolist()))


class TurnScorer(Protocol):
    """Scores moments of decision, as SmartTurn does."""

    def scores(self, clips: Sequence[Samples]) -> NDArray[np.float32]:
        """Probability that the turn is complete, (B,), from all audio up to each moment, (N,) each."""
        ...


@dataclass(frozen=True)
class BaselineRun:
    """What a baseline said of a recording, and what it cost.

    Attributes:
        complete: the score of each speaker at every frame, (2, T).
        decisions: how many it made.
        cpu_s: processor time of all of them.
        vad: P(speech) of each speaker at every frame, (2, T); None if it says nothing of that.
    """

    complete: Frames
    decisions: int
    cpu_s: float
    vad: Frames | None = None


def run_silero(recording: Recording) -> BaselineRun:
    """1 - P(speech) of the newest whole window at the end of every frame.

    Before the first window the turn is not over, and nobody speaks.

    Raises:
        MissingExtraError: silero-vad is not installed.
    """
    start_s = time.thread_time()
    speech = speech_probability(recording.audio)
    newest = (
        (np.arange(recording.activity.shape[1]) + 1) * FRAME_SAMPLES // WINDOW_SAMPLES
    )  # whole windows heard by then
    complete, vad = (
        np.pad(said, ((0, 0), (1, 0)))[:, np.minimum(newest, speech.shape[1])]
        for said in (1 - speech, speech)
    )
    return BaselineRun(complete, speech.size, time.thread_time() - start_s, vad)


def run_smart_turn(scorer: TurnScorer, recording: Recording, jobs: int = 1) -> BaselineRun:
    """Scores of every pause of every speaker; see the module's description.

    Args:
        scorer: SmartTurn, used by `jobs` threads at once.
        recording: to score.
        jobs: threads.
    """

    def score(silence: tuple[int, int, int]) -> tuple[list[int], NDArray[np.float32], float]:
        speaker, start, end = silence
        start_s = time.thread_time()
        frames = decision_frames(start, end, recording.activity.shape[1])
        decided = scorer.scores(
            [recording.audio[speaker, : (frame + 1) * FRAME_SAMPLES] for frame in frames]
        )
        return frames, decided, time.thread_time() - start_s

    complete = np.full(recording.activity.shape, np.nan, np.float32)
    silences, decisions, cpu_s = silences_to_score(recording), 0, 0.0
    with ThreadPoolExecutor(jobs) as pool:
        for (speaker, start, end), (frames, decided, took_s) in zip(
            silences, pool.map(score, silences), strict=True
        ):
            for frame, value in zip(
                [start, *frames[1:]], decided, strict=True
            ):  # only the mean over a silence reads before the first decision
                complete[speaker, frame : max(end, frame + 1)] = value
            decisions, cpu_s = decisions + len(frames), cpu_s + took_s
    return BaselineRun(complete, decisions, cpu_s)


def silences_to_score(recording: Recording) -> list[tuple[int, int, int]]:
    """Speaker, start and end frame of what a baseline is asked about: holds up to their end, ends of turns up to the last decision."""
    last = round(DECISION_TIMES_S[-1] * FRAME_RATE_HZ)
    pauses = find_pauses(recording.activity & ~recording.backchannel)
    found = {
        (p.speaker, p.start_frame): p.end_frame
        if p.kind == "hold"
        else max(p.end_frame, p.start_frame + last)
        for p in pauses
    }
    for event in find_transitions(recording.activity):  # among them holds longer than a pause's
        place = (event.previous, event.silence_start_frame)
        found[place] = max(found.get(place, 0), event.silence_end_frame)
    return sorted((speaker, start, end) for (speaker, start), end in found.items())


def decision_frames(start_frame: int, end_frame: int, frames: int) -> list[int]:
    """The last frame heard at every moment of decision in a silence; at least one."""
    moments = sorted(
        {int(heard_frame(start_frame, seconds, frames)) for seconds in DECISION_TIMES_S}
    )
    return [frame for frame in moments if frame < end_frame] or moments[:1]


def as_evaluated(
    recording: Recording, complete: Frames, vad: Frames | None = None
) -> EvaluatedDialogue:
    """A baseline's scores where the measures look for them in the mono setting; all else it has no idea of is NaN.

    Args:
        recording: that was heard.
        complete: for p_next of the other speaker, (2, T).
        vad: for vad, (2, T), if it has one.
    """
    nothing = np.full(complete.shape, np.nan, np.float32)
    said = Prediction(nothing, nothing, nothing, nothing, nothing)

    def alone(speaker: int) -> Prediction:
        p_next = np.empty_like(complete)
        p_next[1 - speaker], p_next[speaker] = complete[speaker], 1 - complete[speaker]
        return Prediction(nothing if vad is None else vad, nothing, nothing, p_next, nothing)

    return EvaluatedDialogue(
        recording.id, recording.activity, recording.backchannel, said, (alone(0), alone(1))
    )
