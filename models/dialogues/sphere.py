"""NIST SPHERE: libsndfile reads it uncompressed (PCM, mu-law, A-law), not packed by shorten as LDC delivered some of its corpora."""

from __future__ import annotations

from pathlib import Path

from ...stream.errors import DialogueError

HEADER_BYTES = 1024


def unreadable_audio(path: Path, error: Exception) -> DialogueError:
    """What to say of an audio file that libsndfile does not read: how to unpack it, where that is all it needs."""
    if _needs_unpacking(path):
        return DialogueError(
            f"{path}: expected SPHERE audio that is not packed, got shorten; unpack it with: sph2pipe -f wav {path.name} {path.stem}.wav"
        )
    return DialogueError(f"{path}: expected an audio file that libsndfile reads, got: {error}")


def _needs_unpacking(path: Path) -> bool:
    """Is this a SPHERE file whose samples are packed by shorten (`sample_coding -s26 ulaw,embedded-shorten-v2.00`)?"""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError:
        return False
    return header.startswith(b"NIST_1A") and b"embedded-shorten" in header
