"""Switchboard-1 (LDC97S62) with the word alignments of Mississippi State University.

    swb1_d1/.../sw02001.sph          stereo, mu-law, 8 kHz, caller A on channel 0 (or .wav, .flac)
    swb_ms98_transcriptions/20/2001/sw2001A-ms98-a-word.text
                                     and ...2001B...: utterance, start, end, word
    conv_tab.csv                     from LDC's documentation: conversation, ., from, to, ...

Without conv_tab.csv the callers are unknown, and the same person may be in two splits.
Source: documentation of LDC97S62; "Rules for Switchboard transcription", Institute for Signal and
Information Processing, 1998.
"""

from __future__ import annotations

import csv
import logging
import re
from functools import partial
from pathlib import Path

from ....stream.errors import DialogueError
from .conversation import Conversation, Recordings, Utterance
from .folder import CorpusFolder, read_lines

NO_SPEECH = {
    "",
    "[silence]",
    "[noise]",
    "[laughter]",
    "[vocalized-noise]",
    "<b_aside>",
    "<e_aside>",
}

_log = logging.getLogger(__name__)


def find(folder: CorpusFolder) -> Recordings:
    """Every conversation that has words.

    Raises:
        DialogueError: there are no word files, or conv_tab.csv is broken.
    """
    sides = {
        match.groups(): path
        for match, path in folder.matching(
            r"sw(\d{4})([AB])-ms98-a-word\.text", "sw2001A-ms98-a-word.text"
        )
    }
    callers = _callers(folder)
    return {
        f"sw{number}": partial(_read, folder, number, sides, callers)
        for number in sorted({number for number, _ in sides})
    }


def read_words(path: Path, channel: int) -> list[Utterance]:
    """Words of one side; silence, noise and laughter are left out.

    Raises:
        DialogueError: a line is not utterance, start, end and word (the message has its number).
    """
    words: list[Utterance] = []
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            _, start, end, *rest = fields
            start_s, end_s = float(start), float(end)
            if len(rest) > 1 or end_s < start_s:
                raise ValueError
        except ValueError:
            raise DialogueError(
                f"{path}, line {number}: expected utterance, start, end and one word, got {line!r}"
            ) from None
        word = rest[0] if rest else ""
        if word not in NO_SPEECH:
            words.append(Utterance(channel, start_s, end_s, plain_word(word)))
    return words


def plain_word(word: str) -> str:
    """Return a word without the marks of the transcript.

    The marks are: laughed [laughter-yeah], one of several pronunciations about_1, cut off th[at]-,
    invented {word}, slip of the tongue [said/meant].
    """
    word = re.sub(r"^\[laughter-(.+)\]$", r"\1", word)
    word = re.sub(r"^\[[^/\]]+/([^\]]+)\]$", r"\1", word)
    word = re.sub(r"_\d+$", "", word).strip("{}")
    return re.sub(r"\[[^\]]*\]", "", word)


def _callers(folder: CorpusFolder) -> dict[str, tuple[str, str]]:
    path = folder.file("conv_tab.csv") or folder.file("conv.tab")
    if path is None:
        _log.warning(
            "%s: no conv_tab.csv, so nobody knows who is who: the same person may be in two splits",
            folder.path,
        )
        return {}
    callers: dict[str, tuple[str, str]] = {}
    for row in csv.reader(read_lines(path)):
        fields = [field.strip(' "') for field in row]
        if len(fields) >= 4 and fields[0].isdigit() and fields[2] and fields[3]:
            callers[fields[0]] = (f"swb{fields[2]}", f"swb{fields[3]}")
    if not callers:
        raise DialogueError(
            f"{path}: expected rows of conversation, flag, caller from, caller to, got none"
        )
    return callers


def _read(
    folder: CorpusFolder,
    number: str,
    sides: dict[tuple[str, ...], Path],
    callers: dict[str, tuple[str, str]],
) -> list[Conversation]:
    missing = [side for side in "AB" if (number, side) not in sides]
    if missing:
        there = next(path for (conversation, _), path in sides.items() if conversation == number)
        raise DialogueError(
            f"{there}: expected sw{number}{missing[0]}-ms98-a-word.text of the other side, "
            f"got none in {folder.path}"
        )
    words = [
        word
        for channel, side in enumerate("AB")
        for word in read_words(sides[number, side], channel)
    ]
    audio = folder.audio(
        sides[number, "A"], (f"sw0{number}",), (f"sw{number}",), (f"sw0{number}A", f"sw0{number}B")
    )
    speakers = callers.get(number, (f"sw{number}A", f"sw{number}B"))
    return [Conversation(f"sw{number}", audio, speakers, "words", words)]
