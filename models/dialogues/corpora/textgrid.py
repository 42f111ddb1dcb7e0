"""TextGrids with audio: every TextGrid with two interval tiers, one per speaker.

    call1.TextGrid         long or short text form
    call1.wav              stereo, or call1_ann.wav and call1_bob.wav with the names of the tiers

In a stereo file the speakers are found by loudness. If the whole corpus has only two tier names,
they are roles, not people. Intervals with nothing but marks of silence, noise or laughter are not
speech.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ....stream.errors import DialogueError
from ..activity import Segment
from ..segments import read_speakers
from .conversation import Conversation, Recordings
from .folder import CorpusFolder
from .plain import plain_conversation, refuse


def find(folder: CorpusFolder) -> Recordings:
    """Every TextGrid, broken ones included.

    Raises:
        DialogueError: there are no TextGrids, or two have the same name.
    """
    files: dict[Path, dict[str, list[Segment]]] = {}
    found: dict[str, Callable[[], list[Conversation]]] = {}
    for _, path in folder.matching(r".+\.(?i:textgrid)", "call1.TextGrid", distinct=True):
        try:
            files[path] = read_speakers(path, ())
        except DialogueError as error:
            found[path.stem] = partial(refuse, error)
    all_names = {tier for tiers in files.values() for tier in tiers}
    return found | {
        path.stem: partial(plain_conversation, folder, path.stem, path, tiers, all_names)
        for path, tiers in files.items()
    }
