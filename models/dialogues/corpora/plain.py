"""What RTTM and TextGrid have in common as corpora: two named speakers, and audio named after the recording."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from ....stream.errors import DialogueError
from ..activity import Segment
from .conversation import Conversation
from .folder import CorpusFolder
from .loudness import first_is_on_channel_0


def person(recording: str, speaker: str, all_names: Collection[str]) -> str:
    """A name that is the same wherever the person speaks.

    Where the whole corpus knows two names only ("A" and "B", "doctor" and "patient"), these are roles, and the people of each recording are others.
    """
    return f"{recording}/{speaker}" if len(all_names) <= 2 else speaker


def refuse(error: DialogueError) -> NoReturn:
    """Reads a recording whose file is broken: what was wrong is said in its turn, so that only this file can be left out."""
    raise error


def plain_conversation(
    folder: CorpusFolder,
    name: str,
    path: Path,
    spoken: Mapping[str, Sequence[Segment]],
    all_names: Collection[str],
) -> list[Conversation]:
    """A recording of two speakers whose segments stay in their file.

    Args:
        folder: of the audio.
        name: of the recording.
        path: of its segments.
        spoken: segments by speaker.
        all_names: of all speakers of the corpus.
    Raises:
        DialogueError: not two speakers, no audio, or a stereo file that does not tell them apart.
    """
    if len(spoken) != 2:
        raise DialogueError(
            f"{path}: expected two speakers in {name}, got {len(spoken)}: {', '.join(spoken)}"
        )
    first, second = sorted(spoken)
    audio = folder.audio(
        path, (name,), *((f"{name}{mark}{first}", f"{name}{mark}{second}") for mark in "_.-")
    )
    if len(audio) == 1 and not first_is_on_channel_0(audio[0], [spoken[first], spoken[second]]):
        first, second = second, first
    speakers = (person(name, first, all_names), person(name, second, all_names))
    return [
        Conversation(
            name, audio, speakers, "segments", segments=(path,), segments_of=(first, second)
        )
    ]
