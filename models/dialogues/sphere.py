"""NIST SPHERE: libsndfile reads it uncompressed (PCM, mu-law, A-law), not packed by shorten as LDC delivered some of its corpora."""

from __future__ import annotations

from pathlib import Path

HEADER_BYTES = 1024


def needs_unpacking(path: Path) -> bool:
    """Is this a SPHERE file whose samples are packed by shorten (`sample_coding -s26 ulaw,embedded-shorten-v2.00`)?"""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError:
        return False
    return header.startswith(b"NIST_1A") and b"embedded-shorten" in header
