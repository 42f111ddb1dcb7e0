"""Tells speech in a transcript from marks of laughter, noise, breath and silence."""

from __future__ import annotations

import re

_MARK = re.compile(r"\[[^\]]*\]|<[^>]*>|\{[^}]*\}")
# Speech that the transcriber did not understand: <UNIN/>, [unintelligible], <INAUDIBLE_SPEECH/>,
# <unk>.
_UNINTELLIGIBLE = ("unin", "inaudible", "unk")
_SILENCE = {"", "sil", "sp", "spn", "silence", "pause", "#"}


def is_speech(text: str) -> bool:
    """Whether the text contains anything spoken.

    [noise], [laughter], <breath>, {cough} and the like are not speech. The labels that aligners
    give to silence are not speech either. Marks of unintelligible speech are, and so are words
    between an opening and a closing mark.
    """
    if any(
        mark.strip("[]<>{}/ ").lower().startswith(_UNINTELLIGIBLE) for mark in _MARK.findall(text)
    ):
        return True
    return _MARK.sub(" ", text).strip().lower() not in _SILENCE
