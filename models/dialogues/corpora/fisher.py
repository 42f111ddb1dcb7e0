"""Fisher English, parts 1 and 2.

    .../audio/000/fe_03_00001.sph            stereo, mu-law, 8 kHz, A on channel 0
    .../data/trans/000/fe_03_00001.txt       lines "12.34 14.56 A: text", and comments with #
    .../doc/fe_03_p1_calldata.tbl            who talks: CALL_ID, ..., APIN, ..., BPIN, ...

Times are those of utterances, mostly segmented automatically, so the manifest takes activity from
the audio.
Source: documentation of LDC2004S13 and LDC2005S13 (speech), LDC2004T19 and LDC2005T19
(transcripts).
"""

from __future__ import annotations

import csv
import logging
import re
from functools import partial
from pathlib import Path

from ....stream.errors import DialogueError
from ..marks import is_speech
from .conversation import Conversation, Recordings, Utterance
from .folder import CorpusFolder, read_lines

_LINE = re.compile(r"(\d+(?:\.\d+)?)\s+(\d+(?:\.\d+)?)\s+([AB])\d*:\s*(.*)")

_log = logging.getLogger(__name__)


def find(folder: CorpusFolder) -> Recordings:
    """Every call that has a transcript.

    Raises:
        DialogueError: there are no transcripts, or a table of calls lacks a column.
    """
    transcripts = folder.matching(r"(fe_03_\d{5})\.txt", "fe_03_00001.txt")
    callers = _callers(folder)
    return {match[1]: partial(_read, folder, path, callers) for match, path in transcripts}


def read_transcript(path: Path) -> list[Utterance]:
    """Utterances of both sides; those with laughter or noise only are left out.

    Raises:
        DialogueError: a line is neither a comment nor start, end, side and text (the message has
            its number).
    """
    utterances: list[Utterance] = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or float(match[2]) < float(match[1]):
            raise DialogueError(
                f"{path}, line {number}: expected 'start end A: text' or B, got {line!r}"
            )
        if is_speech(match[4]):
            utterances.append(
                Utterance("AB".index(match[3]), float(match[1]), float(match[2]), match[4])
            )
    return utterances


def _callers(folder: CorpusFolder) -> dict[str, tuple[str, str]]:
    callers: dict[str, tuple[str, str]] = {}
    for name in ("fe_03_p1_calldata.tbl", "fe_03_p2_calldata.tbl"):
        path = folder.file(name)
        if path is None:
            continue
        table = csv.DictReader(read_lines(path), restval="")
        if missing := {"CALL_ID", "APIN", "BPIN"} - set(table.fieldnames or ()):
            raise DialogueError(
                f"{path}: expected columns CALL_ID, APIN and BPIN, "
                f"got none named {', '.join(sorted(missing))}"
            )
        for row in table:
            call = f"fe_03_{row['CALL_ID']}"
            callers[call] = (_speaker(call, "A", row["APIN"]), _speaker(call, "B", row["BPIN"]))
    if not callers:
        _log.warning(
            "%s: no fe_03_p1_calldata.tbl, so nobody knows who is who: "
            "the same person may be in two splits",
            folder.path,
        )
    return callers


def _speaker(call: str, side: str, pin: str = "") -> str:
    """Name of the person with that PIN. Without a PIN the name is unique to this call."""
    return f"fisher{pin.strip()}" if pin.strip() else f"{call}/{side}"


def _read(
    folder: CorpusFolder, path: Path, callers: dict[str, tuple[str, str]]
) -> list[Conversation]:
    name = path.stem
    speakers = callers.get(name, (_speaker(name, "A"), _speaker(name, "B")))
    return [
        Conversation(name, folder.audio(path, (name,)), speakers, "audio", read_transcript(path))
    ]
