"""Adds the other speaker's channel to a microphone: an audio file, or a second input device.

The microphone's sample count is the clock of both channels. For each block of the microphone, the
other voice gives the same number of samples.

A file is played through `Playback`. Its samples are delayed in the channel by the time that the
sound needs to reach the microphone (the delays of the output and of the input). So an echo from the
loudspeaker in the user's channel has the same time as its source in the other channel. The channel
is silent after the end of the file.

A device has its own clock. About `_LEAD_S` of its audio always wait, in case a block is late. The
rules for clock drift:
    If the device's clock is slower and too few samples wait, silence fills the block. The silence
    lasts until `_LEAD_S` of audio wait again.
    If the device's clock is faster and more than `_LEAD_S` + `_SLACK_S` of audio wait, the oldest
    samples are skipped.
So the distance between the channels has a limit. Filled and skipped samples are counted. Clocks of
sound cards differ by less than 100 ppm, so drift is corrected at most once in about ten minutes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from ..pcm import Block
from ..resample import StreamingResampler
from ..sources import AudioSource, FileSource
from .agent_voice import AgentVoice
from .microphone import MicrophoneSource
from .playback import Playback

Samples = NDArray[np.float32]  # (N,) in [-1, 1]

_LEAD_S, _SLACK_S = 0.04, 0.08


class Voice(Protocol):
    """The other speaker's audio at the microphone's rate."""

    def take(self, count: int) -> Samples:
        """Return the next `count` samples, (count,); silence where the voice is silent."""
        ...

    def close(self) -> None:
        """Close files and devices; may be called twice."""
        ...


class FileVoice:
    """An audio file, played once.

    Args:
        path: any file that `FileSource` reads; stereo is mixed down to mono.
        sample_rate_hz: rate of the microphone.
        input_delay_s: latency of the microphone, in seconds.
        playback: plays the file, mono at the microphone's rate. With None the file is not played,
            and its samples are not delayed.
    Raises:
        AudioFormatError: as `FileSource`; also from `take` if the file is damaged.
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
        self._lock = threading.Lock()  # the file must not be closed while it is read

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
        """Stop playing and close the file."""
        with self._lock:
            self._over = True
            self._source.close()
        if self._playback is not None:
            self._playback.close()


class DeviceVoice:
    """A second input device, such as the monitor of the output or a second microphone.

    Args:
        device: see `find_microphone`.
        sample_rate_hz: rate of the first microphone. The device records at this rate if it can.
            Otherwise it records at its own rate and its audio is resampled.
    Raises:
        DeviceError: there is no such device, or it cannot be opened. From `take`: the device was
            unplugged.
    Attributes:
        filled_samples: samples of silence added because the device's clock is slow or the device
            gave no audio.
        skipped_samples: samples skipped because the device's clock is fast.
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
    """The user and the other speaker as one source with two channels.

    Args:
        user: a source with one channel, usually a microphone. Its sample count is the clock.
        voice: the other speaker.
    """

    channels = 2

    def __init__(self, user: AudioSource, voice: Voice) -> None:
        self.primary = user
        self.voice = voice
        self.sample_rate_hz = user.sample_rate_hz

    @property
    def dropped_samples(self) -> int:
        """The microphone's dropped samples; 0 if the user's source is no microphone."""
        return getattr(self.primary, "dropped_samples", 0)

    @property
    def overflows(self) -> int:
        """The microphone's overflows; 0 if the user's source is no microphone."""
        return getattr(self.primary, "overflows", 0)

    def __iter__(self) -> Iterator[Block]:
        """Yield blocks, (N, 2) float32, until `close`.

        Raises:
            DeviceError, AudioFormatError: the microphone or the voice failed.
        """
        for block in self.primary:
            yield np.column_stack([block[:, 0], self.voice.take(len(block))])

    def close(self) -> None:
        """Close the microphone and the voice. An iteration in another thread ends."""
        self.primary.close()
        self.voice.close()
