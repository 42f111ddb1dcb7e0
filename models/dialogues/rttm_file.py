"""RTTM files: who spoke when, one line per stretch of speech.

Source: NIST Rich Transcription Evaluation 2009, appendix A.
"""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

from ...stream.errors import DialogueError
from .activity import Segment


def read_rttm(path: Path) -> dict[str, dict[str, list[Segment]]]:
    """Return the segments by recording and speaker, in seconds.

    Raises:
        DialogueError: the file cannot be read, or a line is not RTTM (the message has its number).
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DialogueError(f"{path}: expected an RTTM file, got: {error}") from None
    recordings: dict[str, dict[str, list[Segment]]] = defaultdict(lambda: defaultdict(list))
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            start, duration = float(fields[3]), float(fields[4])
            speaker = fields[7]
            if not (math.isfinite(start) and 0 <= duration < math.inf):
                raise ValueError
        except (IndexError, ValueError):
            raise DialogueError(
                f"{path}, line {number}: expected SPEAKER file channel start duration "
                f"<NA> <NA> speaker, got {line!r}"
            ) from None
        recordings[fields[1]][speaker].append((start, start + duration))
    return {name: dict(speakers) for name, speakers in recordings.items()}
