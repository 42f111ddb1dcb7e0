import io
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from turnstream.stream.errors import AudioFormatError
from turnstream.stream.pcm import ENCODINGS
from turnstream.stream.sources import (
    Block,
    FileSource,
    RawPcmSource,
    bundled_sample,
    paced,
)


def signal(count: int, channels: int, rate_hz: int = 16000) -> np.ndarray:
    times = np.arange(count)[:, np.newaxis] / rate_hz
    return (0.4 * np.sin(2 * np.pi * times * np.array([300.0, 500.0])[:channels])).astype(
        np.float32
    )


def everything(source: FileSource | RawPcmSource) -> np.ndarray:
    blocks = list(source)
    assert all(block.dtype == np.float32 and block.ndim == 2 and len(block) > 0 for block in blocks)
    return np.concatenate(blocks) if blocks else np.zeros((0, source.channels), np.float32)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_U8", 1e-2),
        ("wav", "PCM_16", 1e-4),
        ("wav", "PCM_24", 1e-6),
        ("wav", "FLOAT", 0),
        ("wav", "DOUBLE", 0),
        ("wav", "ULAW", 2e-2),
        ("flac", "PCM_16", 1e-4),
        ("ogg", "VORBIS", None),
        ("ogg", "OPUS", None),
        ("mp3", "MPEG_LAYER_III", None),
    ],
)
def test_files_of_any_format_and_width_are_read(
    tmp_path: Path, suffix: str, subtype: str, tolerance: float | None, channels: int
) -> None:
    path = tmp_path / f"audio.{suffix}"
    samples = signal(16000, channels)
    soundfile.write(path, samples, 16000, subtype=subtype)
    source = FileSource(path, block_samples=333)
    read = everything(source)
    assert (source.sample_rate_hz, source.channels, read.shape) == (
        16000,
        channels,
        (16000, channels),
    )
    if tolerance is None:  # lossy: blocks must equal the file read at once
        np.testing.assert_allclose(
            read, soundfile.read(path, dtype="float32", always_2d=True)[0], atol=1e-6
        )
    else:
        np.testing.assert_allclose(read, samples, atol=tolerance)
    source.close()


@pytest.mark.parametrize("rate_hz", [8000, 11025, 44100, 96000])
def test_any_rate_is_kept_and_blocks_last_20_ms(tmp_path: Path, rate_hz: int) -> None:
    soundfile.write(tmp_path / "a.wav", signal(rate_hz // 3, 1), rate_hz)
    source = FileSource(tmp_path / "a.wav")
    blocks = list(source)
    assert source.sample_rate_hz == rate_hz
    assert {len(block) for block in blocks[:-1]} == {round(rate_hz / 50)}
    assert source.duration_s == pytest.approx(1 / 3, abs=1e-3)


@pytest.mark.parametrize("block_samples", [1, 7, 1000, 5000])
def test_block_size_does_not_change_the_samples(tmp_path: Path, block_samples: int) -> None:
    samples = signal(1500, 2)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(
        everything(FileSource(tmp_path / "a.wav", block_samples)), samples
    )


def test_what_is_no_audio_file_is_one_clear_error_each(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1)), 16000)
    soundfile.write(tmp_path / "three.wav", np.zeros((10, 3)), 16000)
    soundfile.write(tmp_path / "slow.wav", np.zeros((10, 1)), 4000)
    soundfile.write(tmp_path / "good.wav", np.zeros((10, 1)), 16000)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("not audio\n" * 100)
    for name, message in [
        ("missing.wav", "a path that does not exist"),
        (".", "got a directory"),
        ("/dev/null", "got a device or a pipe"),
        ("empty.wav", r"an empty one \(0 bytes\)"),
        ("text.wav", "libsndfile cannot read"),
        ("none.wav", "without samples"),
        ("three.wav", "expected 1 or 2 channels, got 3"),
        ("slow.wav", "from 8000 to 192000 Hz, got 4000"),
    ]:
        with pytest.raises(AudioFormatError, match=message):
            FileSource(tmp_path / name)
    with pytest.raises(AudioFormatError, match="at least 1 sample, got 0"):
        FileSource(tmp_path / "good.wav", block_samples=0)


def test_a_name_in_bytes_that_are_not_utf_8_is_opened(tmp_path: Path) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xff.wav"))
    with path.open("wb") as file:
        soundfile.write(file, signal(1600, 1), 16000, format="WAV")
    assert len(everything(FileSource(path))) == 1600


@pytest.mark.parametrize("name", ["cut.wav", "cut.flac", "cut.ogg", "cut.mp3"])
@pytest.mark.parametrize("share", [0.6, 0.9])
def test_a_file_that_was_cut_off_is_an_error_after_its_audio(
    tmp_path: Path, name: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).standard_normal((64000, 1)) * 0.1
    soundfile.write(tmp_path / name, noise, 16000)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    heard: list[Block] = []
    with pytest.raises(AudioFormatError, match=r"cut off|whole audio file"):
        heard.extend(FileSource(tmp_path / name))
    assert 0.5 * share < sum(len(block) for block in heard) / 64000 < 1
    capfd.readouterr()  # discards libmpg123's own messages


