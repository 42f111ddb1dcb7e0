"""Turn events in voice activity: shifts and holds, long and short onsets, backchannels about to come, pauses.

Every event is found from who spoke when, (2, T) at 50 Hz, and from nothing else. What is scored of an event (a silence, the
speech before it, an onset) begins at least 3 s into the dialogue, so that a predictor has something to go by; pauses and
mutual silences, which a deployed system meets at any time, are the exception.

Source: Ekstedt & Skantze 2022 and its published code; Roddy et al. 2018 for the least silence; LiveKit's eot-bench for
pauses, which here are stricter about who takes the floor (find_pauses). Two things are looser here
than in VAP's code: it wants the one speaker of the second before and after a silence to be
active all through it, pauses of their own excepted, here it is enough that nobody else is; and it joins a speaker's activity
across mutual silences before it looks for short ones, here a short stretch stands as it was annotated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import DialogueError
from .activity import FRAME_RATE_HZ, BoolFrames, runs

CONTEXT_S = 3.0  # nothing that starts earlier in the dialogue is scored
LAST_SPEECH_S = 0.5  # of speech before a shift or hold
LONG_ONSET_S = 1.0  # speech at least this long is long, at most this long short
SHORT_MARGIN_S = 1.0  # of own silence on both sides of a short one
BACKCHANNEL_WINDOW_S = 0.5  # before a short one
AFTER_TURN_START_S, BEFORE_TURN_END_S = (
    1.0,
    2.0,
)  # nobody is expected to give a backchannel between them, if none was given
SHORTEST_PAUSE_S, LONGEST_HOLD_S = 0.2, 5.0
FLOOR_S = 1.0  # of speech of the other speaker takes the floor, less does not
NOBODY = -1


@dataclass(frozen=True)
class Transition:
    """A mutual silence after which the floor goes to the other speaker or stays.

    Attributes:
        kind: "shift" or "hold".
        previous, next: the speaker before and after the silence.
        silence_start_frame: first silent frame.
        silence_end_frame: first frame in which the next speaker is active.
    """

    kind: Literal["shift", "hold"]
    previous: int
    next: int
    silence_start_frame: int
    silence_end_frame: int


@dataclass(frozen=True)
class Onset:
    """Someone begins to speak: for long, or only shortly, as a backchannel is.

    Attributes:
        kind: "long" or "short".
        speaker: who begins.
        start_frame, end_frame: their uninterrupted activity, end exclusive.
    """

    kind: Literal["long", "short"]
    speaker: int
    start_frame: int
    end_frame: int


@dataclass(frozen=True)
class BackchannelWindow:
    """Half a second after which the listener gives a backchannel, or does not.

    Attributes:
        kind: "backchannel" or "none".
        listener: who gives it, or would.
        start_frame, end_frame: end exclusive.
    """

    kind: Literal["backchannel", "none"]
    listener: int
    start_frame: int
    end_frame: int


@dataclass(frozen=True)
class Pause:
    """One speaker's silence.

    Attributes:
        kind: "hold" if the speaker continues first, "end" if the other takes the floor: an end of turn.
        speaker: who paused.
        start_frame, end_frame: from the first silent frame until the speaker speaks again, or the
            dialogue's end.
    """

    kind: Literal["hold", "end"]
    speaker: int
    start_frame: int
    end_frame: int


def find_transitions(
    activity: BoolFrames,
    frame_rate_hz: float = FRAME_RATE_HZ,
    least_silence_s: float = 0.25,
    context_s: float = 1.0,
    not_before_s: float = CONTEXT_S,
) -> list[Transition]:
    """All shifts and holds, in order of time.

    Speaker A, mutual silence of at least 0.25 s, then B (shift) or A (hold). In the 1 s before the silence only A is active,
    in the 1 s after it only the next speaker; the silence starts at least 3 s into the dialogue. Where the dialogue ends less
    than `context_s` after the silence, what is there counts.

    Args:
        activity: (2, T).
        frame_rate_hz: of the activity.
        least_silence_s: shorter mutual silences are neither.
        context_s: in this time before and after, only the one speaker may be active.
        not_before_s: the silence starts no earlier.
    Raises:
        DialogueError: activity is not (2, T).
    """
    _check(activity)
    least, context = (
        int(np.ceil(least_silence_s * frame_rate_hz - 1e-9)),
        round(context_s * frame_rate_hz),
    )
    found: list[Transition] = []
    for start, end in runs(~np.any(activity, axis=0)):
        if end - start < least or start < not_before_s * frame_rate_hz or end == activity.shape[1]:
            continue
        previous = _only_speaker(activity[:, max(0, start - context) : start])
        following = _only_speaker(activity[:, end : end + context])
        if previous is not None and following is not None:
            found.append(
                Transition(
                    "hold" if previous == following else "shift", previous, following, start, end
                )
            )
    return found


def with_last_speech(activity: BoolFrames, transitions: Sequence[Transition]) -> list[Transition]:
    """Those of an activity's transitions before which 0.5 s were spoken without a break, all of it 3 s into the dialogue."""
    length, first = _frames(LAST_SPEECH_S), _frames(CONTEXT_S)
    return [
        t
        for t in transitions
        if (start := t.silence_start_frame - length) >= first
        and activity[t.previous, start : t.silence_start_frame].all()
    ]


