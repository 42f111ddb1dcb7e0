"""Aligns the two tracks of a call, by the timestamps and the sample counts of their chunks. No I/O.

A track is heard without a gap as long as its timestamps follow its sample count to within one
chunk. A larger step is believed: a gap is filled with silence, and audio that comes a second time
is dropped.

A track waits for the other for 0.1 s at most. One that is later counts as lost, and silence takes
its place. It is waited for again as soon as it comes in time. Audio that comes too late is dropped.

Bounds: a track keeps 0.1 s, and a step of more than a minute is an error.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from ..errors import ProtocolError
from .messages import RATE_HZ

SILENCE = b"\xff"  # mu-law of 0

_WAIT = RATE_HZ // 10  # samples that a track waits for the other
_JITTER = RATE_HZ // 50  # least deviation of a timestamp that is a step
_MAX_STEP = 60 * RATE_HZ
_SAMPLES_PER_MS = RATE_HZ // 1000


@dataclass(slots=True)
class _Track:
    waiting: bytearray = field(default_factory=bytearray)  # from the next sample to be given out
    end: int = 0  # position after the last sample heard
    is_awaited: bool = False  # whether the other waits for it


class AlignedTracks:
    """Two tracks of mu-law, one byte per sample at 8 kHz. Position 0 is the first chunk's start.

    Args:
        expected: numbers of the tracks that will come, 0 and 1; another may come, too.
    """

    def __init__(self, expected: Collection[int] = ()) -> None:
        self._origin_ms: int | None = None
        self._tracks = [_Track(is_awaited=number in expected) for number in (0, 1)]
        self._given = 0  # position of the next sample to be given out

    def push(self, number: int, timestamp_ms: int, payload: bytes) -> tuple[bytes, bytes]:
        """Add a chunk of a track.

        Args:
            number: 0 or 1.
            timestamp_ms: time of its first sample.
            payload: (N,) samples, any N.
        Returns:
            The audio of both tracks that is complete now, equally long.
        Raises:
            ProtocolError: bad_audio; the time is more than a minute from that of the other audio.
        """
        if self._origin_ms is None:
            self._origin_ms = timestamp_ms
        start = (timestamp_ms - self._origin_ms) * _SAMPLES_PER_MS
        if abs(start - self._given) > _MAX_STEP:
            raise ProtocolError(
                "bad_audio",
                f"timestamp: expected at most {_MAX_STEP // RATE_HZ} s from "
                f"{self._origin_ms + self._given // _SAMPLES_PER_MS} ms, got {timestamp_ms} ms",
            )
        track = self._tracks[number]
        if track.is_awaited and abs(start - track.end) < _JITTER:
            start = track.end
        track.end = max(track.end, start + len(payload))
        first = self._given + len(track.waiting)  # position of the first sample that is still open
        track.waiting += SILENCE * (start - first)
        track.waiting += payload[max(0, first - start) :]
        track.is_awaited |= track.end > self._given - _WAIT
        return self._take(self._complete())

    def flush(self) -> tuple[bytes, bytes]:
        """Return what waits, because no more audio comes."""
        return self._take(max(len(track.waiting) for track in self._tracks))

    def _complete(self) -> int:
        """Return the number of samples that can be given out, and give up a track that is late."""
        most = max(len(track.waiting) for track in self._tracks)
        for track in self._tracks:
            track.is_awaited &= most - len(track.waiting) <= _WAIT
        return min(len(track.waiting) for track in self._tracks if track.is_awaited)

    def _take(self, count: int) -> tuple[bytes, bytes]:
        self._given += count
        first, second = (_taken(track.waiting, count) for track in self._tracks)
        return first, second


def _taken(waiting: bytearray, count: int) -> bytes:
    """Remove and return samples, with silence for those that are missing."""
    taken = bytes(waiting[:count])
    del waiting[:count]
    return taken.ljust(count, SILENCE)
