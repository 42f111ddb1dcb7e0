"""Dialogues from meetings: stretches in which two participants do nearly all the talking.

A stretch consists of blocks of 10 s. In each block all other participants together speak for at
most 0.5 s. A stretch lasts at least 60 s, and each of the two speaks for more than a tenth of their
common speech. One meeting may give several dialogues; most of a meeting gives none. The audio comes
from the headsets of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from ..activity import FRAME_RATE_HZ, Segment, bridge_gaps, runs, segments_to_frames
from .conversation import Conversation, Utterance
from .nxt import Word

BLOCK_S = 10.0
OTHERS_S = 0.5  # speech of all others in a block
LEAST_S = 60.0
LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Participant:
    """A participant of a meeting.

    Attributes:
        name: of the person, the same in every meeting.
        label: short name within the meeting.
        audio: recording of their own headset; None if there is none.
        words: all words, in order.
        unsure: stretches in which the person may have spoken at unknown times. They are in no
            dialogue.
    """

    name: str
    label: str
    audio: Path | None
    words: Sequence[Word]
    unsure: Sequence[Segment] = ()


def pair_dialogues(meeting: str, participants: Sequence[Participant]) -> list[Conversation]:
    """All dialogues of all pairs of participants, in order of time."""
    frames = _speech(participants)
    found: list[Conversation] = []
    for i, j in combinations(range(len(participants)), 2):
        first, second = participants[i], participants[j]
        if first.audio is None or second.audio is None:
            continue
        for start_s, end_s in _stretches(frames, i, j, participants):
            utterances = [
                Utterance(channel, word.start_s, word.end_s, word.text)
                for channel, one in enumerate((first, second))
                for word in one.words
                if word.end_s > start_s and word.start_s < end_s
            ]
            name = f"{meeting}.{first.label}{second.label}.{start_s:04.0f}"
            audio = (first.audio, second.audio)
            found.append(
                Conversation(
                    name,
                    audio,
                    (first.name, second.name),
                    "words",
                    utterances,
                    start_s=start_s,
                    end_s=end_s,
                )
            )
    return sorted(found, key=lambda conversation: (conversation.start_s, conversation.id))


def _speech(participants: Sequence[Participant]) -> np.ndarray:
    """Activity of all participants, (participants, T) at 50 Hz, in whole blocks."""
    last_s = max((word.end_s for one in participants for word in one.words), default=0.0)
    spoken = [bridge_gaps((word.start_s, word.end_s) for word in one.words) for one in participants]
    return segments_to_frames(spoken, int(last_s // BLOCK_S) * round(BLOCK_S * FRAME_RATE_HZ))


def _stretches(
    frames: np.ndarray, i: int, j: int, participants: Sequence[Participant]
) -> list[Segment]:
    """Start and end in seconds of the stretches of participants i and j."""
    others = (
        np.delete(frames, [i, j], axis=0)
        .sum(axis=0)
        .reshape(-1, round(BLOCK_S * FRAME_RATE_HZ))
        .sum(axis=1)
    )
    theirs = others <= OTHERS_S * FRAME_RATE_HZ
    for start_s, end_s in (segment for one in participants for segment in one.unsure):
        # An unsure stretch may have no end (inf).
        last = int(-(-min(end_s, len(theirs) * BLOCK_S) // BLOCK_S))
        theirs[int(start_s // BLOCK_S) : last] = False
    found: list[Segment] = []
    for start, end in runs(theirs):
        first, second = (
            frames[
                k, round(start * BLOCK_S * FRAME_RATE_HZ) : round(end * BLOCK_S * FRAME_RATE_HZ)
            ].sum()
            for k in (i, j)
        )
        if (end - start) * BLOCK_S >= LEAST_S and min(first, second) > LEAST_SHARE * (
            first + second
        ):
            found.append((start * BLOCK_S, end * BLOCK_S))
    return found
