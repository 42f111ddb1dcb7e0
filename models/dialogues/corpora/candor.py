"""CANDOR: video calls between strangers, one folder per call.

    <id>/processed/<id>.mp3                        stereo (or .wav or .flac made from it)
    <id>/processed/channel_map.json                {"L": user, "R": user}
    <id>/transcription/transcript_audiophile.csv   columns speaker, start, stop, utterance, ...

Turns and their times come from a speech recogniser, so the manifest takes activity from the audio.
Source: Reece et al. 2023, "The CANDOR corpus", and its data dictionary.
"""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

from ....stream.errors import DialogueError
from ..marks import is_speech
from .conversation import Conversation, Recordings, Utterance
from .folder import CorpusFolder, read_lines

COLUMNS = ("speaker", "start", "stop", "utterance")


def find(folder: CorpusFolder) -> Recordings:
    """Every call that has a transcript.

    Raises:
        DialogueError: there are no transcripts.
    """
    transcripts = folder.below(
        "transcription", r"transcript_audiophile\.csv", "transcript_audiophile.csv"
    )
    return {path.parent.parent.name: partial(_read, folder, path) for _, path in transcripts}


def read_transcript(path: Path, speakers: tuple[str, str]) -> list[Utterance]:
    """Turns of both speakers.

    Raises:
        DialogueError: a column is missing, or a row is not a turn of either speaker (the message
            has its number).
    """
    table = csv.DictReader(read_lines(path), restval="")
    if missing := [column for column in COLUMNS if column not in (table.fieldnames or ())]:
        raise DialogueError(
            f"{path}: expected columns {', '.join(COLUMNS)}, got none named {', '.join(missing)}"
        )
    utterances: list[Utterance] = []
    try:
        for row in table:
            turn = Utterance(
                speakers.index(row["speaker"]),
                float(row["start"]),
                float(row["stop"]),
                row["utterance"],
            )
            if is_speech(turn.text):
                utterances.append(turn)
    except (ValueError, csv.Error) as error:
        raise DialogueError(
            f"{path}, line {table.line_num}: expected a turn of {' or '.join(speakers)} "
            f"with start and stop, got: {error}"
        ) from None
    return utterances


def _read(folder: CorpusFolder, path: Path) -> list[Conversation]:
    call = path.parent.parent
    speakers = _channel_map(call / "processed" / "channel_map.json")
    return [
        Conversation(
            call.name,
            folder.audio(path, (f"processed/{call.name}",)),
            speakers,
            "audio",
            read_transcript(path, speakers),
        )
    ]


def _channel_map(path: Path) -> tuple[str, str]:
    try:
        channels = json.loads(path.read_text(encoding="utf-8"))
        return str(channels["L"]), str(channels["R"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DialogueError(f'{path}: expected {{"L": user, "R": user}}, got: {error!r}') from None
