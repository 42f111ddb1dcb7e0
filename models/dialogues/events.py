"""Turn events in voice activity: shifts, holds, onsets, backchannel windows and pauses.

Every function finds its events from voice activity alone: who speaks when, (2, T) at 50 Hz.
A predictor needs some context before it is scored. So the scored part of an event (a silence, the
speech before it, an onset) starts at least 3 s into the dialogue. Pauses and mutual silences are
the exception: a deployed system meets them at any time.

Two rules are looser than in the published code of Ekstedt & Skantze:
- Their code requires the only speaker in the second before and after a silence to be active for the
  whole second, except for that speaker's own pauses. Here it is enough that the other speaker is
  silent.
- Their code joins a speaker's activity across mutual silences before it looks for short stretches.
  Here each stretch stays as it was annotated.

Source: Ekstedt & Skantze 2022 and their published code (voice activity projection); Roddy et al.
2018 for the shortest mutual silence; LiveKit's eot-bench for pauses, with a stricter rule here for
who takes the floor (see find_pauses).
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
LAST_SPEECH_S = 0.5  # length of the speech before a shift or hold
LONG_ONSET_S = 1.0  # shortest activity of a long onset, longest of a short one
SHORT_MARGIN_S = 1.0  # silence of the same speaker on both sides of a short onset
BACKCHANNEL_WINDOW_S = 0.5  # length of the window before a short onset
# Distance of negative windows from the start and the end of the other speaker's activity.
AFTER_TURN_START_S, BEFORE_TURN_END_S = 1.0, 2.0
SHORTEST_PAUSE_S, LONGEST_HOLD_S = 0.2, 5.0
FLOOR_S = 1.0  # speech that the other speaker needs to take the floor
NOBODY = -1


@dataclass(frozen=True)
class Transition:
    """A mutual silence, after which the floor changes (shift) or stays (hold).

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
    """The start of a stretch of speech, either long or short. Backchannels are short.

    Attributes:
        kind: "long" or "short".
        speaker: who starts to speak.
        start_frame, end_frame: the uninterrupted activity of this speaker, end exclusive.
    """

    kind: Literal["long", "short"]
    speaker: int
    start_frame: int
    end_frame: int


@dataclass(frozen=True)
class BackchannelWindow:
    """A window of 0.5 s, after which the listener gives a backchannel or does not.

    Attributes:
        kind: "backchannel" or "none".
        listener: who gives the backchannel, or could give one.
        start_frame, end_frame: the window, end exclusive.
    """

    kind: Literal["backchannel", "none"]
    listener: int
    start_frame: int
    end_frame: int


@dataclass(frozen=True)
class Pause:
    """A silence of one speaker.

    Attributes:
        kind: "hold" if the speaker continues before the other speaks, "end" (end of turn) if the
            other takes the floor.
        speaker: who is silent.
        start_frame: first silent frame.
        end_frame: frame in which the speaker speaks again, or the end of the dialogue.
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
    """Return all shifts and holds, in order of time.

    A transition is speech of speaker A, then a mutual silence of at least 0.25 s, then speech of B
    (shift) or of A (hold). Only A is active in the 1 s before the silence, and only the next
    speaker in the 1 s after it. The silence starts at least 3 s into the dialogue. If the dialogue
    ends less than `context_s` after the silence, the speech up to its end decides.

    Args:
        activity: (2, T).
        frame_rate_hz: frame rate of the activity.
        least_silence_s: shortest mutual silence that counts.
        context_s: time before and after the silence in which only one speaker may be active.
        not_before_s: earliest start of a silence.
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
    """Return the transitions that follow 0.5 s of unbroken speech of the previous speaker.

    This speech must start at least 3 s into the dialogue.

    Args:
        activity: (2, T).
        transitions: the transitions of this activity.
    """
    length, first = _frames(LAST_SPEECH_S), _frames(CONTEXT_S)
    return [
        t
        for t in transitions
        if (start := t.silence_start_frame - length) >= first
        and activity[t.previous, start : t.silence_start_frame].all()
    ]


def find_onsets(activity: BoolFrames) -> list[Onset]:
    """Return long and short onsets, in order of time.

    A long onset follows a shift (find_transitions), and its activity lasts at least 1 s without a
    break. A short onset has activity of at most 1 s, and at least 1 s of silence of the same
    speaker on both sides. These silences must lie within the dialogue. What the other speaker does
    is ignored. An onset of exactly 1 s that fits both rules is long.

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
    """Return windows of 0.5 s before a backchannel, and negative windows, in order of time.

    Every short onset counts as a backchannel, and the 0.5 s before it are a positive window.
    Negative windows lie inside a long activity of the other speaker, at least 1 s after its start
    and 2 s before its end. They lie side by side, as many as fit. A pause of that speaker does not
    end the activity if the listener is silent in it too.

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
    """Return pauses of at least 0.2 s that start while the other is silent, speaker by speaker.

    Breaks shorter than 0.2 s, of either speaker, count as speech. A pause lasts until its speaker
    speaks again. It is

    - a hold if the other says nothing during the pause and the pause lasts at most 5 s;
    - an end of turn if the other takes the floor: speech that the other starts during the pause
      adds up to at least 1 s. Silences of 0.2 s and more inside this speech do not count. Speech
      that is not over when the first speaker speaks again counts to its own end.

    By this rule nobody loses the floor to a short "mhm". All other pauses are left out:

    - The other says less than 1 s before the speaker continues. No rule can tell a short answer
      from a backchannel.
    - The other was already speaking when the pause started.
    - The hold is longer than 5 s.
    - The dialogue ends first.

    If both start to speak in the same frame, the pause is a hold.

    Args:
        turns: activity that can take the floor, (2, T). Known backchannels are best removed first.
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
    """Return for every frame who last spoke alone and who is active next.

    The first includes the frame itself, the second starts after it.

    Args:
        turns: activity that can take the floor, (2, T).
    Returns:
        The last and the next speaker, (T,) each. The last one is NOBODY until somebody has spoken
        alone. The next one is NOBODY after the last activity, and where both speakers are active in
        that next frame.
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
    padded = np.append(speaker, NOBODY)  # indices -1 and T give NOBODY
    last = np.maximum.accumulate(np.where(speaker != NOBODY, np.arange(frames), -1))
    active = np.where(turns.any(axis=0), np.arange(frames), frames)
    upcoming = np.append(np.minimum.accumulate(active[::-1])[::-1], frames)[1:]
    return padded[last], padded[upcoming]


def _without_short_breaks(active: BoolFrames) -> BoolFrames:
    """Fill silences shorter than a pause in the activity of one speaker, (T,)."""
    filled = active.copy()
    for start, end in runs(~active):
        if start > 0 and end < len(active) and end - start < _frames(SHORTEST_PAUSE_S):
            filled[start:end] = True
    return filled


def _without_own_pauses(activity: BoolFrames) -> BoolFrames:
    """Fill every mutual silence that has the same activity before and after it, (2, T)."""
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
