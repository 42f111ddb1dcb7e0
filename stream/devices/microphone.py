"""Live audio from a sound card, through PortAudio (sounddevice).

PortAudio delivers blocks in its own thread. They wait in a queue of fixed length until the reader
takes them. When the queue is full, the oldest block is dropped and its samples are counted
(`dropped_samples`), so a slow reader gets the present audio. `overflows` counts how often the
device lost audio before it reached the queue. Both are logged once, when they first happen.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import AudioFormatError, DeviceError
from ..pcm import Block

logger = logging.getLogger(__name__)

_HOW_TO_LIST = "`turnstream listen --list-devices` shows the devices there are"
# Tried in this order if a device cannot record at its own default rate.
_RATES_HZ = (16000, 48000, 44100, 32000, 24000, 22050, 96000, 8000)
_NO_PORTAUDIO = (
    "the PortAudio library is missing; on Debian and Ubuntu: apt-get install libportaudio2"
)


@dataclass(frozen=True, slots=True)
class Microphone:
    """An input device.

    Attributes:
        index: PortAudio's number. It changes when devices are plugged in or out.
        name: the device's name.
        channels: number of channels that the device can record.
        sample_rate_hz: the device's default rate.
        is_default: whether it is the system's default.
    """

    index: int
    name: str
    channels: int
    sample_rate_hz: int
    is_default: bool


def list_microphones() -> list[Microphone]:
    """Return all input devices.

    PortAudio looks for devices once per process. Devices that were plugged in later appear after
    `rescan_devices`.

    Raises:
        DeviceError: the PortAudio library is missing.
    """
    sounddevice = _sounddevice()
    default_index: int = sounddevice.default.device[0]
    devices: list[dict[str, Any]] = list(sounddevice.query_devices())
    return [
        Microphone(
            index,
            device["name"],
            device["max_input_channels"],
            round(device["default_samplerate"]),
            index == default_index,
        )
        for index, device in enumerate(devices)
        if device["max_input_channels"] > 0
    ]


def rescan_devices() -> None:
    """Let PortAudio look for devices again.

    Close every stream of this process before: an open stream stops without an error.

    Raises:
        DeviceError: the PortAudio library is missing.
    """
    sounddevice = _sounddevice()
    sounddevice._terminate()  # no public name; PortAudio looks for devices only when it starts
    sounddevice._initialize()


def find_microphone(device: int | str | None = None) -> Microphone:
    """Choose an input device.

    Args:
        device: None for the system's default. A number, or its text, is PortAudio's number of a
            device. A name is the first device with exactly this name, or else the first device
            whose name contains it (upper and lower case are equal).

    Raises:
        DeviceError: there is no such device, or no input device.
    """
    microphones = list_microphones()
    if not microphones:
        raise DeviceError(f"expected a microphone, found no input device; {_HOW_TO_LIST}")
    if device is None:
        found = [m for m in microphones if m.is_default] or microphones
    elif isinstance(device, int) or device.isdecimal():
        found = [m for m in microphones if m.index == int(device)]
    else:
        found = [m for m in microphones if m.name == device] or [
            m for m in microphones if device.lower() in m.name.lower()
        ]
    if not found:
        known = ", ".join(f"{m.index} {m.name!r}" for m in microphones)
        raise DeviceError(
            f"expected one of the input devices {known}, got {device!r}; {_HOW_TO_LIST}"
        )
    return found[0]


class MicrophoneSource:
    """Live blocks of a microphone.

    Recording begins with the first iteration and ends with `close`.

    Args:
        device: see `find_microphone`.
        sample_rate_hz: the rate to record at. If not given: the device's default rate, or another
            rate if the device cannot record at its default rate.
        channels: 1 (the user) or 2 (the user and the other speaker).
        block_ms: length of a block in milliseconds. The default is half a frame: a frame that needs
            a few samples of the next block then waits only a short time.
        queue_s: seconds of audio that may wait to be read. Beyond it the oldest audio is dropped.
        stall_s: the device counts as lost after this many seconds without audio.

    Raises:
        DeviceError: there is no such device, or it cannot record with these settings (the message
            lists the possible rates), or PortAudio is missing.
        AudioFormatError: `channels` or `block_ms` is out of range.

    Attributes:
        captured_samples: samples per channel received so far, including dropped ones.
        dropped_samples: samples per channel dropped because nobody read them in time.
        overflows: how often the device reported lost audio.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        sample_rate_hz: int | None = None,
        channels: int = 1,
        block_ms: float = 10,
        queue_s: float = 2.0,
        stall_s: float = 5.0,
    ) -> None:
        if not 1 <= channels <= 2 or not block_ms > 0:
            raise AudioFormatError(
                "expected 1 or 2 channels and block_ms above 0, "
                f"got {channels} channels and {block_ms} ms"
            )
        self.microphone = find_microphone(device)
        self.sample_rate_hz = sample_rate_hz or self.microphone.sample_rate_hz
        self.channels = channels
        self.captured_samples = 0
        self.dropped_samples = 0
        self.overflows = 0
        self._stall_s = stall_s
        self._blocks: deque[Block] = deque()
        self._max_blocks = max(1, round(queue_s * 1000 / block_ms))
        self._changed = threading.Condition()
        self._finished = False
        self._closed = False
        self._stream: Any = self._open(channels, block_ms, fallback=sample_rate_hz is None)

    @property
    def latency_s(self) -> float:
        """PortAudio's estimate of the seconds from a sound to its block."""
        return float(self._stream.latency)

    def start(self) -> None:
        """Begin to record, if recording has not begun.

        Raises:
            DeviceError: the device cannot start. It is closed then.
        """
        try:
            if self._stream.stopped:
                self._stream.start()
        except _sounddevice().PortAudioError as error:
            self.close()
            raise DeviceError(f"{self._described()} does not start: {error}") from None

    def take_waiting(self) -> Block:
        """Return all samples in the queue, (N, C) float32, without waiting for more; N may be 0.

        Raises:
            DeviceError: the device was unplugged, and all that it recorded has been read.
        """
        with self._changed:
            blocks = list(self._blocks)
            self._blocks.clear()
            lost = self._finished and not self._closed and not blocks
        if lost:
            self.close()
            raise self._lost("stopped; was it unplugged?")
        return np.concatenate([np.zeros((0, self.channels), np.float32), *blocks])

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks, (N, C) float32, until `close`.

        Raises:
            DeviceError: the device cannot start, was unplugged, or gave no audio for `stall_s`.
                Blocks in the queue are yielded first.
        """
        if self._closed:
            return
        self.start()
        reported = (False, False)
        while True:
            with self._changed:
                woken = self._changed.wait_for(
                    lambda: bool(self._blocks) or self._finished or self._closed,
                    timeout=self._stall_s,
                )
                if self._closed:
                    return
                block = self._blocks.popleft() if self._blocks else None
                problems = (self.dropped_samples > 0, self.overflows > 0)
            if block is None:
                self.close()
                reason = (
                    "stopped; was it unplugged?"
                    if woken
                    else f"gave no audio for {self._stall_s:g} s"
                )
                raise self._lost(reason)
            if problems != reported:
                logger.warning(
                    "%s: %d samples dropped (read too slowly), %d device overflows",
                    self._described(),
                    self.dropped_samples,
                    self.overflows,
                )
                reported = problems
            yield block

    def close(self) -> None:
        """Stop recording. An iteration that waits in another thread ends."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)

    def __enter__(self) -> MicrophoneSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, channels: int, block_ms: float, *, fallback: bool) -> Any:
        if channels > self.microphone.channels:
            raise DeviceError(
                f"expected a device with {channels} channels, got {self.microphone.name!r} "
                f"with {self.microphone.channels}; {_HOW_TO_LIST}"
            )
        sounddevice = _sounddevice()
        error: Exception | None = None
        rates_hz = [self.sample_rate_hz]
        for attempt in range(2):
            try:
                return sounddevice.InputStream(
                    device=self.microphone.index,
                    samplerate=self.sample_rate_hz,
                    channels=channels,
                    blocksize=max(1, round(self.sample_rate_hz * block_ms / 1000)),
                    dtype="float32",
                    callback=self._on_block,
                    finished_callback=self._on_finished,
                )
            except (sounddevice.PortAudioError, ValueError) as refusal:
                error, rates_hz = refusal, self._possible_rates_hz()
            if attempt or not fallback or not rates_hz:
                break
            self.sample_rate_hz = rates_hz[0]
        able = f"it can do {', '.join(map(str, rates_hz))} Hz; " if rates_hz else ""
        raise DeviceError(f"{self._described()} cannot be opened: {error}; {able}{_HOW_TO_LIST}")

    def _possible_rates_hz(self) -> list[int]:
        """Return the rates that the device can record at: its default rate and the usual rates."""
        sounddevice = _sounddevice()
        able: list[int] = []
        for rate_hz in dict.fromkeys((self.microphone.sample_rate_hz, *_RATES_HZ)):
            with contextlib.suppress(sounddevice.PortAudioError, ValueError):
                sounddevice.check_input_settings(
                    device=self.microphone.index,
                    channels=self.channels,
                    dtype="float32",
                    samplerate=rate_hz,
                )
                able.append(rate_hz)
        return able

    def _lost(self, reason: str) -> DeviceError:
        return DeviceError(
            f"{self._described()} {reason} "
            f"(after {self.captured_samples / self.sample_rate_hz:.2f} s)"
        )

    def _described(self) -> str:
        return (
            f"microphone {self.microphone.index} {self.microphone.name!r} "
            f"at {self.sample_rate_hz} Hz with {self.channels} channels"
        )

    def _on_block(self, samples: Block, count: int, _time: Any, status: Any) -> None:
        """Queue a copy of a block; drop the oldest if the queue is full (PortAudio's thread)."""
        copied = np.array(samples)
        with self._changed:
            self.captured_samples += count
            self.overflows += bool(status.input_overflow)
            if len(self._blocks) == self._max_blocks:
                self.dropped_samples += len(self._blocks.popleft())
            self._blocks.append(copied)
            self._changed.notify_all()

    def _on_finished(self) -> None:
        """Note that no further block will come (PortAudio's thread)."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()


def _sounddevice() -> Any:
    """Import sounddevice. It has no type stubs, and it looks for devices while it is imported."""
    try:
        import sounddevice  # pyright: ignore[reportMissingTypeStubs]
    except OSError as error:
        raise DeviceError(f"{_NO_PORTAUDIO} ({error})") from None
    return sounddevice