def test_an_endless_wav_header_is_no_damage(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "pipe.wav", signal(1600, 1), 16000)
    header_and_data = bytearray((tmp_path / "pipe.wav").read_bytes())
    header_and_data[4:8] = header_and_data[40:44] = b"\xff\xff\xff\xff"  # as written to a pipe
    (tmp_path / "pipe.wav").write_bytes(header_and_data)
    assert len(everything(FileSource(tmp_path / "pipe.wav"))) == 1600


def test_the_bundled_sample_is_a_stereo_telephone_call() -> None:
    source = FileSource(bundled_sample())
    conversation = everything(source)
    assert (source.sample_rate_hz, source.channels) == (8000, 2)
    assert source.duration_s == pytest.approx(63.0, abs=0.01)
    assert bundled_sample().stat().st_size < 400_000
    levels = np.abs(conversation[: len(conversation) // 800 * 800]).reshape(-1, 800, 2).max(axis=1)
    active = levels > 0.02
    assert 0.1 < active[:, 0].mean() < 0.5  # both speak
    assert 0.1 < active[:, 1].mean() < 0.5
    assert (active[:, 0] & active[:, 1]).mean() < 0.05  # hardly ever at once
    assert levels.max() < 0.9


def test_the_bundled_sample_comes_with_its_attribution() -> None:
    words = (bundled_sample().parent / "README.md").read_text()
    assert all(
        word in words
        for word in (
            "HarperValleyBank",
            "Wu et al.",
            "CC BY 4.0",
            "01cefd6f5c044a6f",
            bundled_sample().name,
        )
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("channels", [1, 2])
def test_raw_pcm_of_each_encoding_is_decoded(encoding: str, channels: int) -> None:
    samples = signal(1000, channels)
    raw = io.BytesIO()
    subtype = {"pcm_s16le": "PCM_16", "pcm_f32le": "FLOAT", "mulaw": "ULAW", "alaw": "ALAW"}[
        encoding
    ]
    soundfile.write(
        raw,
        samples,
        16000,
        format="RAW",
        subtype=subtype,
        endian="FILE" if encoding.endswith("law") else "LITTLE",
    )
    raw.seek(0)
    source = RawPcmSource(raw, encoding, 16000, channels, block_samples=77)  # type: ignore[arg-type]
    np.testing.assert_allclose(
        everything(source),
        samples,
        atol={"pcm_s16le": 1e-4, "pcm_f32le": 0, "mulaw": 2e-2, "alaw": 2e-2}[encoding],
    )


def test_a_raw_stream_that_ends_inside_a_sample_is_an_error_after_the_whole_samples() -> None:
    source = RawPcmSource(io.BytesIO(b"\0" * 4001), "pcm_s16le", 16000, 1)
    heard: list[Block] = []
    with pytest.raises(
        AudioFormatError, match=r"2 bytes \(pcm_s16le, 1 channels\), got 1 bytes of one at the end"
    ):
        heard.extend(source)
    assert sum(len(block) for block in heard) == 2000


@pytest.mark.parametrize(
    ("rate_hz", "channels", "message"),
    [(4000, 1, "got 4000"), (16000, 3, "got 3"), (16000, 0, "got 0")],
)
def test_impossible_raw_settings_are_refused(rate_hz: int, channels: int, message: str) -> None:
    with pytest.raises(AudioFormatError, match=message):
        RawPcmSource(io.BytesIO(), "pcm_s16le", rate_hz, channels)


def test_a_pipe_that_delivers_odd_pieces_gives_whole_samples() -> None:
    samples = signal(2000, 2)
    raw = (samples * 32767).astype("<i2").tobytes()
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            for start in range(0, len(raw), 37):
                pipe.write(raw[start : start + 37])

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        np.testing.assert_allclose(
            everything(RawPcmSource(pipe, "pcm_s16le", 16000, 2)), samples, atol=1e-4
        )
    writer.join()


def test_a_closed_raw_source_gives_nothing_more() -> None:
    source = RawPcmSource(io.BytesIO(b"\0" * 64000), "pcm_s16le", 16000, 1)
    blocks = iter(source)
    next(blocks)
    source.close()
    assert list(blocks) == []


class Clock:
    """A clock that only sleeping (and `busy`) moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


class Blocks:
    sample_rate_hz = 16000
    channels = 1

    def __init__(self, *lengths: int) -> None:
        self.lengths = lengths

    def __iter__(self) -> Iterator[Block]:
        return iter([np.zeros((length, 1), np.float32) for length in self.lengths])

    def close(self) -> None: ...


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_each_paced_block_comes_when_its_last_sample_would_be_recorded(speed: float) -> None:
    clock = Clock()
    times = [clock() - 1000 for _ in paced(Blocks(320, 1, 640), speed, clock, clock.sleep)]
    assert times == pytest.approx([0.02 / speed, (321 / 16000) / speed, (961 / 16000) / speed])


def test_a_slow_reader_of_paced_blocks_catches_up_without_drift() -> None:
    clock = Clock()
    times = []
    for i, _ in enumerate(paced(Blocks(*[320] * 10), 1.0, clock, clock.sleep)):
        times.append(clock() - 1000)
        if i == 2:
            clock.now_s += 0.05  # busy
    assert times == pytest.approx([0.02, 0.04, 0.06, 0.11, 0.11, 0.12, 0.14, 0.16, 0.18, 0.2])


@pytest.mark.parametrize("speed", [0, -1, math.nan])
def test_a_speed_that_goes_nowhere_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed above 0"):
        next(paced(Blocks(320), speed))
