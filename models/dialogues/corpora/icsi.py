"""ICSI meetings: core NXT annotations 1.0 and close-talking microphones.

    Words/Bmr001.A.words.xml      <w starttime= endtime= c=>
    Segments/Bmr001.A.segs.xml    <segment participant=>: who agent A is
    transcripts/Bmr001.mrt        <Participant Name= Channel=>: who is on which channel
                                  (part of the original transcripts)
    Bmr001/chan0.sph              compressed with shorten; unpack it with
                                  sph2pipe -f wav chan0.sph chan0.wav

meetings.py turns meetings into dialogues. Participants without a channel of their own are in no
dialogue. Word times come from forced alignment. One word in twenty has no times; stretches around
such words are in no dialogue.
Source: Janin et al. 2003; groups.inf.ed.ac.uk/ami/icsi.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path

from ....stream.errors import DialogueError
from .conversation import Conversation, Recordings
from .folder import CorpusFolder
from .meetings import Participant, pair_dialogues
from .nxt import parse_xml, read_words


def find(folder: CorpusFolder) -> Recordings:
    """Every meeting that has words.

    Raises:
        DialogueError: there are no words.
    """
    meetings: dict[str, dict[str, Path]] = defaultdict(dict)
    for match, path in folder.matching(
        r"(B[a-z]{2}\d{3})\.([A-Z])\.words\.xml", "Bmr001.A.words.xml"
    ):
        meetings[match[1]][match[2]] = path
    return {name: partial(_read, folder, name, paths) for name, paths in meetings.items()}


def _read(folder: CorpusFolder, name: str, paths: dict[str, Path]) -> list[Conversation]:
    channels = _channels(folder, name)
    participants: list[Participant] = []
    for agent, path in sorted(paths.items()):
        who = _participant(folder, name, agent)
        words, unsure = read_words(path)
        audio = folder.audio(path, (f"{name}/{channels[who]}",))[0] if who in channels else None
        participants.append(Participant(f"icsi/{who}", agent, audio, words, unsure))
    return pair_dialogues(name, participants)


def _channels(folder: CorpusFolder, name: str) -> dict[str, str]:
    path = folder.file(f"{name}.mrt")
    if path is None:
        raise DialogueError(
            f"{folder.path}: expected {name}.mrt of the original transcripts, "
            "which says whose channel is which, got none"
        )
    channels = {
        p.get("Name", ""): p.get("Channel", "") for p in parse_xml(path).iter("Participant")
    }
    return {who: channel for who, channel in channels.items() if who and channel}


def _participant(folder: CorpusFolder, name: str, agent: str) -> str:
    path = folder.file(f"{name}.{agent}.segs.xml")
    if path is None:
        raise DialogueError(
            f"{folder.path}: expected Segments/{name}.{agent}.segs.xml, "
            f"which says who agent {agent} is, got none"
        )
    who = next(
        (
            segment.get("participant")
            for segment in parse_xml(path).iter("segment")
            if segment.get("participant")
        ),
        None,
    )
    if who is None:
        raise DialogueError(f"{path}: expected a segment with a participant, got none")
    return who