def find_onsets(activity: BoolFrames) -> list[Onset]:
    """Long and short onsets, in order of time.

    Long: the onset after a shift (find_transitions) whose activity lasts at least 1 s without a break. Short: activity of at
    most 1 s with at least 1 s of own silence on both sides, all of it within the dialogue, whatever the other speaker does.
    An onset of exactly 1 s that is both counts as long.

    Args:
        activity: (2, T).
    Raises:
        DialogueError: activity is not (2, T).
    """
    shifts = {
        (t.next, t.silence_end_frame) for t in find_transitions(activity) if t.kind == "shift"
    }
    long, margin, first = _frames(LONG_ONSET_S), _frames(SHORT_MARGIN_S), _frames(CONTEXT_S)
    found: list[Onset] = []
    for speaker in (0, 1):
        stretches = runs(activity[speaker])
        before = [0, *(end for _, end in stretches)]
        after = [*(start for start, _ in stretches[1:]), activity.shape[1]]
        for (start, end), silent_since, silent_until in zip(stretches, before, after, strict=False):
            if (speaker, start) in shifts and end - start >= long:
                found.append(Onset("long", speaker, start, end))
            elif (
                end - start <= long
                and start - silent_since >= margin
                and silent_until - end >= margin
                and start >= first
            ):
                found.append(Onset("short", speaker, start, end))
    return sorted(found, key=lambda onset: (onset.start_frame, onset.speaker))


def find_backchannel_windows(activity: BoolFrames) -> list[BackchannelWindow]:
    """The 0.5 s before every short onset, and as negatives those in which nobody is about to give one; in order of time.

    Negatives lie inside the other speaker's long activity, at least 1 s after its start and 2 s before its end: windows side
    by side, as many as fit. A pause of that speaker's, in which the listener was silent too, does not end the activity.

    Args:
        activity: (2, T).
    Raises:
        DialogueError: activity is not (2, T).
    """
    length, first = _frames(BACKCHANNEL_WINDOW_S), _frames(CONTEXT_S)
    shorts = [
        onset
        for onset in find_onsets(activity)
        if onset.kind == "short" and onset.start_frame - length >= first
    ]
    found = [
        BackchannelWindow(
            "backchannel", short.speaker, short.start_frame - length, short.start_frame
        )
        for short in shorts
    ]
    turns = _without_own_pauses(activity)
    for speaker in (0, 1):
        for start, end in runs(turns[speaker] & ~turns[1 - speaker]):
            low, high = (
                max(start + _frames(AFTER_TURN_START_S), first),
                end - _frames(BEFORE_TURN_END_S),
            )
            found += [
                BackchannelWindow("none", 1 - speaker, at, at + length)
                for at in range(low, high - length + 1, length)
            ]
    return sorted(found, key=lambda window: (window.start_frame, window.listener))


