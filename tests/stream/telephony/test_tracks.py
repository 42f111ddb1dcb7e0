"""Alignment of two tracks by timestamps and sample counts."""

from __future__ import annotations

import random

import pytest

from turnstream.stream.errors import ProtocolError
from turnstream.stream.telephony.tracks import SILENCE, AlignedTracks

from .twilio import CHUNK, bundled_call, chunks

MOST_WAITING = 800 + CHUNK  # samples; PROTOCOL.md: 0.1 s


class Heard:
    """Both channels as they come out."""

    def __init__(self, *expected: int) -> None:
        self.tracks = AlignedTracks(expected)
        self.both = (bytearray(), bytearray())

    def push(self, number: int, time_ms: int, payload: bytes) -> None:
        self._add(self.tracks.push(number, time_ms, payload))

    def flush(self) -> tuple[bytes, bytes]:
        self._add(self.tracks.flush())
        return bytes(self.both[0]), bytes(self.both[1])

    def _add(self, pieces: tuple[bytes, bytes]) -> None:
        assert len(pieces[0]) == len(pieces[1])
        self.both[0].extend(pieces[0])
        self.both[1].extend(pieces[1])


@pytest.fixture(scope="module")
def call() -> tuple[bytes, bytes]:
    return bundled_call(3, 12)


def test_tracks_come_out_as_they_went_in_whatever_time_the_stream_begins_at(
    call: tuple[bytes, bytes],
) -> None:
    for origin_ms in (0, 62, 10**8):
        heard = Heard(0, 1)
        for (time_ms, first), (_, second) in zip(*map(chunks, call), strict=True):
            heard.push(0, origin_ms + time_ms, first)
            heard.push(1, origin_ms + time_ms, second)
        assert heard.flush() == call


def test_a_track_that_runs_ahead_and_chunks_of_any_size_change_nothing(
    call: tuple[bytes, bytes],
) -> None:
    dice = random.Random(3)
    heard, done = Heard(0, 1), [0, 0]
    while min(done) < len(call[0]):
        number = 0 if done[0] <= done[1] else 1
        size = 8 * dice.choice([1, 7, 20, 33, 60])
        heard.push(number, done[number] // 8, call[number][done[number] : done[number] + size])
        done[number] += size
    assert heard.flush() == call


def test_a_lost_chunk_is_silence_and_the_rest_stays_aligned(call: tuple[bytes, bytes]) -> None:
    heard = Heard(0, 1)
    for (time_ms, first), (_, second) in zip(*map(chunks, call), strict=True):
        heard.push(0, time_ms, first)
        if time_ms not in (400, 420, 1000):
            heard.push(1, time_ms, second)
    expected = bytearray(call[1])
    for time_ms in (400, 420, 1000):
        expected[8 * time_ms : 8 * time_ms + CHUNK] = SILENCE * CHUNK
    assert heard.flush() == (call[0], bytes(expected))


def test_a_repeated_chunk_is_dropped(call: tuple[bytes, bytes]) -> None:
    heard = Heard()
    for time_ms, first in chunks(call[0]):
        heard.push(0, time_ms, first)
        if time_ms == 500:
            heard.push(0, time_ms, first)
    assert heard.flush()[0] == call[0]


def test_timestamps_that_jitter_cut_nothing_and_add_nothing(call: tuple[bytes, bytes]) -> None:
    dice = random.Random(5)
    heard = Heard()
    for time_ms, first in chunks(call[0]):
        heard.push(0, 100 + time_ms + (dice.randint(-9, 9) if time_ms else 0), first)
    assert heard.flush()[0] == call[0]


def test_a_lost_track_holds_the_other_back_once_and_shortly(call: tuple[bytes, bytes]) -> None:
    heard, lost_ms = Heard(0, 1), range(1000, 2000)
    behind: list[int] = []
    for (time_ms, first), (_, second) in zip(*map(chunks, call), strict=True):
        heard.push(0, time_ms, first)
        if time_ms not in lost_ms:
            heard.push(1, time_ms, second)
        behind.append(8 * time_ms + CHUNK - len(heard.both[0]))
    assert 0 < max(behind) <= MOST_WAITING
    # After that, it is not waited for any more.
    assert set(behind[60:100]) == {0}
    first, second = heard.flush()
    assert first == call[0]
    assert second[8000:16000] == SILENCE * 8000
    # Its first chunk is lost, because the other did not wait for it.
    assert second[16000 + CHUNK :] == call[1][16000 + CHUNK :]


def test_a_track_that_is_always_too_late_never_delays_the_other(call: tuple[bytes, bytes]) -> None:
    heard, late = Heard(), list(chunks(call[1]))
    for number, (time_ms, first) in enumerate(chunks(call[0])):
        heard.push(0, time_ms, first)
        if number >= 10:
            heard.push(1, *late[number - 10])
        if number > 12:
            assert len(heard.both[0]) == 8 * time_ms + CHUNK
    assert heard.flush()[0] == call[0]


def test_one_track_alone_waits_for_nothing(call: tuple[bytes, bytes]) -> None:
    heard = Heard()
    for time_ms, second in chunks(call[1]):
        heard.push(1, time_ms, second)
        assert len(heard.both[1]) == 8 * time_ms + CHUNK
    assert heard.flush() == (SILENCE * len(call[1]), call[1])


def test_a_gap_of_both_tracks_is_silence(call: tuple[bytes, bytes]) -> None:
    heard = Heard()
    heard.push(0, 0, call[0][:CHUNK])
    heard.push(0, 30_000, call[0][:CHUNK])
    assert heard.flush()[0] == call[0][:CHUNK] + SILENCE * (240_000 - CHUNK) + call[0][:CHUNK]


@pytest.mark.parametrize("time_ms", [0, 161_000, 10**9 - 1])
def test_a_step_of_more_than_a_minute_is_an_error_that_adds_nothing(time_ms: int) -> None:
    heard = Heard()
    heard.push(0, 100_000, b"\x00" * CHUNK)
    with pytest.raises(
        ProtocolError, match=rf"expected at most 60 s from 100020 ms, got {time_ms} ms"
    ) as error:
        heard.push(0, time_ms, b"\x00" * CHUNK)
    assert error.value.code == "bad_audio"
    heard.push(0, 100_020, b"\x01" * CHUNK)
    assert heard.flush()[0] == b"\x00" * CHUNK + b"\x01" * CHUNK
