"""Stretches of speech by speaker, from an RTTM or a TextGrid file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...stream.errors import DialogueError
from .activity import Segment
from .marks import is_speech
from .rttm_file import read_rttm
from .textgrid_file import read_tiers


def read_segments(
    path: Path, name: str, recordings: Sequence[str], own_file: bool = False
) -> list[Segment]:
    """Stretches of one speaker's speech, in seconds.

    Intervals of a TextGrid without speech (marks.py) are left out.

    Args:
        path: .rttm or .TextGrid.
        name: RTTM speaker or tier.
        recordings: possible names of the recording, for an RTTM file with several.
        own_file: whether the file is about this speaker alone; then `name` matters only if the file
            has several speakers or tiers.
    Raises:
        DialogueError: as in read_speakers, or there is no such speaker.
    """
    speakers = read_speakers(path, recordings)
    if own_file and len(speakers) == 1:
        return next(iter(speakers.values()))
    if name not in speakers:
        raise DialogueError(
            f"{path}: expected a speaker or tier named {name!r}, "
            f"got {', '.join(map(repr, speakers)) or 'none'}"
        )
    return speakers[name]


def read_speakers(path: Path, recordings: Sequence[str]) -> dict[str, list[Segment]]:
    """Stretches of speech of every speaker or tier, in the order of the file.

    Raises:
        DialogueError: the suffix is unknown, the file is broken, two tiers have the same name, or
            the recording is not in the file.
    """
    suffix = path.suffix.lower()
    if suffix == ".textgrid":
        return _tiers(path)
    if suffix == ".rttm":
        return _recording(path, read_rttm(path), recordings)
    raise DialogueError(
        f"{path}: expected segments in a .rttm or a .TextGrid file, got {suffix or 'no suffix'!r}"
    )


def _tiers(path: Path) -> dict[str, list[Segment]]:
    tiers: dict[str, list[Segment]] = {}
    for tier in read_tiers(path):
        if tier.name in tiers:
            raise DialogueError(
                f"{path}: expected tiers of different names, got two named {tier.name!r}"
            )
        tiers[tier.name] = [(start, end) for start, end, text in tier.intervals if is_speech(text)]
    return tiers


def _recording(
    path: Path, found: Mapping[str, dict[str, list[Segment]]], recordings: Sequence[str]
) -> dict[str, list[Segment]]:
    if len(found) == 1:
        return next(iter(found.values()))
    for name in recordings:
        if name in found:
            return found[name]
    raise DialogueError(
        f"{path}: expected a recording named {' or '.join(map(repr, recordings))}, "
        f"got {', '.join(map(repr, found)) or 'none'}"
    )
