"""HarperValleyBank: simulated calls to a bank.

    data/audio/caller/<sid>.wav, data/audio/agent/<sid>.wav   mono, 8 kHz; the caller is channel 0
    data/transcript/<sid>.json                                list of segments
    data/metadata/<sid>.json                                  caller.speaker_id, agent.speaker_id

Word times belong to the automatic transcript. A corrected `human_transcript` replaces its words if
it has the same number of words. A segment starts at `offset_ms` of the audio (`start_ms` counts
from another moment).
Source: README of github.com/cricketclub/gridspace-stanford-harper-valley; Wu et al. 2020.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from ....stream.errors import DialogueError
from ..marks import is_speech
from .conversation import Conversation, Recordings, Utterance
from .folder import CorpusFolder

ROLES = ("caller", "agent")


def find(folder: CorpusFolder) -> Recordings:
    """Every call that has a transcript.

    Raises:
        DialogueError: there are no transcripts.
    """
    return {
        match[1]: partial(_read, folder, match[1], path)
        for match, path in folder.below("transcript", r"([0-9a-f]+)\.json", "00d676d7058c49bb.json")
    }


def read_transcript(path: Path) -> list[Utterance]:
    """Words of both sides; noise and laughter are left out.

    Raises:
        DialogueError: the file is not a JSON list of segments with words and their times.
    """
    segments = _read_json(path)
    words: list[Utterance] = []
    try:
        for segment in segments:
            words += _words(segment)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        wanted = "speaker_role, offset_ms, transcript, word_offsets_ms and word_durations_ms"
        raise DialogueError(
            f"{path}: expected a list of segments with {wanted}, got: {error!r}"
        ) from None
    return words


def _words(segment: dict[str, Any]) -> list[Utterance]:
    channel = ROLES.index(segment["speaker_role"])
    recognised, corrected = (
        segment["transcript"].split(),
        segment.get("human_transcript", segment["transcript"]).split(),
    )
    if not is_speech(" ".join(corrected)):
        return []
    words = corrected if len(corrected) == len(recognised) else recognised
    timed = zip(words, segment["word_offsets_ms"], segment["word_durations_ms"], strict=True)
    starts = [
        (word, (segment["offset_ms"] + offset_ms) / 1000, duration_ms / 1000)
        for word, offset_ms, duration_ms in timed
    ]
    return [
        Utterance(channel, start_s, start_s + length_s, word)
        for word, start_s, length_s in starts
        if is_speech(word)
    ]


def _speakers(folder: CorpusFolder, sid: str) -> tuple[str, str]:
    path = folder.file(f"metadata/{sid}.json")
    if path is None:
        raise DialogueError(
            f"{folder.path}: expected metadata/{sid}.json, which says who talks, got none"
        )
    metadata = _read_json(path)
    try:
        caller, agent = (f"harpervalley{metadata[role]['speaker_id']}" for role in ROLES)
    except (KeyError, TypeError) as error:
        raise DialogueError(
            f"{path}: expected caller.speaker_id and agent.speaker_id, got: {error!r}"
        ) from None
    return caller, agent


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DialogueError(f"{path}: expected JSON, got: {error}") from None


def _read(folder: CorpusFolder, sid: str, path: Path) -> list[Conversation]:
    audio = folder.audio(path, (f"caller/{sid}", f"agent/{sid}"))
    return [Conversation(sid, audio, _speakers(folder, sid), "words", read_transcript(path))]
