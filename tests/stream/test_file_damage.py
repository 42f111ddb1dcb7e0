"""Garbled bytes in Ogg and MP3 files are found, and nothing in whole files."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.stream.errors import AudioFormatError
from turnstream.stream.file_damage import garbled_bytes, without
from turnstream.stream.sources import FileSource

KINDS = {"vorbis.ogg": "VORBIS", "opus.ogg": "OPUS", "sound.mp3": "MPEG_LAYER_III"}
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that writes a file of 20 s of noise, with bytes in its middle replaced."""

    def write(name: str, garbled: int, rate_hz: int = 16000, channels: int = 1) -> Path:
        random = np.random.default_rng(0)
        noise = 0.1 * random.standard_normal((20 * rate_hz, channels))
        path = tmp_path / name
        soundfile.write(path, noise, rate_hz, subtype=KINDS[name])
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + garbled] = random.bytes(garbled)
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("rate_hz", "channels"), [(8000, 2), (16000, 1), (48000, 2)])
def test_nothing_is_found_in_a_whole_file(
    make: Make, name: str, rate_hz: int, channels: int
) -> None:
    source = FileSource(make(name, 0, rate_hz, channels))
    assert source.warnings == []
    assert sum(map(len, source)) == 20 * rate_hz


@pytest.mark.parametrize(("name", "garbled"), [*((name, 5000) for name in KINDS), ("opus.ogg", 1)])
@pytest.mark.parametrize("rate_hz", [8000, 48000])
def test_garbled_bytes_are_announced_with_time_and_loss_and_the_rest_is_read(
    make: Make, name: str, garbled: int, rate_hz: int
) -> None:
    path = make(name, garbled, rate_hz)
    source = FileSource(path)
    (stretch,) = garbled_bytes(path.read_bytes(), rate_hz)
    (warning,) = source.warnings
    seconds = sum(map(len, source)) / rate_hz
    lost_s = float(warning.split("about ")[1].split(" s")[0])
    assert stretch.time_s == pytest.approx(10, abs=1.6)
    assert f"{stretch.end - stretch.start} bytes at {stretch.time_s:.2f} s are garbled" in warning
    assert 0.05 < lost_s < 4
    assert 20 - seconds == pytest.approx(lost_s, abs=0.2 + 0.4 * lost_s)


def test_tags_between_the_frames_of_an_mp3_are_no_damage(make: Make) -> None:
    once = make("sound.mp3", 0).read_bytes()
    tag = b"ID3\x04\0\0" + bytes([0, 0, 4, 0]) + bytes(512)
    assert garbled_bytes(tag + once + tag + once + b"TAG".ljust(128), 16000) == []
    (stretch,) = garbled_bytes(once + b"no frames" * 9 + once, 16000)
    assert (stretch.start, stretch.end) == (len(once), len(once) + 81)
    assert without(once + b"no frames" * 9 + once, [stretch]) == once + once


def test_a_garbled_file_that_was_also_cut_off_is_an_error(make: Make) -> None:
    path = make("vorbis.ogg", 2000)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(0.7 * len(whole))])
    source = FileSource(path)
    assert len(source.warnings) == 1
    with pytest.raises(AudioFormatError, match="cut off"):
        list(source)


@pytest.fixture(scope="module")
def whole_files() -> list[bytes]:
    files: list[bytes] = []
    for name, subtype in KINDS.items():
        file = io.BytesIO()
        noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
        soundfile.write(file, noise, 16000, format=name[-3:].upper(), subtype=subtype)
        files.append(file.getvalue())
    return files


@settings(max_examples=200)
@given(st.data())
def test_stretches_are_in_order_whatever_the_bytes(
    whole_files: list[bytes], drawn: st.DataObject
) -> None:
    content = bytearray(drawn.draw(st.sampled_from(whole_files)))
    for _ in range(drawn.draw(st.integers(0, 4))):
        at = drawn.draw(st.integers(0, len(content)))
        content[at : at + drawn.draw(st.integers(0, 300))] = drawn.draw(st.binary(max_size=300))
    stretches = garbled_bytes(bytes(content), 16000)
    ends = [end for stretch in stretches for end in (stretch.start, stretch.end)]
    assert ends == sorted(ends)
    assert all(stretch.end > stretch.start for stretch in stretches)
    assert all(0 <= end <= len(content) for end in ends)


def of_unknown_length(flac: bytes) -> bytes:
    """Return a FLAC file as a program writes it to a pipe: without length and checksum."""
    content = bytearray(flac)
    info = content.index(b"fLaC") + 8  # the STREAMINFO block begins after the marker and 4 bytes
    content[info + 13] &= 0xF0
    content[info + 14 : info + 34] = bytes(20)
    return bytes(content)


def test_a_flac_stream_of_unknown_length_is_read(tmp_path: Path) -> None:
    path, noise = tmp_path / "a.flac", 0.1 * np.random.default_rng(0).standard_normal((32000, 2))
    soundfile.write(path, noise, 16000)
    path.write_bytes(of_unknown_length(path.read_bytes()))
    source = FileSource(path)
    assert source.duration_s == float("inf")
    np.testing.assert_allclose(np.concatenate(list(source)), noise, atol=1e-4)
    path.write_bytes(path.read_bytes()[:40000])
    with pytest.raises(AudioFormatError, match=r"only \d\.\d\d s can be decoded .*a\.flac"):
        list(FileSource(path))


def test_what_is_neither_ogg_nor_mp3_has_no_garbled_bytes() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes(struct.pack("<4000h", *range(4000)))
    for content in (b"", b"\xff", b"OggS", b"OggS" * 100, b"\xff\xfb" * 1000, file.getvalue()):
        assert garbled_bytes(content, 16000) == []
