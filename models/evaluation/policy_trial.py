"""Measure a policy preset on recorded conversations: how often it cuts off, and how long it waits.

The pauses are those of the end-of-turn frontier: holds and ends of turns by `find_pauses` in
dialogues/events.py. (A pause with a short answer after which the speaker continues is neither.)
Each pause is compared with the `end_of_turn` events of the policy. A hold is cut off if its
speaker's turn was ended inside it. The latency of an end of turn counts from its first silent
frame. An end of turn that is not called before its speaker speaks again, or within 4 s, counts as
never called.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...stream.contract import PROBABILITIES
from ...stream.floor import FloorTracker
from ...stream.policy import PolicySettings, TurnPolicy
from ...stream.prediction import Pair, Prediction
from ..dialogues.activity import FRAME_RATE_HZ
from ..dialogues.events import find_pauses
from .measures import Estimate, estimate
from .predictions import DialoguePrediction, EvaluatedDialogue, Setting
from .report import PolicyTrial

# An event up to EARLY_S before the pause counts, because the labels may lag behind the policy.
# An end of turn that is called later than LATE_S counts as never called.
EARLY_S, LATE_S = 0.05, 4.0
NO_LATENT = np.zeros((2, 0), np.float32)


def try_policy(
    settings: str | PolicySettings, dialogues: Sequence[EvaluatedDialogue], setting: Setting
) -> PolicyTrial:
    """Run a policy on the predictions of a model, and measure it.

    In "mono" the policy runs once for each speaker, on the predictions from that speaker's
    channel.
    """
    cut: list[bool] = []  # for every hold: whether it was cut off
    cut_in: list[int] = []  # and the index of its dialogue
    waits_s: list[float] = []  # for every end of turn: the latency, infinite if never called
    waited_in: list[int] = []  # and the index of its dialogue
    for number, dialogue in enumerate(dialogues):
        pauses = find_pauses(dialogue.activity & ~dialogue.backchannel)
        stereo = turn_ends(settings, dialogue.stereo) if setting == "stereo" else None
        for speaker in (0, 1):
            ends_s = stereo or turn_ends(settings, dialogue.predictions_for("mono", speaker))
            for pause in (pause for pause in pauses if pause.speaker == speaker):
                start_s, length_s = (
                    pause.start_frame / FRAME_RATE_HZ,
                    (pause.end_frame - pause.start_frame) / FRAME_RATE_HZ,
                )
                wait_s = next(
                    (end_s - start_s for end_s in ends_s[speaker] if end_s >= start_s - EARLY_S),
                    np.inf,
                )
                if pause.kind == "hold":
                    cut.append(wait_s < length_s)
                    cut_in.append(number)
                else:
                    waits_s.append(wait_s if wait_s < min(LATE_S, length_s) else np.inf)
                    waited_in.append(number)
    waits = np.array(waits_s)
    called = np.isfinite(waits)
    return PolicyTrial(
        holds=len(cut),
        ends=len(waits),
        cut_off=_mean(np.array(cut, float), np.array(cut_in, int), len(dialogues)),
        latency_s=_mean(waits[called], np.array(waited_in, int)[called], len(dialogues)),
        median_latency_s=float(np.median(waits[called])) if called.any() else float("nan"),
        never_ended=int((~called).sum()),
    )


def turn_ends(
    settings: str | PolicySettings, prediction: DialoguePrediction
) -> tuple[list[float], list[float]]:
    """Return the times in seconds at which the policy ends a turn of each speaker."""
    policy = TurnPolicy(settings)
    ends: tuple[list[float], list[float]] = ([], [])
    floor = FloorTracker()
    columns = [getattr(prediction, name).T.tolist() for name in PROBABILITIES]
    for frame, values in enumerate(zip(*columns, strict=True)):
        vad, *others = map(_pair, values)
        floor.update(vad, 1 / FRAME_RATE_HZ)
        for event in policy.update(
            Prediction(
                frame,
                (frame + 1) / FRAME_RATE_HZ,
                None,
                None,
                None,
                vad,
                *others,
                latent=NO_LATENT,
                latent_speaker=NO_LATENT,
                active=floor.active,
            )
        ):
            if event.type == "end_of_turn":
                ends[event.speaker].append(event.time_s)
    return ends


def _pair(values: Sequence[float]) -> Pair:
    """Return one value per speaker."""
    return values[0], values[1]


def _mean(values: NDArray[np.float64], numbers: NDArray[np.int64], dialogues: int) -> Estimate:
    """Return the mean over all events, and its interval over dialogues."""
    sums, counts = (
        np.bincount(numbers, values, dialogues),
        np.bincount(numbers, minlength=dialogues).astype(float),
    )

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total = weights @ counts
        return np.divide(weights @ sums, total, out=np.full(len(weights), np.nan), where=total > 0)

    return estimate(statistic, dialogues)
