"""What the network is asked to say of every frame, computed from who spoke when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..projection import UNKNOWN, projection_classes
from .activity import runs

BACKCHANNEL_LEAD_S = 0.5  # a backchannel is predicted this long before it starts
BRIDGED_PAUSE_S = (
    0.2  # shorter silences inside a speaker's speech do not end it (articulation, stops)
)
DECISIVE_SILENCE_S = 1.2  # frames of a mutual silence up to here weigh fully in the loss of the floor: later ones decide less, and are many
DECISIVE_SPEECH_S = 0.5  # and the speech this long before its end half
IDLE_WEIGHT = 0.02  # all other frames
JUDGED_WEIGHT = (
    1.0  # frames of speech of which a judge said how complete the turn would be if it ended there
)
JUDGED_SHARE = (
    0.5  # of the label in a silence that a judge has heard; the rest is what happened then
)

_SILENT, _OVERLAP = 0, 3  # states of the floor; 1 and 2 are the first and the second speaker alone


@dataclass(frozen=True)
class FrameLabels:
    """Targets of T frames.

    Attributes:
        vad: (2, T) bool, is speaking, backchannels included.
        projection: (T,) int64 class of the next 2 s, UNKNOWN at the end.
        next_holder: (T,) int64, who holds the floor next, UNKNOWN at the end.
        next_second: (T,) float32, probability that it is the second speaker: what happened, and where a judge of turn completeness was asked,
            what it said; 0.5 where unknown.
        next_weight: (T,) float32, how much a frame counts in the loss of next_holder.
        backchannel: (2, T) bool, is, or within BACKCHANNEL_LEAD_S will be, giving a backchannel.
        finality: (2, T) float32, how finished the speaker's last words sound, 0-1; NaN where unknown.
    """

    vad: NDArray[np.bool_]
    projection: NDArray[np.int64]
    next_holder: NDArray[np.int64]
    next_second: NDArray[np.float32]
    next_weight: NDArray[np.float32]
    backchannel: NDArray[np.bool_]
    finality: NDArray[np.float32]


def label_frames(
    activity: NDArray[np.bool_],
    backchannel: NDArray[np.bool_],
    frame_rate_hz: float,
    bin_edges_s: tuple[float, ...],
    finality: NDArray[np.floating] | None = None,
) -> FrameLabels:
    """Targets from voice activity.

    Args:
        activity: (2, T), every kind of speech.
        backchannel: (2, T), the frames of it that are backchannels.
        frame_rate_hz: of both.
        bin_edges_s: of the projection.
        finality: (2, T), where a teacher judged it.
    """
    turns = bridge_short_pauses(activity & ~backchannel, round(BRIDGED_PAUSE_S * frame_rate_hz))
    holder, weight = next_holder(turns, frame_rate_hz)
    judged = (
        np.full(activity.shape, np.nan, np.float32)
        if finality is None
        else finality.astype(np.float32)
    )
    second, weight = _with_judgement(holder, weight, turns, judged)
    return FrameLabels(
        vad=activity,
        projection=projection_classes(activity, frame_rate_hz, bin_edges_s),
        next_holder=holder,
        next_second=second,
        next_weight=weight,
        backchannel=_with_lead(backchannel, round(BACKCHANNEL_LEAD_S * frame_rate_hz)),
        finality=judged,
    )


def _with_judgement(
    holder: NDArray[np.int64],
    weight: NDArray[np.float32],
    turns: NDArray[np.bool_],
    judged: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probability that the second speaker is next, and weights, (T,) each, with what a judge said of the one who speaks, or spoke last, alone.

    While somebody speaks alone the label is what would follow if the words ended there. In a mutual silence it is part of the label,
    since one recording shows one of the things that could have happened.
    """
    second = np.where(holder == UNKNOWN, 0.5, holder).astype(np.float32)
    frames = np.arange(len(holder))
    alone = turns[0] != turns[1]
    last = np.maximum.accumulate(
        np.where(alone, frames, -1)
    )  # the newest frame in which one speaker was alone
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
    """Fill the silences shorter than `frames` between two stretches of the same speaker's activity, (2, T)."""
    bridged = activity.copy()
    for speaker in (0, 1):
        for start, end in runs(~activity[speaker]):
            if start > 0 and end < activity.shape[1] and end - start < frames:
                bridged[speaker, start:end] = True
    return bridged


def next_holder(
    turns: NDArray[np.bool_], frame_rate_hz: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Who holds the floor next, and how much each frame should count.

    During silence: whoever speaks next. While one speaks alone: whoever speaks once that stretch of speech has ended,
    where an overlap after which the same speaker goes on does not end it. During overlap: whoever is left alone.

    Args:
        turns: (2, T) activity without backchannels.
    Returns:
        (T,) speaker or UNKNOWN, and (T,) weights.
    """
    frames = turns.shape[1]
    floor = turns[0].astype(np.int64) + 2 * turns[1]
    edges = np.unique(np.concatenate([np.array([0, frames]), np.nonzero(np.diff(floor))[0] + 1]))
    states = floor[edges[:-1]]
    follows = np.full(
        len(states) + 2, UNKNOWN, np.int64
    )  # label of each stretch; two beyond the end are unknown
    ends = np.append(
        edges[1:], [frames, frames]
    )  # frame at which the stretch of speech that a label is about ends
    padded = np.append(states, [_SILENT, _SILENT])
    for i in range(len(states) - 1, -1, -1):
        after = i + 1
        if states[i] in (_SILENT, _OVERLAP):
            alone = padded[after] in (1, 2)
            follows[i] = padded[after] - 1 if alone else follows[after]
        elif padded[after] == _OVERLAP:
            left = padded[after + 1]
            if left == states[i]:  # goes on alone: still the same stretch
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
