"""RTTM with audio: every recording of two speakers in every .rttm file.

    calls.rttm             SPEAKER call1 1 0.52 1.30 <NA> <NA> ann <NA> <NA>
    call1.wav              stereo, or call1_ann.wav and call1_bob.wav

In a stereo file the speakers are found by loudness. If the whole corpus has only two speaker names,
they are roles, not people.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ....stream.errors import DialogueError
from ..activity import Segment
from ..rttm_file import read_rttm
from .conversation import Conversation, Recordings
from .folder import CorpusFolder
from .plain import plain_conversation, refuse


def find(folder: CorpusFolder) -> Recordings:
    """Every recording; a broken file appears as a recording under its file name.

    Raises:
        DialogueError: there are no RTTM files, two have the same name, or a recording is in two of
            them.
    """
    files: dict[Path, dict[str, dict[str, list[Segment]]]] = {}
    found: dict[str, Callable[[], list[Conversation]]] = {}
    for _, path in folder.matching(r".+\.rttm", "calls.rttm", distinct=True):
        try:
            files[path] = read_rttm(path)
        except DialogueError as error:
            found[path.name] = partial(refuse, error)
    all_names = {
        speaker
        for recordings in files.values()
        for spoken in recordings.values()
        for speaker in spoken
    }
    for path, recordings in files.items():
        for name, spoken in recordings.items():
            if name in found:
                raise DialogueError(
                    f"{path}: expected every recording in one file, got {name!r} again"
                )
            found[name] = partial(plain_conversation, folder, name, path, spoken, all_names)
    if not found:
        raise DialogueError(f"{folder.path}: expected SPEAKER lines in its .rttm files, got none")
    return found
