"""Training targets of every frame, computed from voice activity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..projection import UNKNOWN, projection_classes
from .activity import runs

BACKCHANNEL_LEAD_S = 0.5  # a backchannel is predicted this long before it starts
BRIDGED_PAUSE_S = 0.2  # shorter silences are part of speech (stop closures)
# Weights in the loss of next_holder. The first 1.2 s of a mutual silence have weight 1: later
# frames are many, and decide less. The last 0.5 s of a stretch of speech have weight 0.5.
DECISIVE_SILENCE_S = 1.2
DECISIVE_SPEECH_S = 0.5
IDLE_WEIGHT = 0.02  # all other frames
JUDGED_WEIGHT = 1.0  # frames of speech with a turn completeness score
JUDGED_SHARE = 0.5  # share of the score in the target of a silence; the rest is what happened

_SILENT, _OVERLAP = 0, 3  # states of the floor; 1 and 2 are the first and the second speaker alone


@dataclass(frozen=True)
class FrameLabels:
    """Targets of T frames.

    Attributes:
        vad: (2, T) bool, whether the speaker is active, backchannels included.
        projection: (T,) int64, class of the voice activity in the next 2 s; UNKNOWN at the end.
        next_holder: (T,) int64, who holds the floor next; UNKNOWN at the end.
        next_second: (T,) float32, probability that the second speaker is next, from what happened
            and from the score of a turn completeness judge where there is one; 0.5 where unknown.
        next_weight: (T,) float32, weight of the frame in the loss of next_holder.
        backchannel: (2, T) bool, whether the speaker gives a backchannel now or within
            BACKCHANNEL_LEAD_S.
        completeness: (2, T) float32, turn completeness in 0-1; NaN where unknown.
    """

    vad: NDArray[np.bool_]
    projection: NDArray[np.int64]
    next_holder: NDArray[np.int64]
    next_second: NDArray[np.float32]
    next_weight: NDArray[np.float32]
    backchannel: NDArray[np.bool_]
    completeness: NDArray[np.float32]

    def cut(self, start: int, end: int) -> FrameLabels:
        """Return the targets of the frames from `start` up to `end`, without `end`."""
        return FrameLabels(*(array[..., start:end] for array in vars(self).values()))


def label_frames(
    activity: NDArray[np.bool_],
    backchannel: NDArray[np.bool_],
    frame_rate_hz: float,
    bin_edges_s: tuple[float, ...],
    completeness: NDArray[np.floating] | None = None,
) -> FrameLabels:
    """Compute targets from voice activity.

    Args:
        activity: (2, T), all kinds of speech.
        backchannel: (2, T), the part of the activity that is backchannels.
        frame_rate_hz: frame rate of both.
        bin_edges_s: bins of the voice activity projection.
        completeness: (2, T), turn completeness where a judge scored it, else NaN; None for no
            scores.
    """
    turns = bridge_short_pauses(activity & ~backchannel, round(BRIDGED_PAUSE_S * frame_rate_hz))
    holder, weight = next_holder(turns, frame_rate_hz)
    judged = (
        np.full(activity.shape, np.nan, np.float32)
        if completeness is None
        else completeness.astype(np.float32)
    )
    second, weight = _with_judgement(holder, weight, turns, judged)
    return FrameLabels(
        vad=activity,
        projection=projection_classes(activity, frame_rate_hz, bin_edges_s),
        next_holder=holder,
        next_second=second,
        next_weight=weight,
        backchannel=_with_lead(backchannel, round(BACKCHANNEL_LEAD_S * frame_rate_hz)),
        completeness=judged,
    )


def _with_judgement(
    holder: NDArray[np.int64],
    weight: NDArray[np.float32],
    turns: NDArray[np.bool_],
    judged: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Combine what happened next with the judge's scores.

    The score used is that of the speaker who speaks alone, or did so last. While one speaks alone,
    the score becomes the target: who would be next if the turn ended there. In a mutual silence the
    score is only a part of the target, since a recording shows just one of the possible
    continuations.

    Returns:
        Probability that the second speaker is next, and weights, (T,) each.
    """
    second = np.where(holder == UNKNOWN, 0.5, holder).astype(np.float32)
    frames = np.arange(len(holder))
    alone = turns[0] != turns[1]
    # The latest frame in which one speaker was alone.
    last = np.maximum.accumulate(np.where(alone, frames, -1))
    speaker = np.where(last >= 0, turns[1, last], 0).astype(np.int64)
    said = judged[speaker, frames]
    known = ~np.isnan(said) & (last >= 0) & ~(turns[0] & turns[1])
    to_second = np.where(speaker == 0, said, 1 - said)
    silent = known & ~alone & (holder != UNKNOWN)
    second[silent] += JUDGED_SHARE * (to_second[silent] - second[silent])
    spoken = known & alone
    second[spoken] = to_second[spoken]
    return second, np.where(spoken, np.float32(JUDGED_WEIGHT), weight)