def find_pauses(turns: BoolFrames) -> list[Pause]:
    """Pauses of at least 0.2 s that begin while the other is silent, speaker by speaker.

    Breaks of either speaker that are shorter than 0.2 s count as speech. The pause lasts until its
    speaker speaks again. It is

    - a hold if the other says nothing in it and it lasts at most 5 s;
    - an end of turn if the other takes the floor: they begin to speak in the pause, and all that they
      begin in it adds up to at least 1 s. Their silences of 0.2 s and more add nothing, and speech that
      is not over when the speaker speaks again counts to its own end: nobody loses the floor by a
      "mhm" of the other.

    All other pauses are left out: the other says less than 1 s before the speaker continues (a short
    answer and a backchannel cannot be told apart by rule), the other was already speaking when the
    pause began, the hold is longer than 5 s, or the dialogue ends first. If both begin to speak in the
    same frame, it is a hold.

    Args:
        turns: activity that can take the floor, (2, T): known backchannels are better taken out.
    Raises:
        DialogueError: turns are not (2, T).
    """
    _check(turns)
    bridged = np.stack([_without_short_breaks(row) for row in turns])
    found: list[Pause] = []
    for speaker in (0, 1):
        own, other = bridged[speaker], bridged[1 - speaker]
        others_speech = runs(other)
        for start, end in runs(~own):
            if start == 0 or end - start < _frames(SHORTEST_PAUSE_S) or other[start]:
                continue
            said = sum(stop - begin for begin, stop in others_speech if start <= begin < end)
            if said >= _frames(FLOOR_S):
                found.append(Pause("end", speaker, start, end))
            elif said == 0 and end < len(own) and end - start <= _frames(LONGEST_HOLD_S):
                found.append(Pause("hold", speaker, start, end))
    return found


def floor_around(turns: BoolFrames) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every frame: who spoke alone last, up to and including it, and who is the next to be active, after it.

    Args:
        turns: activity that can take the floor, (2, T).
    Returns:
        Two (T,) of speakers: NOBODY before anyone has spoken alone, after the last activity, and where both start at once.
    Raises:
        DialogueError: turns are not (2, T).
    """
    _check(turns)
    frames = turns.shape[1]
    speaker = (
        np.where(turns.sum(axis=0) == 1, turns.argmax(axis=0), NOBODY)
        if frames
        else np.zeros(0, np.int64)
    )
    padded = np.append(speaker, NOBODY)  # so that index -1 and T are nobody
    last = np.maximum.accumulate(np.where(speaker != NOBODY, np.arange(frames), -1))
    active = np.where(turns.any(axis=0), np.arange(frames), frames)
    upcoming = np.append(np.minimum.accumulate(active[::-1])[::-1], frames)[1:]
    return padded[last], padded[upcoming]


def _without_short_breaks(active: BoolFrames) -> BoolFrames:
    """One speaker's activity, (T,), with every silence between two stretches filled that is shorter than a pause."""
    filled = active.copy()
    for start, end in runs(~active):
        if start > 0 and end < len(active) and end - start < _frames(SHORTEST_PAUSE_S):
            filled[start:end] = True
    return filled


def _without_own_pauses(activity: BoolFrames) -> BoolFrames:
    """Activity with every mutual silence filled that has the same speaker before and after it, (2, T)."""
    filled = activity.copy()
    for start, end in runs(~np.any(activity, axis=0)):
        if (
            start > 0
            and end < activity.shape[1]
            and (activity[:, start - 1] == activity[:, end]).all()
        ):
            filled[:, start:end] = activity[:, start - 1 : start]
    return filled


def _only_speaker(activity: BoolFrames) -> int | None:
    speaks = activity.any(axis=1)
    return int(speaks.argmax()) if speaks.sum() == 1 else None


def _check(activity: BoolFrames) -> None:
    if activity.ndim != 2 or len(activity) != 2:
        raise DialogueError(
            f"expected activity of two speakers, (2, T), got shape {activity.shape}"
        )


def _frames(seconds: float) -> int:
    return round(seconds * FRAME_RATE_HZ)
