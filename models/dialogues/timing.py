"""Order and timing of turns in real conversations (RTTM, TextGrid, word times).

A `PlannedTurn` says who takes the floor, how long after the end of the previous turn, for how long,
with which pauses, and when the listener gives backchannels. wording.py chooses what is said, and
voice.py makes the sound.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .activity import Segment, bridge_gaps
from .rttm_file import read_rttm
from .textgrid_file import read_textgrid
from .word_times import Word, sample_word_times

BACKCHANNEL_LONGEST_S = 1.0
BACKCHANNEL_OWN_SILENCE_S = 1.0
SPOKEN_BACKCHANNEL_LONGEST_S = 2.0  # limit where the words are known
WORD_GAP_S = 0.2  # a longer silence between words is a pause
WORD_CONVERSATIONS = 300  # number drawn from each file of word times
SHORTEST_CONVERSATION = 10  # turns
LONGEST_GAP_S = 4.0
DEEPEST_OVERLAP_S = 1.2
BACKCHANNEL_WORDS = frozenset(
    (
        *(
            "yeah",
            "yes",
            "yep",
            "yup",
            "uh-huh",
            "um-hum",
            "mm-hm",
            "mm-hmm",
            "mhm",
            "mm",
            "hm",
            "hmm",
            "hum",
            "huh",
        ),
        *("right", "okay", "ok", "oh", "really", "sure", "wow", "exactly", "true", "absolutely"),
    )
)
BACKCHANNEL_PHRASES = frozenset(
    ("i see", "oh i see", "that's right", "that's true", "all right", "of course", "is that right")
)


@dataclass(frozen=True)
class PlannedTurn:
    """One speaker's turn.

    Attributes:
        speaker: 0 or 1.
        offset_s: floor transfer offset: time from the end of the previous turn, negative if the
            turn starts inside it.
        parts_s: speaking time between the planned pauses.
        pauses_s: the pauses, one fewer than parts.
        backchannels: where the listener reacts, as fractions of the turn in 0-1.
        finished: whether it ends with the end of a sentence (is not broken off).
    """

    speaker: int
    offset_s: float
    parts_s: tuple[float, ...]
    pauses_s: tuple[float, ...]
    backchannels: tuple[float, ...] = ()
    finished: bool = True


def turns_from_words(speakers: Sequence[Sequence[Word]]) -> list[PlannedTurn]:
    """Convert the word times of a two-party conversation to turns.

    The rules are those of turns_from_segments, but the words decide what may be a backchannel:
    "yeah", "uh-huh", "I see" and the like.

    Args:
        speakers: words of the two speakers, in order of time.
    """
    segments: list[list[Segment]] = []
    reactions: list[set[Segment]] = []
    for words in speakers:
        stretches: list[list[Word]] = []
        for word in words:
            if stretches and word[0] - stretches[-1][-1][1] < WORD_GAP_S:
                stretches[-1].append(word)
            else:
                stretches.append([word])
        spans = [(stretch[0][0], max(end for _, end, _ in stretch)) for stretch in stretches]
        segments.append(spans)
        reactions.append(
            {
                span
                for span, stretch in zip(spans, stretches, strict=True)
                if _is_reaction(span, stretch)
            }
        )
    return turns_from_segments(segments, reactions)


def _is_reaction(span: Segment, stretch: Sequence[Word]) -> bool:
    said = [word for _, _, word in stretch]
    known = all(word in BACKCHANNEL_WORDS for word in said) or " ".join(said) in BACKCHANNEL_PHRASES
    return known and span[1] - span[0] <= SPOKEN_BACKCHANNEL_LONGEST_S


def turns_from_segments(
    speakers: Sequence[Sequence[Segment]], reactions: Sequence[Container[Segment]] | None = None
) -> list[PlannedTurn]:
    """Convert the segments of a two-party conversation to turns.

    A backchannel is a segment of at most 1 s with 1 s of silence of the same speaker on both sides.
    The other speaker speaks just before or during it, and continues after it. All other segments
    belong to turns: a pause if the same speaker continues, a floor transfer if the other starts.

    Args:
        speakers: segments of the two speakers, in seconds.
        reactions: for each speaker, the segments that are backchannels by their words; None to
            judge by length.
    """
    own = [bridge_gaps(segments, 0.15) for segments in speakers]
    backchannels: list[tuple[int, Segment]] = []
    spoken: list[tuple[int, Segment]] = []
    for speaker, segments in enumerate(own):
        for i, (start, end) in enumerate(segments):
            alone = (i == 0 or start - segments[i - 1][1] >= BACKCHANNEL_OWN_SILENCE_S) and (
                i + 1 == len(segments) or segments[i + 1][0] - end >= BACKCHANNEL_OWN_SILENCE_S
            )
            slight = (
                (start, end) in reactions[speaker]
                if reactions
                else end - start <= BACKCHANNEL_LONGEST_S
            )
            (
                backchannels
                if slight and alone and _others_go_on(own[1 - speaker], start, end)
                else spoken
            ).append((speaker, (start, end)))
    spoken.sort(key=lambda item: item[1])
    groups: list[tuple[int, list[Segment]]] = []
    for speaker, segment in spoken:
        if groups and groups[-1][0] == speaker:
            groups[-1][1].append(segment)
        else:
            groups.append((speaker, [segment]))
    turns: list[PlannedTurn] = []
    previous_end = 0.0
    for speaker, segments in groups:
        start, end = segments[0][0], segments[-1][1]
        inside = [
            (b[0] - start) / (end - start)
            for who, b in backchannels
            if who != speaker and start < b[0] < end
        ]
        pauses = [
            min(max(b[0] - a[1], 0.15), LONGEST_GAP_S)
            for a, b in zip(segments, segments[1:], strict=False)
        ]
        offset = float(np.clip(start - previous_end, -DEEPEST_OVERLAP_S, LONGEST_GAP_S))
        turns.append(
            PlannedTurn(
                speaker, offset, tuple(b - a for a, b in segments), tuple(pauses), tuple(inside)
            )
        )
        previous_end = end
    return turns


def _others_go_on(other: Sequence[Segment], start: float, end: float) -> bool:
    before = any(a < start and b > start - 0.5 for a, b in other)
    after = any(a < end + 1.0 and b > end + 0.3 for a, b in other)
    return before and after


def read_templates(folder: Path) -> dict[str, list[list[PlannedTurn]]]:
    """Read real conversations as turns, by corpus.

    The files are `timing/<corpus>/*.rttm`, `timing/<corpus>/*.jsonl.gz` (word times, a sample of
    each file) and `scripts/<corpus>/*.TextGrid` under `folder`. A recording with more than two
    speakers is cut into windows of five minutes. A window is used if two of them do nearly all the
    talking.
    """
    templates: dict[str, list[list[PlannedTurn]]] = {}
    for corpus in sorted(path for path in (folder / "timing").glob("*") if path.is_dir()):
        conversations: list[list[PlannedTurn]] = []
        for path in sorted(corpus.glob("*.rttm")):
            for recording in read_rttm(path).values():
                conversations += [turns_from_segments(pair) for pair in _pairs(recording)]
        for path in sorted(corpus.glob("*.jsonl.gz")):
            conversations += map(turns_from_words, sample_word_times(path, WORD_CONVERSATIONS))
        templates[corpus.name] = [
            turns for turns in conversations if len(turns) >= SHORTEST_CONVERSATION
        ]
    for corpus in sorted(path for path in (folder / "scripts").glob("*") if path.is_dir()):
        parties: dict[str, list[list[Segment]]] = defaultdict(list)
        for path in sorted(corpus.glob("*.TextGrid")):
            parties[path.stem.rsplit("_", 1)[0]].append(
                [(start, end) for start, end, _ in read_textgrid(path)]
            )
        templates[corpus.name] = [
            turns_from_segments(pair) for pair in parties.values() if len(pair) == 2
        ]
    return {corpus: conversations for corpus, conversations in templates.items() if conversations}


def _pairs(
    recording: Mapping[str, list[Segment]], window_s: float = 300.0
) -> list[list[list[Segment]]]:
    speakers = sorted(recording)
    if len(speakers) == 2:
        return [[recording[name] for name in speakers]]
    last = max(end for segments in recording.values() for _, end in segments)
    pairs: list[list[list[Segment]]] = []
    for start in np.arange(0.0, last, window_s):
        inside = {
            name: [s for s in recording[name] if start <= s[0] < start + window_s]
            for name in speakers
        }
        spoken_s = {name: sum(b - a for a, b in inside[name]) for name in speakers}
        busiest = sorted(speakers, key=lambda name: -spoken_s[name])[:2]
        if (
            len(busiest) == 2
            and min(len(inside[name]) for name in busiest) >= 5
            and sum(spoken_s[name] for name in busiest) > 0.9 * sum(spoken_s.values())
        ):
            pairs.append([inside[name] for name in busiest])
    return pairs
