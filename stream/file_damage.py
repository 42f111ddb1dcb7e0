"""Finds garbled bytes in Ogg and MP3 files, which decoders skip in silence.

An Ogg page has a checksum. The frames of an MP3 file (layer III) follow each other without gaps,
but their content has no checksum: garbled bytes are found if they hit a frame's header. Damage
before the first and after the last whole page or frame is not found here.

Sources: RFC 3533 (Ogg); ISO/IEC 11172-3 and 13818-3 (MPEG audio headers); id3.org (ID3v2).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_PAGE_HEADER_BYTES = 27
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_MPEG1 = 3
_BITRATES_KBPS = {  # of layer III
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {_MPEG1: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_CHAIN = 3  # so many frames in a row are no accident


@dataclass(frozen=True, slots=True)
class GarbledBytes:
    """One stretch of bytes that cannot be decoded.

    Attributes:
        start, end: the bytes, from start up to but not including end.
        time_s: audio before them, in seconds.
    """

    start: int
    end: int
    time_s: float


def garbled_bytes(content: bytes, sample_rate_hz: int) -> list[GarbledBytes]:
    """Return the garbled stretches of a file.

    Args:
        content: the whole file, Ogg or MP3. Of other formats nothing is found.
        sample_rate_hz: sample rate of the file.
    """
    return [*(_ogg if content.startswith(b"OggS") else _mp3)(content, sample_rate_hz)]


def without(content: bytes, stretches: list[GarbledBytes]) -> bytes:
    """Return the content without garbled stretches."""
    starts = [0, *(stretch.end for stretch in stretches)]
    ends = [*(stretch.start for stretch in stretches), len(content)]
    return b"".join(content[start:end] for start, end in zip(starts, ends, strict=True))


def _ogg(content: bytes, rate_hz: int) -> Iterator[GarbledBytes]:
    if content[_PAGE_HEADER_BYTES + 1 :].startswith(b"OpusHead"):
        rate_hz = 48000  # Opus counts at this rate, whatever the rate of the audio
    position, at, good_until = 0, 0, 0
    while at >= 0:
        size = _page_bytes(content, at)
        if size:
            if at > good_until:
                yield GarbledBytes(good_until, at, position / rate_hz)
            # -1 if no packet ends on the page
            granule = int.from_bytes(content[at + 6 : at + 14], "little", signed=True)
            position = max(position, granule)
            at = good_until = at + size
        else:
            at = content.find(b"OggS", at + 1)


def _page_bytes(content: bytes, at: int) -> int:
    """Returns the length of the whole page at a position; 0 if there is none."""
    header = content[at : at + _PAGE_HEADER_BYTES]
    if len(header) < _PAGE_HEADER_BYTES or not header.startswith(b"OggS\0"):
        return 0
    body = at + _PAGE_HEADER_BYTES
    size = _PAGE_HEADER_BYTES + header[26] + sum(content[body : body + header[26]])
    page = content[at : at + size]
    if len(page) < size:
        return 0
    return size if _ogg_checksum(page) == int.from_bytes(page[22:26], "little") else 0


def _ogg_checksum(page: bytes) -> int:
    """Returns the CRC-32 of a page, whose own checksum counts as zeros.

    Ogg's CRC has the polynomial of zlib's, but begins with the highest bit of each byte, starts at
    0 and is not inverted at the end.
    """
    reversed_page = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED_BITS)
    checksum = zlib.crc32(reversed_page, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(checksum.to_bytes(4, "little").translate(_REVERSED_BITS), "big")


def _mp3(content: bytes, rate_hz: int) -> Iterator[GarbledBytes]:
    frames = 0
    at = _next_chain(content, _tag_end(content, 0), None)
    if at is None:
        return
    kind = content[at + 1]
    frame_samples = 1152 if kind >> 3 & 3 == _MPEG1 else 576
    while at is not None:
        size = _frame_bytes(content, at, kind)
        if size:
            at, frames = at + size, frames + 1
            continue
        tag_end = _tag_end(content, at)
        following = _next_chain(content, tag_end, kind)
        if following is not None and following > tag_end:
            yield GarbledBytes(tag_end, following, frames * frame_samples / rate_hz)
        at = following


def _tag_end(content: bytes, at: int) -> int:
    """Returns the end of the tag at a position; the position itself if there is no tag."""
    if content[at : at + 3] != b"ID3":
        return at
    size = 0
    for byte in content[at + 6 : at + 10]:
        size = size << 7 | byte & 0x7F
    return min(at + 10 + size, len(content))


def _next_chain(content: bytes, at: int, kind: int | None) -> int | None:
    """Returns the position of the next frames in a row; None if no frame follows."""
    while True:
        at = content.find(b"\xff", at)
        if at < 0:
            return None
        end = at
        own = content[at + 1] if kind is None and at + 1 < len(content) else kind
        for _ in range(_CHAIN):
            size = _frame_bytes(content, end, own)
            if not size:
                break
            end += size
            if end == len(content):
                return at
        else:
            return at
        at += 1


def _frame_bytes(content: bytes, at: int, kind: int | None) -> int:
    """Returns the length of the frame at a position; 0 if there is none of this kind.

    Args:
        content: the file.
        at: the position.
        kind: second byte of a header of the same stream; its last bit may differ.
    """
    header = content[at : at + 4]
    if len(header) < 4 or header[0] != 0xFF or kind is None or (header[1] ^ kind) & 0xFE:
        return 0
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bitrate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if header[1] < 0xE0 or version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return 0
    first = version == _MPEG1
    bits_per_s = 1000 * _BITRATES_KBPS[first][bitrate - 1]
    size = (144 if first else 72) * bits_per_s // _RATES_HZ[version][rate] + padding
    return size if at + size <= len(content) else 0
