"""Audio sources: files and raw PCM as iterators of float32 blocks.

The microphone is in `devices/microphone.py`. A source keeps its own sample rate and number of
channels; `pcm.py` and `resample.py` convert them to those of the model.
"""

from __future__ import annotations

import io
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from .errors import AudioFormatError
from .file_damage import garbled_bytes, without
from .pcm import SAMPLE_BYTES, Block, Encoding, decode_pcm
from .resample import check_rate

_DEFAULT_BLOCK_S = 0.02
# Programs that write endless wav streams put a size near 2 or 4 GB into the header.
_UNKNOWN_LENGTH_BYTES = 0x7FFF0000
_FRAME_TOLERANCE_S = 0.1  # mp3 headers round the length up to whole frames
_MOST_FRAMES = 1 << 62  # a FLAC stream of unknown length promises more


class AudioSource(Protocol):
    """Anything that yields blocks of audio in order. It can be iterated once.

    Attributes:
        sample_rate_hz: sample rate of every block.
        channels: channels C of every block; channel 0 is the user.
    """

    sample_rate_hz: int
    channels: int

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks, (N, C) float32 with N >= 1, until the audio ends."""
        ...

    def close(self) -> None:
        """Release the file or device. A second call has no effect."""
        ...


def bundled_sample() -> Path:
    """Returns the path of the bundled telephone call (see sample/README.md).

    Its rate is 8 kHz. Channel 0 is the caller and channel 1 is the agent.
    """
    return Path(__file__).parent / "sample" / "call.flac"


class FileSource:
    """A mono or stereo audio file.

    Any format that libsndfile reads is accepted: wav, flac, ogg, opus, mp3 and others.
    Iteration yields all audio that can be read. If the file is damaged, for example cut off,
    iteration raises after the last readable block. Garbled bytes within an Ogg or MP3 file are
    skipped, and `warnings` says so.

    Args:
        path: the file.
        block_samples: samples per block; 20 ms by default. The last block may be shorter.

    Raises:
        AudioFormatError: the path does not exist or is a directory, the file is not audio or has no
            samples or more than two channels, or its rate is outside 8-192 kHz.
        OSError: the system does not let the file be read.
    Attributes:
        warnings: where bytes in the file are garbled, and how much audio is lost; in words.
    """

    def __init__(self, path: str | Path, block_samples: int | None = None) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            what = "a path that does not exist"
            if self.path.exists():
                what = "a directory" if self.path.is_dir() else "a device or a pipe"
            raise AudioFormatError(f"expected an audio file, got {what}: {self.path}")
        if self.path.stat().st_size == 0:
            raise AudioFormatError(
                f"expected an audio file, got an empty one (0 bytes): {self.path}"
            )
        with self.path.open("rb"):  # the system's own words, if it cannot be opened
            pass
        # Bytes, because soundfile cannot encode every name in every locale.
        self._file = _open_sound_file(os.fsencode(self.path), self.path)
        try:
            self.sample_rate_hz: int = self._file.samplerate
            self.channels: int = self._file.channels
            self._promised: int | None = self._file.frames  # samples; None if unknown
            if self._promised is not None and self._promised >= _MOST_FRAMES:
                self._promised = None
            # Keep the log from before reading: reading to the end adds remarks, also for Ogg files
            # without damage.
            self._log: str = self._file.extra_info
            check_rate(self.sample_rate_hz)
            if not 1 <= self.channels <= 2:
                raise AudioFormatError(
                    f"expected 1 or 2 channels, got {self.channels}: {self.path}"
                )
            self.warnings: list[str] = []
            self._garbled_s = 0.0
            if self._file.format in ("OGG", "MP3"):
                self._skip_garbled_bytes()
            if self._promised == 0 and self._damage(0) is None:
                raise AudioFormatError(
                    f"expected an audio file, got one without samples: {self.path}"
                )
            self.block_samples = _block_samples(block_samples, self.sample_rate_hz)
        except AudioFormatError:
            self.close()
            raise

    @property
    def duration_s(self) -> float:
        """Length in seconds according to the file's header; infinite if it does not say."""
        return math.inf if self._promised is None else self._promised / self.sample_rate_hz

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks, (N, C) float32.

        Raises:
            AudioFormatError: the file is shorter than its header says, or the rest cannot be
                decoded. All blocks before the damage have been yielded.
        """
        total = 0
        while True:
            try:
                block: Block = self._file.read(self.block_samples, dtype="float32", always_2d=True)
            except _soundfile().LibsndfileError as error:
                length = "" if self._promised is None else f"of {self.duration_s:.2f} s "
                readable = f"only {total / self.sample_rate_hz:.2f} s {length}can be decoded"
                raise AudioFormatError(
                    f"expected a whole audio file, got one of which {readable} "
                    f"({error.error_string}): "
                    f"{self.path}"
                ) from None
            if len(block) == 0:
                break
            total += len(block)
            yield block
        damage = self._damage(total)
        if damage is not None:
            raise AudioFormatError(f"{damage}; the file was cut off: {self.path}")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _skip_garbled_bytes(self) -> None:
        """Find garbled bytes. The MP3 decoder would give up at some, so it does not see them."""
        content = self.path.read_bytes()
        stretches = garbled_bytes(content, self.sample_rate_hz)
        for stretch in stretches:
            size = stretch.end - stretch.start
            lost_s = size / len(content) * self.duration_s
            self._garbled_s += lost_s
            self.warnings.append(
                f"{self.path}: {size} bytes at {stretch.time_s:.2f} s are garbled; about "
                f"{lost_s:.2f} s are lost, and all later times are too early by as much"
            )
        if stretches and self._file.format == "MP3":
            self._file.close()
            self._file = _open_sound_file(io.BytesIO(without(content, stretches)), self.path)

    def _damage(self, total: int) -> str | None:
        """Returns what is wrong with the file after `total` samples were read, or None."""
        cut_wav = re.search(r"^data : (\d+) \(should be (\d+)\)", self._log, re.MULTILINE)
        if cut_wav and int(cut_wav[2]) < int(cut_wav[1]) < _UNKNOWN_LENGTH_BYTES:
            return f"expected {cut_wav[1]} bytes of audio, got {cut_wav[2]}"
        if re.search(
            r"^Ogg ?: (File ended unexpectedly|Last page lacks|Junk after the last page)",
            self._log,
            re.MULTILINE,
        ):
            return (
                "expected an Ogg stream that ends with a whole, marked page, "
                f"got none after {total / self.sample_rate_hz:.2f} s"
            )
        # What garbled bytes cost is not known exactly, and has been announced.
        tolerance_s = _FRAME_TOLERANCE_S + (1 + 2 * self._garbled_s if self.warnings else 0)
        missing_s = 0 if self._promised is None else self.duration_s - total / self.sample_rate_hz
        if missing_s > tolerance_s:
            return (
                f"expected {self.duration_s:.2f} s of audio, "
                f"got {total / self.sample_rate_hz:.2f} s"
            )
        return None


class RawPcmSource:
    """Headerless audio from a binary stream such as standard input.

    Args:
        stream: the source reads it until its end. `close` does not close the stream, because the
            caller owns it.
        encoding: one of `pcm.ENCODINGS`, with interleaved channels.
        sample_rate_hz, channels: rate and channels of the stream, which has no header to say so.
        block_samples: samples per block; 20 ms by default.

    Raises:
        AudioFormatError: the encoding is unknown, the rate is outside 8-192 kHz, or there are not 1
            or 2 channels.
    """

    def __init__(
        self,
        stream: BinaryIO,
        encoding: Encoding,
        sample_rate_hz: int,
        channels: int,
        block_samples: int | None = None,
    ) -> None:
        check_rate(sample_rate_hz)
        if not 1 <= channels <= 2:
            raise AudioFormatError(f"expected 1 or 2 channels, got {channels}")
        decode_pcm(b"", encoding, channels)
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self.block_samples = _block_samples(block_samples, sample_rate_hz)
        self._stream: BinaryIO | None = stream
        self._encoding: Encoding = encoding

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks, (N, C) float32.

        Raises:
            AudioFormatError: the stream ends inside a sample. All whole samples have been yielded.
        """
        frame_bytes = SAMPLE_BYTES[self._encoding] * self.channels
        rest = b""
        while self._stream is not None:
            received = self._stream.read(self.block_samples * frame_bytes - len(rest))
            if not received:
                break
            rest += received
            whole = len(rest) - len(rest) % frame_bytes
            if whole:
                yield decode_pcm(rest[:whole], self._encoding, self.channels)
                rest = rest[whole:]
        if rest and self._stream is not None:
            form = f"{frame_bytes} bytes ({self._encoding}, {self.channels} channels)"
            raise AudioFormatError(
                f"expected whole samples of {form}, got {len(rest)} bytes of one at the end"
            )

    def close(self) -> None:
        """Stop reading. The stream itself stays open."""
        self._stream = None


