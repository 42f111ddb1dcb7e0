"""The other speaker's channel beside a microphone: an audio file that is played from now on, or a second input device.

The microphone's sample count is the clock of both channels. For each of its blocks the other voice gives as many samples.

A file is heard through `Playback`, and goes into the channel as much later as its sound reaches the microphone
(the delays of the output and of the input), so that a leak of the loudspeaker lies beside what leaked. After its end there is silence.

A device has a clock of its own. About `_LEAD_S` of its audio always wait, to be ready for a late block. The rule for drift: when its
clock is slower and too little waits, silence fills the block and goes on until `_LEAD_S` wait again; when it is faster and
`_SLACK_S` more than that wait, the oldest are skipped. So the channels are never further apart than this, and each time it
happens it is said. Clocks of sound cards differ by less than 100 ppm, so that is once in ten minutes or less.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from ..resample import StreamingResampler
from ..sources import AudioSource, Block, FileSource
from .agent_voice import AgentVoice
from .microphone import MicrophoneSource
from .playback import Playback

Samples = NDArray[np.float32]  # (N,) in [-1, 1]

_LEAD_S, _SLACK_S = 0.04, 0.08


class Voice(Protocol):
    """The other speaker's audio at the microphone's rate."""

    def take(self, count: int) -> Samples:
        """The next `count` samples, (count,); silence where there is nothing to say."""
        ...

    def close(self) -> None:
        """Let go of files and devices; may be called twice."""
        ...


class FileVoice:
    """An audio file, played once.

    Args:
        path: any file that `FileSource` reads; stereo is mixed down.
        sample_rate_hz: of the microphone.
        input_delay_s: of the microphone.
        playback: makes it heard, mono at the microphone's rate; None if it cannot be heard, and then it is not delayed either.
    Raises:
        AudioFormatError: as `FileSource`, here or from `take` when the file turns out to be damaged.
    """

    def __init__(
        self, path: Path, sample_rate_hz: int, input_delay_s: float, playback: Playback | None
    ) -> None:
        self._source = FileSource(path)
        self._blocks = iter(self._source)
        self._playback = playback
        delay_s = 0.0 if playback is None else max(0.0, playback.delay_s + input_delay_s)
        self._played = AgentVoice(sample_rate_hz)
        self._recorded = AgentVoice(sample_rate_hz, delay_s=delay_s)
        self._over = False
        self._lock = threading.Lock()  # a file may not be closed while it is read

    def take(self, count: int) -> Samples:
        """See `Voice`."""
        with self._lock:
            while self._played.waiting_samples < count and not self._over:
                block = next(self._blocks, None)
                if block is None:
                    self._over = True
                else:
                    self._played.say(block.mean(axis=1), self._source.sample_rate_hz)
        playing = self._played.take(count)
        if self._playback is not None:
            self._playback.push_audio(playing[:, np.newaxis])
        self._recorded.say(playing)
        return self._recorded.take(count)

    def close(self) -> None:
        """Fall silent and close the file."""
        with self._lock:
            self._over = True
            self._source.close()
        if self._playback is not None:
            self._playback.close()


class DeviceVoice:
    """A second input device, such as the monitor of the output or a second microphone.

    Args:
        device: see `find_microphone`.
        sample_rate_hz: of the first microphone; the device records at it, or at its own rate and is resampled.
    Raises:
        DeviceError: no such device, or it cannot be opened; from `take`: it was unplugged.
    Attributes:
        filled_samples: silence put in because its clock is slow, or because it gave nothing.
        skipped_samples: samples left out because its clock is fast.
    """

    def __init__(self, device: int | str, sample_rate_hz: int) -> None:
        try:
            self.source = MicrophoneSource(device, sample_rate_hz=sample_rate_hz)
        except DeviceError:
            self.source = MicrophoneSource(device)
        self._resampler = StreamingResampler(self.source.sample_rate_hz, sample_rate_hz, channels=1)
        self._lead_samples, self._slack_samples = (
            round(_LEAD_S * sample_rate_hz),
            round(_SLACK_S * sample_rate_hz),
        )
        self._waiting: Samples = np.zeros(0, np.float32)
        self._began = self._ready = False
        self.filled_samples = self.skipped_samples = 0

    def take(self, count: int) -> Samples:
        """See `Voice`."""
        self.source.start()
        self._waiting = np.concatenate(
            [self._waiting, self._resampler.push(self.source.take_waiting())[:, 0]]
        )
        wanted = count + self._lead_samples
        if not self._ready and len(self._waiting) >= wanted:
            self._ready = True
            if not self._began:
                self._began = True
                self._waiting = self._waiting[-wanted:]
        excess = len(self._waiting) - wanted
        if excess > self._slack_samples:
            self._waiting = self._waiting[excess:]
            self.skipped_samples += excess
        given = self._waiting[:count] if self._ready else self._waiting[:0]
        self._waiting = self._waiting[len(given) :]
        self._ready = len(given) == count
        if self._began:
            self.filled_samples += count - len(given)
        return np.concatenate([given, np.zeros(count - len(given), np.float32)])

    def close(self) -> None:
        """Stop recording."""
        self.source.close()


class PairedSource:
    """The user, mostly a microphone, and the other voice as one source with two channels.

    Args:
        user: one channel; its clock is that of both.
        voice: the other speaker.
    """

    channels = 2

    def __init__(self, user: AudioSource, voice: Voice) -> None:
        self.primary = user
        self.voice = voice
        self.sample_rate_hz = user.sample_rate_hz

    @property
    def dropped_samples(self) -> int:
        """Of the microphone, if the user has one."""
        return getattr(self.primary, "dropped_samples", 0)

    @property
    def overflows(self) -> int:
        """Of the microphone, if the user has one."""
        return getattr(self.primary, "overflows", 0)

    def __iter__(self) -> Iterator[Block]:
        """Give blocks, (N, 2) float32, until `close`.

        Raises:
            DeviceError, AudioFormatError: of the microphone or of the voice.
        """
        for block in self.primary:
            yield np.column_stack([block[:, 0], self.voice.take(len(block))])

    def close(self) -> None:
        """Stop; an iteration in another thread ends."""
        self.primary.close()
        self.voice.close()
