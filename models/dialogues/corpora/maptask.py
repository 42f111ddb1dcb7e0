"""HCRC Map Task in NXT format: one person gives a route, the other follows.

    Data/timed-units/q1ec1.g.timed-units.xml    <tu start= end=>word</tu>; <sil> and <noi> are not
                                                speech
    Data/timed-units/q1ec1.f.timed-units.xml    the same for the follower
    .../q1ec1.mix.wav                           stereo, 20 kHz (or q1ec1.g.wav and q1ec1.f.wav)

With two mono files the giver is channel 0. In a stereo file the speakers are found by loudness. A
quad (q1ec, q1nc, ...) is a group of four people who play only with each other. These files do not
say which of them plays, so a quad stays in one split.
Source: hcrcmaptask.nxtformatv2-1; Anderson et al. 1991.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ....stream.errors import DialogueError
from .conversation import Conversation, Recordings, Utterance, times_by_channel
from .folder import CorpusFolder
from .loudness import first_is_on_channel_0
from .nxt import read_timed_elements

ROLES = ("g", "f")  # giver and follower


def find(folder: CorpusFolder) -> Recordings:
    """Every dialogue that has timed units.

    Raises:
        DialogueError: there are no timed units.
    """
    found = folder.matching(r"(q\d[en]c\d)\.([gf])\.timed-units\.xml", "q1ec1.g.timed-units.xml")
    paths = {match.groups(): path for match, path in found}
    return {
        name: partial(_read, folder, name, paths) for name in sorted({name for name, _ in paths})
    }


def _read(
    folder: CorpusFolder, name: str, paths: dict[tuple[str, ...], Path]
) -> list[Conversation]:
    missing = [role for role in ROLES if (name, role) not in paths]
    if missing:
        raise DialogueError(
            f"{folder.path}: expected {name}.{missing[0]}.timed-units.xml "
            "beside that of the other role, got none"
        )
    audio = folder.audio(paths[name, "g"], (f"{name}.mix",), (name,), (f"{name}.g", f"{name}.f"))
    order = ROLES
    utterances = _utterances(name, paths, order)
    if len(audio) == 1 and not first_is_on_channel_0(audio[0], times_by_channel(utterances)):
        order = ("f", "g")
        utterances = _utterances(name, paths, order)
    return [
        Conversation(
            name,
            audio,
            (f"{name}/{order[0]}", f"{name}/{order[1]}"),
            "words",
            utterances,
            circle=f"maptask/{name[:4]}",
        )
    ]


def _utterances(
    name: str, paths: dict[tuple[str, ...], Path], order: tuple[str, str]
) -> list[Utterance]:
    return [
        Utterance(channel, unit.start_s, unit.end_s, unit.text)
        for channel, role in enumerate(order)
        for unit in read_timed_elements(paths[name, role], "start", "end")
        if unit.tag == "tu" and unit.start_s is not None and unit.end_s is not None
    ]
