"""AMI meetings: manual annotations 1.6.2 and headset audio.

    words/ES2002a.A.words.xml                        <w starttime= endtime=>
    corpusResources/meetings.xml                     <meeting observation=> and in it
                                                     <speaker nxt_agent= channel= global_name=>
    amicorpus/ES2002a/audio/ES2002a.Headset-0.wav    0 is the speaker's channel

meetings.py turns meetings into dialogues. Word times come from forced alignment. They are good
enough to say who spoke when.
Source: Carletta 2007; groups.inf.ed.ac.uk/ami/corpus.
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
        DialogueError: there are no words, or meetings.xml is missing or broken.
    """
    meetings: dict[str, dict[str, Path]] = defaultdict(dict)
    for match, path in folder.matching(
        r"([A-Z]{2}\d{4}[a-z]?)\.([A-Z])\.words\.xml", "ES2002a.A.words.xml"
    ):
        meetings[match[1]][match[2]] = path
    speakers = _speakers(folder)
    return {name: partial(_read, folder, name, paths, speakers) for name, paths in meetings.items()}


def _speakers(folder: CorpusFolder) -> dict[tuple[str, str], tuple[str, str]]:
    """Name and channel of every participant, by meeting and agent."""
    path = folder.file("meetings.xml")
    if path is None:
        raise DialogueError(
            f"{folder.path}: expected corpusResources/meetings.xml, "
            "which says who wears which headset, got none"
        )
    speakers: dict[tuple[str, str], tuple[str, str]] = {}
    try:
        for meeting in parse_xml(path).iter("meeting"):
            for speaker in meeting.iter("speaker"):
                speakers[meeting.attrib["observation"], speaker.attrib["nxt_agent"]] = (
                    speaker.attrib["global_name"],
                    speaker.attrib["channel"],
                )
    except KeyError as error:
        raise DialogueError(
            f"{path}: expected observation of every meeting, and nxt_agent, global_name "
            f"and channel of every speaker, got no {error}"
        ) from None
    return speakers


def _read(
    folder: CorpusFolder,
    name: str,
    paths: dict[str, Path],
    speakers: dict[tuple[str, str], tuple[str, str]],
) -> list[Conversation]:
    participants: list[Participant] = []
    for agent, path in sorted(paths.items()):
        if (name, agent) not in speakers:
            raise DialogueError(
                f"{path}: expected speaker {agent} of {name} in meetings.xml, got none"
            )
        who, channel = speakers[name, agent]
        words, unsure = read_words(path)
        (audio,) = folder.audio(path, (f"{name}.Headset-{channel}",))
        participants.append(Participant(f"ami/{who}", agent, audio, words, unsure))
    return pair_dialogues(name, participants)
