"""What every corpus reader returns: conversations of two people, one on each channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..activity import Segment


@dataclass(frozen=True)
class Utterance:
    """A word, or several where the corpus gives no word times.

    Attributes:
        channel: 0 or 1.
        start_s, end_s: times in the recording.
        text: what is said.
    """

    channel: int
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Conversation:
    """A conversation of two people.

    Attributes:
        id: unique in the corpus.
        audio: one stereo file, or two mono files with channel 0 first.
        speakers: names; the same person has the same name in all conversations.
        activity_from: the best source of voice activity, as in the manifest.
        utterances: what was said, to be written beside the manifest; empty when `segments` are
            used.
        segments, segments_of: files of the corpus that are used unchanged, as in the manifest.
        circle: conversations with the same circle may share speakers under different names; "" for
            none.
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


Recordings = Mapping[str, Callable[[], list[Conversation]]]  # by name; a call reads the recording


def times_by_channel(utterances: Sequence[Utterance]) -> list[list[Segment]]:
    """Times of the utterances of channel 0 and of channel 1, in seconds."""
    return [
        [(u.start_s, u.end_s) for u in utterances if u.channel == channel] for channel in (0, 1)
    ]
