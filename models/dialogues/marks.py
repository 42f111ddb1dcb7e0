"""What of a transcript is speech: marks of laughter, noise, breath and silence are not."""

from __future__ import annotations

import re

_MARK = re.compile(r"\[[^\]]*\]|<[^>]*>|\{[^}]*\}")
_UNINTELLIGIBLE = (
    "unin",
    "inaudible",
    "unk",
)  # speech that nobody understood: <UNIN/>, [unintelligible], <INAUDIBLE_SPEECH/>, <unk>
_SILENCE = {"", "sil", "sp", "spn", "silence", "pause", "#"}


def is_speech(text: str) -> bool:
    """Does the text hold anything spoken?

    [noise], [laughter], <breath>, {cough} and the like are no speech, nor are the labels that aligners give to silence;
    marks of unintelligible speech, and words between an opening and a closing mark, are.
    """
    if any(
        mark.strip("[]<>{}/ ").lower().startswith(_UNINTELLIGIBLE) for mark in _MARK.findall(text)
    ):
        return True
    return _MARK.sub(" ", text).strip().lower() not in _SILENCE
