"""What every reader of a corpus gives: conversations of two people, one on each channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..activity import Segment


@dataclass(frozen=True)
class Utterance:
    """Something said: a word, or a stretch of them where the corpus does not tell words apart. Times in seconds of the recording."""

    channel: int
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Conversation:
    """Two people talking.

    Attributes:
        id: unique in the corpus.
        audio: one stereo file or two mono files, channel 0 first.
        speakers: names that are the same wherever the person speaks.
        activity_from: what says best who spoke when, as in the manifest.
        utterances: what was said, to be written beside the manifest; empty when segments say it.
        segments, segments_of: files of the corpus that can stay as they are, as in the manifest.
        circle: conversations of the same circle may share speakers under names that do not tell; "" for none.
        start_s, end_s: the part of the recording, as in the manifest.
    """

    id: str
    audio: tuple[Path, ...]
    speakers: tuple[str, str]
    activity_from: str
    utterances: Sequence[Utterance] = ()
    segments: tuple[Path, ...] = ()
    segments_of: tuple[str, str] | None = None
    circle: str = ""
    start_s: float = 0.0
    end_s: float | None = None


Recordings = Mapping[str, Callable[[], list[Conversation]]]  # by name, each read when it is called


def times_by_channel(utterances: Sequence[Utterance]) -> list[list[Segment]]:
    """Times of the utterances of channel 0 and of channel 1."""
    return [
        [(u.start_s, u.end_s) for u in utterances if u.channel == channel] for channel in (0, 1)
    ]