def paced(
    source: AudioSource,
    speed: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Block]:
    """Yield a source's blocks in real time.

    Each block comes when a microphone would have recorded its last sample. The deadlines come from
    the sample count since the first call, so they do not drift. After a delay, all blocks that are
    due follow at once.

    Args:
        source: the source of the blocks.
        speed: 1.0 is real time; 2.0 is twice as fast.
        clock, sleep: tests replace them.

    Raises:
        ValueError: speed is not positive.
    """
    if not speed > 0:
        raise ValueError(f"expected a speed above 0, got {speed!r}")
    start_s = clock()
    total = 0
    for block in source:
        total += len(block)
        wait_s = start_s + total / (source.sample_rate_hz * speed) - clock()
        if wait_s > 0:
            sleep(wait_s)
        yield block


def _block_samples(block_samples: int | None, sample_rate_hz: int) -> int:
    if block_samples is None:
        return round(_DEFAULT_BLOCK_S * sample_rate_hz)
    if block_samples < 1:
        raise AudioFormatError(f"expected blocks of at least 1 sample, got {block_samples}")
    return block_samples


def _open_sound_file(file: bytes | BinaryIO, path: Path) -> Any:
    soundfile = _soundfile()
    try:
        sound_file: Any = soundfile.SoundFile(file)
        # soundfile seeks after every read of a seekable file. In mp3 and opus files a seek corrupts
        # the next block (soundfile 0.14).
        sound_file.seekable = lambda: False
        return sound_file
    except soundfile.LibsndfileError as error:
        raise AudioFormatError(
            f"expected an audio file, got one that libsndfile cannot read ({error.error_string}): "
            f"{path}"
        ) from None


def _soundfile() -> Any:
    """Returns the module soundfile, imported late. It has no type stubs."""
    import soundfile  # pyright: ignore[reportMissingTypeStubs]

    return soundfile
