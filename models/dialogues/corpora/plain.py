"""What the RTTM and TextGrid readers share: two named speakers, and audio named by recording."""

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
    """Return a name for a speaker that is the same in all recordings.

    If the whole corpus has only two names ("A" and "B", "doctor" and "patient"), they are roles.
    Then every recording has speakers of its own.
    """
    return f"{recording}/{speaker}" if len(all_names) <= 2 else speaker


def refuse(error: DialogueError) -> NoReturn:
    """Raise the error of a broken file.

    Used as the reader of its recording, so that `--skip-broken` can skip this file alone.
    """
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
        folder: folder of the audio.
        name: name of the recording.
        path: file with its segments.
        spoken: segments by speaker.
        all_names: names of all speakers of the corpus.
    Raises:
        DialogueError: there are not exactly two speakers, there is no audio, or loudness does not
            tell them apart in a stereo file.
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