def bridge_short_pauses(activity: NDArray[np.bool_], frames: int) -> NDArray[np.bool_]:
    """Fill silences shorter than `frames` inside the activity of each speaker, (2, T)."""
    bridged = activity.copy()
    for speaker in (0, 1):
        for start, end in runs(~activity[speaker]):
            if start > 0 and end < activity.shape[1] and end - start < frames:
                bridged[speaker, start:end] = True
    return bridged


def next_holder(
    turns: NDArray[np.bool_], frame_rate_hz: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Who holds the floor next, and the weight of each frame.

    - In silence: who speaks next.
    - While one speaks alone: who speaks after the end of this stretch of speech. An overlap does
      not end the stretch if the same speaker continues after it.
    - In overlap: who is left alone.

    Args:
        turns: (2, T) activity without backchannels.
        frame_rate_hz: frame rate of the activity.
    Returns:
        Speaker or UNKNOWN, (T,), and weights, (T,).
    """
    frames = turns.shape[1]
    floor = turns[0].astype(np.int64) + 2 * turns[1]
    edges = np.unique(np.concatenate([np.array([0, frames]), np.nonzero(np.diff(floor))[0] + 1]))
    states = floor[edges[:-1]]
    # Target of each stretch. The two entries beyond the end stay UNKNOWN.
    follows = np.full(len(states) + 2, UNKNOWN, np.int64)
    # End frame of each stretch of speech, including overlaps that do not end it.
    ends = np.append(edges[1:], [frames, frames])
    padded = np.append(states, [_SILENT, _SILENT])
    for i in range(len(states) - 1, -1, -1):
        after = i + 1
        if states[i] in (_SILENT, _OVERLAP):
            alone = padded[after] in (1, 2)
            follows[i] = padded[after] - 1 if alone else follows[after]
        elif padded[after] == _OVERLAP:
            left = padded[after + 1]
            if left == states[i]:  # continues alone: still the same stretch
                follows[i], ends[i] = follows[after + 1], ends[after + 1]
            else:
                follows[i] = left - 1 if left in (1, 2) else follows[after + 1]
        else:
            follows[i] = padded[after] - 1 if padded[after] in (1, 2) else follows[after]
    weight = np.full(frames, IDLE_WEIGHT, np.float32)
    for i, state in enumerate(states):
        if state == _SILENT:
            weight[
                edges[i] : min(edges[i + 1], edges[i] + round(DECISIVE_SILENCE_S * frame_rate_hz))
            ] = 1.0
        elif state != _OVERLAP:
            start = max(edges[i], ends[i] - round(DECISIVE_SPEECH_S * frame_rate_hz))
            weight[start : edges[i + 1]] = np.maximum(weight[start : edges[i + 1]], 0.5)
    holder = np.repeat(follows[: len(states)], np.diff(edges))
    weight[holder == UNKNOWN] = 0
    return holder, weight


def _with_lead(backchannel: NDArray[np.bool_], lead: int) -> NDArray[np.bool_]:
    widened = backchannel.copy()
    for speaker in (0, 1):
        for start, _ in runs(backchannel[speaker]):
            widened[speaker, max(0, start - lead) : start] = True
    return widened
