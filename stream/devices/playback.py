"""Plays audio in real time, through PortAudio (sounddevice).

The caller fills a queue in real time, and PortAudio's own thread takes samples from it. The rules
for the queue:
    Sound begins when `_LEAD_S` of audio wait, so a late block does not cause a gap.
    When the queue is empty, there is silence until `_LEAD_S` of audio wait again.
    Beyond `_QUEUE_S` the oldest audio is dropped. This happens when the caller's clock is faster
    than the sound card's clock.

Many devices play only some rates, and 8 kHz is rarely among them. Audio at any other rate is
resampled to the device's default rate.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ..errors import DeviceError
from ..pcm import Block
from ..resample import StreamingResampler

_LEAD_S, _QUEUE_S = 0.1, 0.3


class Playback:
    """The system's sound output. It plays from the first `push_audio` until `close`.

    Args:
        sample_rate_hz, channels: of the audio.
    Raises:
        DeviceError: the PortAudio library is missing, or no output device can play the audio.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        try:
            import sounddevice  # pyright: ignore[reportMissingTypeStubs]
        except OSError as error:
            raise DeviceError(
                "no sound: the PortAudio library is missing; "
                f"on Debian and Ubuntu: apt-get install libportaudio2 ({error})"
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
        """Seconds from `push_audio` to the sound. PortAudio estimates the device's part of it."""
        return _LEAD_S + float(self._stream.latency)

    def push_audio(self, block: Block) -> None:
        """Play samples, (N, C) float32 in [-1, 1], after the samples pushed before."""
        played = block if self._resampler is None else self._resampler.push(block)
        with self._lock:
            self._waiting = np.concatenate([self._waiting, played])[-self._queue_samples :]
        if self._stream.stopped:
            self._stream.start()

    def close(self) -> None:
        """Stop playing at once; may be called twice."""
        self._stream.close(ignore_errors=True)

    def _open(self, library: Any, rate_hz: int, channels: int) -> int:
        """Open the output at this rate, or else at its default rate; return the rate."""
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
        """Fill `out` from the queue, then with silence (PortAudio's thread)."""
        out[:] = 0
        with self._lock:
            self._sounding = len(self._waiting) >= (1 if self._sounding else self._lead_samples)
            if self._sounding:
                given = self._waiting[:count]
                out[: len(given)] = given
                self._waiting = self._waiting[count:]
