"""PriMock57: mock medical consultations.

    audio/day1_consultation01_doctor.wav, ..._patient.wav    mono; the doctor is channel 0
    transcripts/day1_consultation01_doctor.TextGrid, ..._patient.TextGrid

Times are those of utterances and include pauses, so the manifest takes activity from the audio.
Seven doctors worked on five days, and the files do not name them. So all consultations of one day
stay in one split. A doctor who worked on several days may still be in two splits.
Source: Papadopoulos Korfiatis et al. 2022; github.com/babylonhealth/primock57.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ....stream.errors import DialogueError
from ..marks import is_speech
from ..textgrid_file import read_textgrid
from .conversation import Conversation, Recordings, Utterance
from .folder import CorpusFolder

PARTIES = ("doctor", "patient")


def find(folder: CorpusFolder) -> Recordings:
    """Every consultation that has a transcript.

    Raises:
        DialogueError: there are no transcripts.
    """
    found = folder.matching(
        r"(day\d+_consultation\d+)_(doctor|patient)\.TextGrid",
        "day1_consultation01_doctor.TextGrid",
    )
    paths = {match.groups(): path for match, path in found}
    return {
        name: partial(_read, folder, name, paths) for name in sorted({name for name, _ in paths})
    }


def _read(
    folder: CorpusFolder, name: str, paths: dict[tuple[str, ...], Path]
) -> list[Conversation]:
    missing = [party for party in PARTIES if (name, party) not in paths]
    if missing:
        raise DialogueError(
            f"{folder.path}: expected {name}_{missing[0]}.TextGrid "
            "beside that of the other party, got none"
        )
    utterances = [
        Utterance(channel, start_s, end_s, text)
        for channel, party in enumerate(PARTIES)
        for start_s, end_s, text in read_textgrid(paths[name, party])
        if is_speech(text)
    ]
    audio = folder.audio(paths[name, PARTIES[0]], (f"{name}_doctor", f"{name}_patient"))
    return [
        Conversation(
            name,
            audio,
            (f"{name}/doctor", f"{name}/patient"),
            "audio",
            utterances,
            circle=f"primock57/{name.split('_', maxsplit=1)[0]}",
        )
    ]
