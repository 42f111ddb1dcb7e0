"""What happens when in a dialogue: what each speaker does in every frame, and its events.

Everything follows from who spoke when, (2, T) at 50 Hz, from known backchannels, and, for
questions, from text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames, Segment, runs
from ..dialogues.events import find_onsets, find_transitions

# What one speaker is doing in a frame; the first is everything that the others are not.
SITUATIONS = (
    "other",
    "speaking",
    "listening",
    "pausing",
    "done",
    "about to speak",
    "both speaking",
)
# What the conversation is doing in a frame: a mutual silence between speakers is a gap, within a
# speaker a pause.
FLOORS = ("speech", "overlap", "gap", "pause", "silence")
EVENT_KINDS = ("shift", "hold", "gap", "pause", "overlap", "backchannel")
# Of the words before an event; "" where nobody knows.
ENDINGS = ("", "question", "statement", "hesitation")
HESITATIONS = ("um", "umm", "uhm", "uh", "er", "erm", "eh", "hm", "hmm", "mm", "äh", "ähm", "euh")
# Compatible forms (full width, vertical, small, doubled) are brought to these by NFKC.
QUESTION_MARKS = "?؟՞፧⸮‽꘏꛷𑅃"
SENTENCE_ENDS = ".!。।॥۔։።፨။។៕᙮᠃᠉꓿꘎𑁇" + QUESTION_MARKS
GREEK_QUESTION_MARK = ";"  # after a Greek letter; NFKC makes U+037E this one
CLOSING = ("Pe", "Pf", "Pi", "Zs", "Cc", "Cf")  # brackets, quotation marks, spaces
# Words that end this long before a silence, or after its start, are the last ones before it.
TEXT_BEFORE_S = 0.5

Texts = Sequence[Sequence[tuple[Segment, str]]]  # of each speaker: times, and words or stretches


@dataclass(frozen=True)
class Moment:
    """An event of a dialogue.

    Shifts and holds are the mutual silences that are clearly one (dialogues/events.py); gaps and
    pauses are all mutual silences between turns and within one, these among them.
    """

    kind: str  # one of EVENT_KINDS
    speaker: int  # who spoke before; of an overlap who spoke first, of a backchannel who gives it
    next: int  # who speaks after; of a backchannel who listens to it
    start_frame: int  # at 50 Hz
    end_frame: int  # exclusive
    ending: str = ""  # of the words before it, one of ENDINGS


def find_situations(activity: BoolFrames) -> NDArray[np.int64]:
    """What each speaker is doing in every frame, as indices into SITUATIONS, (2, T).

    A mutual silence counts only where it is clearly a shift or a hold (`find_transitions`).
    """
    index = SITUATIONS.index
    found = np.full(activity.shape, index("other"))
    found[activity] = index("speaking")
    found[~activity & activity[::-1]] = index("listening")
    found[:, activity.all(axis=0)] = index("both speaking")
    for silence in find_transitions(activity):
        span = slice(silence.silence_start_frame, silence.silence_end_frame)
        names = ("pausing", "listening") if silence.kind == "hold" else ("done", "about to speak")
        for speaker, name in zip((silence.previous, 1 - silence.previous), names, strict=True):
            found[speaker, span] = index(name)
    return found


def find_floors(activity: BoolFrames) -> NDArray[np.int64]:
    """What the conversation is doing in every frame, as indices into FLOORS, (T,).

    A silence before the first or after the last speech, or beside a stretch in which both begin or
    end at once, is only "silence".
    """
    spoken, index = activity.any(axis=0), FLOORS.index
    found = np.where(spoken, index("speech"), index("silence"))
    found[activity.all(axis=0)] = index("overlap")
    for kind, _, _, start, end in _silences(activity):
        found[start:end] = index(kind)
    return found


def find_moments(
    activity: BoolFrames, backchannel: BoolFrames, texts: Texts = ((), ())
) -> list[Moment]:
    """Every event of a dialogue, in order of time.

    Args:
        activity: who spoke when, (2, T) at 50 Hz.
        backchannel: known backchannels, (2, T). Where none is known, short stretches of speech
            (`find_onsets`) that begin while the other speaks count as such.
        texts: empty where nothing is known.
    """

    def silence(kind: str, speaker: int, following: int, start: int, end: int) -> Moment:
        start_s = start / FRAME_RATE_HZ
        ends = [
            (abs(end_s - start_s), text)
            for (begin_s, end_s), text in texts[speaker]
            if begin_s < start_s and abs(end_s - start_s) <= TEXT_BEFORE_S
        ]
        ending = ending_of(min(ends)[1]) if ends else ""
        return Moment(kind, speaker, following, start, end, ending)

    found = [
        silence(t.kind, t.previous, t.next, t.silence_start_frame, t.silence_end_frame)
        for t in find_transitions(activity)
    ]
    found += [silence(*each) for each in _silences(activity)]
    for start, end in runs(np.all(activity, axis=0)):
        before = activity[:, start - 1] if start else np.zeros(2, bool)
        if before.sum() == 1:
            first = int(before.argmax())
            found.append(Moment("overlap", first, 1 - first, start, end))
    reactions = [(who, start, end) for who in (0, 1) for start, end in runs(backchannel[who])]
    reactions = reactions or [
        (onset.speaker, onset.start_frame, onset.end_frame)
        for onset in find_onsets(activity)
        if onset.kind == "short" and activity[1 - onset.speaker, onset.start_frame]
    ]
    found += [Moment("backchannel", who, 1 - who, start, end) for who, start, end in reactions]
    return sorted(found, key=lambda m: (m.start_frame, EVENT_KINDS.index(m.kind), m.speaker))


def shift_probability(frames: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return the probability that who did not speak last speaks next, (T,); NaN before anyone did.

    It is read from `holder` and `p_next` of a dialogue, (T, 2) each.
    """
    holder = np.nan_to_num(frames["holder"][:, 0].astype(np.float64), nan=-1).astype(np.int64)
    other = frames["p_next"][np.arange(len(holder)), np.where(holder == 0, 1, 0)]
    return np.where(holder < 0, np.nan, other).astype(np.float32)


def ending_of(text: str) -> str:
    """How words end, one of ENDINGS: a text without a final mark or a hesitation says nothing."""
    words = unicodedata.normalize("NFKC", text)
    while words and (words[-1] in "\"'" or unicodedata.category(words[-1]) in CLOSING):
        words = words[:-1]
    if (
        words.strip(".,…-–").split(" ")[-1].lower() in HESITATIONS
        and words[-1:] not in QUESTION_MARKS
    ):
        return "hesitation"
    last, before = words[-1:], words[-2:-1]
    if last == GREEK_QUESTION_MARK and unicodedata.name(before or " ", "").startswith("GREEK"):
        return "question"
    if not last or last not in SENTENCE_ENDS:
        return ""
    # A doubled mark, such as ?!, is a question where either is one.
    both = (last, before if before in SENTENCE_ENDS else "")
    return "question" if any(mark and mark in QUESTION_MARKS for mark in both) else "statement"


def _silences(activity: BoolFrames) -> list[tuple[str, int, int, int, int]]:
    """(kind, speaker before, speaker after, start, end) of silences between single speakers."""
    found: list[tuple[str, int, int, int, int]] = []
    for start, end in runs(~np.any(activity, axis=0)):
        if start == 0 or end == activity.shape[1]:
            continue
        before, after = activity[:, start - 1], activity[:, end]
        if before.sum() == after.sum() == 1:
            kind = "pause" if (before == after).all() else "gap"
            found.append((kind, int(before.argmax()), int(after.argmax()), start, end))
    return found
