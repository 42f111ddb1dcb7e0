"""Error message for NIST SPHERE files that libsndfile cannot read.

libsndfile reads uncompressed SPHERE (PCM, mu-law, A-law). It does not read SPHERE compressed with
shorten, the form of some LDC corpora.
"""

from __future__ import annotations

from pathlib import Path

from ...stream.errors import DialogueError

HEADER_BYTES = 1024


def unreadable_audio(path: Path, error: Exception) -> DialogueError:
    """Return the error for an unreadable audio file, with the way to unpack it if that helps."""
    if _needs_unpacking(path):
        return DialogueError(
            f"{path}: expected SPHERE audio that is not packed, got shorten; unpack it with: "
            f"sph2pipe -f wav {path.name} {path.stem}.wav"
        )
    return DialogueError(f"{path}: expected an audio file that libsndfile reads, got: {error}")


def _needs_unpacking(path: Path) -> bool:
    """Whether this is a SPHERE file whose samples are compressed with shorten.

    Its header then has a line such as `sample_coding -s26 ulaw,embedded-shorten-v2.00`.
    """
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError:
        return False
    return header.startswith(b"NIST_1A") and b"embedded-shorten" in header
