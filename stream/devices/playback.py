"""Lets audio be heard while it is shown, through PortAudio (sounddevice).

PortAudio's own thread takes samples from a queue that the caller fills in real time. The rule for the queue: sound begins when
`_LEAD_S` wait, so that a late block is not heard as a gap; when nothing waits there is silence until as much waits again;
beyond `_QUEUE_S` the oldest is dropped, which happens when the caller's clock is faster than the sound card's.

Some devices play only rates of their own, and seldom 8 kHz. Audio of another rate is then brought to the device's default rate.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ..errors import DeviceError
from ..resample import StreamingResampler
from ..sources import Block

_LEAD_S, _QUEUE_S = 0.1, 0.3


class Playback:
    """The system's sound output; playing begins with the first `push_audio` and ends with `close`.

    Args:
        sample_rate_hz, channels: of the audio.
    Raises:
        DeviceError: the PortAudio library is missing, or there is no output that can play it.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        try:
            import sounddevice  # pyright: ignore[reportMissingTypeStubs]
        except OSError as error:
            raise DeviceError(
                f"no sound: the PortAudio library is missing; on Debian and Ubuntu: apt-get install libportaudio2 ({error})"
            ) from None
        self._lock = threading.Lock()
        self._waiting: Block = np.zeros((0, channels), np.float32)
        self._sounding = False
        library: Any = sounddevice
        try:
            rate_hz = self._open(library, sample_rate_hz, channels)
        except (library.PortAudioError, ValueError) as error:
            raise DeviceError(
                f"no sound: expected an output device that plays {sample_rate_hz} Hz ({error})"
            ) from None
        self._resampler = (
            StreamingResampler(sample_rate_hz, rate_hz, channels)
            if rate_hz != sample_rate_hz
            else None
        )
        self._lead_samples, self._queue_samples = (
            round(_LEAD_S * rate_hz),
            round(_QUEUE_S * rate_hz),
        )

    @property
    def delay_s(self) -> float:
        """Seconds from `push_audio` to the sound, as PortAudio estimates the device's share of it."""
        return _LEAD_S + float(self._stream.latency)

    def push_audio(self, block: Block) -> None:
        """Play samples, (N, C) float32 in [-1, 1], after those pushed before."""
        played = block if self._resampler is None else self._resampler.push(block)
        with self._lock:
            self._waiting = np.concatenate([self._waiting, played])[-self._queue_samples :]
        if self._stream.stopped:
            self._stream.start()

    def close(self) -> None:
        """Fall silent; may be called twice."""
        self._stream.close(ignore_errors=True)

    def _open(self, library: Any, rate_hz: int, channels: int) -> int:
        """Open the output at this rate, else at its own; returns the rate."""
        try:
            self._stream: Any = library.OutputStream(
                samplerate=rate_hz, channels=channels, dtype="float32", callback=self._on_wanted
            )
        except library.PortAudioError:
            rate_hz = round(library.query_devices(kind="output")["default_samplerate"])
            self._stream = library.OutputStream(
                samplerate=rate_hz, channels=channels, dtype="float32", callback=self._on_wanted
            )
        return rate_hz

    def _on_wanted(self, out: Block, count: int, _time: Any, _status: Any) -> None:
        """PortAudio's thread: what waits, then silence."""
        out[:] = 0
        with self._lock:
            self._sounding = len(self._waiting) >= (1 if self._sounding else self._lead_samples)
            if self._sounding:
                given = self._waiting[:count]
                out[: len(given)] = given
                self._waiting = self._waiting[count:]
