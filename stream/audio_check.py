"""Detects audio that is not what it claims to be, and reports each problem once.

Each channel is checked at its declared rate, before resampling, in windows of 64 ms
(`channel_check.py` has the rules of one channel):

    silent       the user's channel has been all zeros for 5 s
    dc_offset    the mean over 5 s is more than 1 % of full scale away from zero
    clipping     more than 1 % of the samples in 2 s of speech are at full scale
    narrow_band  declared at 16 kHz or more, but speech has nothing above 4 kHz: probably an
                 upsampled telephone line; its severity is "info"
    wrong_rate   speech sounds twice too fast: probably recorded at half the declared rate

`wrong_rate` can be wrong, so it is a warning and never an error. It rests on one fact: few voices
are both as high and as fast in their loudness changes as speech at double speed. A logistic rule
weighs two measurements: the 20th percentile of the pitch, and the power of slow (1-5 Hz) against
fast (6-16 Hz) loudness changes, which is the range of syllables. Both need enough speech, because
single phrases say nothing about rhythm. The rule was measured on 108 recordings of read speech, up
to a minute each, and 14 sides of telephone calls. At double speed, 77 of these are long enough, and
51 of the 77 were detected. At the right speed, 3 of all 122 were reported by mistake, none of them
a call.

`narrow_band` misses an upsampled line if a poor resampler left images above 4 kHz.

Eight windows of all channels are analysed together. Only every fourth window of speech gets a
spectrum, and only during the first 30 s of speech. Analysing single windows, with all spectra, for
60 s would detect no more and cost three times as much. Time and memory are constant: about 7 us per
20 ms of stereo during the first 30 s of speech, 3 us afterwards. A problem is reported up to 0.5 s
of audio after it occurs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .channel_check import LOOK_WINDOWS, AudioWarning, ChannelCheck, ChannelSums
from .errors import ShapeError
from .resample import check_rate
from .speech_spectra import Floats, window_analysis

_SPECTRUM_EVERY = 4
_FULL_SCALE = 0.98  # mu-law ends here
_NO_SPECTRA = (np.zeros(0), np.zeros(0), np.zeros(0, np.intp))


class AudioCheck:
    """Checks one stream of audio; `push` returns the new warnings.

    Args:
        sample_rate_hz: declared rate of the audio.
        channels: number of channels C in every block.

    Raises:
        AudioFormatError: the rate is outside 8-192 kHz.
    """

    def __init__(self, sample_rate_hz: int, channels: int = 2) -> None:
        check_rate(sample_rate_hz)
        self.sample_rate_hz = sample_rate_hz
        self._analysis = window_analysis(sample_rate_hz)
        self._window_samples = self._analysis.window_samples
        self._pending = np.zeros((channels, LOOK_WINDOWS * self._window_samples), dtype=np.float32)
        self._pending_count = 0
        self._channels = [
            ChannelCheck(channel, sample_rate_hz, self._window_samples)
            for channel in range(channels)
        ]

    def push(self, samples: NDArray[np.float32]) -> list[AudioWarning]:
        """Check the next samples.

        Args:
            samples: float32 in [-1, 1], (N, C) with any N.

        Returns:
            Problems detected for the first time, in order of time. Usually empty.

        Raises:
            ShapeError: the samples have another shape.
        """
        if samples.ndim != 2 or samples.shape[1] != len(self._channels):
            raise ShapeError(
                f"expected samples of shape (N, {len(self._channels)}), got {samples.shape}"
            )
        warnings: list[AudioWarning] = []
        start = 0
        while start < len(samples):
            count = min(len(samples) - start, self._pending.shape[1] - self._pending_count)
            self._pending[:, self._pending_count : self._pending_count + count] = samples[
                start : start + count
            ].T
            self._pending_count += count
            start += count
            if self._pending_count == self._pending.shape[1]:
                self._pending_count = 0
                warnings += self._look()
        return warnings

    def snapshot(self) -> tuple[list[ChannelSums], NDArray[np.float32]]:
        """Returns the sums of each channel, and the samples that wait for analysis, (C, N)."""
        return (
            [channel.snapshot() for channel in self._channels],
            self._pending[:, : self._pending_count].copy(),
        )

    def restore(self, sums: Sequence[ChannelSums], pending: NDArray[np.float32]) -> None:
        """Continue from what `snapshot` returned for the same rate and channels.

        Raises:
            ValueError: the sums or the samples do not fit.
        """
        most = self._pending.shape[1] - 1
        if pending.shape[:-1] != (len(self._channels),) or pending.shape[1] > most:
            raise ValueError(
                f"expected samples of shape ({len(self._channels)}, at most {most}) "
                f"for the audio check, got {pending.shape}"
            )
        for channel, own in zip(self._channels, sums, strict=True):
            channel.restore(own)
        self._pending_count = pending.shape[1]
        self._pending[:, : self._pending_count] = pending

    def _look(self) -> list[AudioWarning]:
        """Check the pending windows of all channels; return the new warnings in order of time."""
        windows = self._pending.reshape(
            len(self._channels), LOOK_WINDOWS, self._window_samples
        ).astype(np.float64)
        means = windows.mean(axis=2)  # (C, windows), like the next three
        powers = np.einsum("cwn,cwn->cw", windows, windows) / self._window_samples
        levels_db = 10 * np.log10(np.maximum(powers - means * means, 1e-12))
        clipped = self._clipped_shares()
        listening = [channel for channel in self._channels if channel.listening]
        levels = zip(
            self._channels,
            means.tolist(),
            levels_db.tolist(),
            clipped.tolist(),
            strict=True,
        )
        speech = np.array([channel.levels(*values) for channel, *values in levels])
        if listening:
            self._analyse(windows - means[:, :, np.newaxis], speech, listening)
        warnings = [warning for channel in self._channels for warning in channel.take_warnings()]
        return sorted(warnings, key=lambda warning: warning.time_s)

    def _clipped_shares(self) -> Floats:
        """Returns the share of samples at full scale in each pending window, (C, windows)."""
        samples = self._pending.ravel()
        shape = (len(self._channels), LOOK_WINDOWS, self._window_samples)
        if samples[samples.argmax()] < _FULL_SCALE and samples[samples.argmin()] > -_FULL_SCALE:
            return np.zeros(shape[:2])
        loud = np.abs(self._pending.reshape(shape)) >= _FULL_SCALE
        return np.count_nonzero(loud, axis=2) / self._window_samples

    def _analyse(
        self, windows: Floats, speech: NDArray[np.bool_], listening: list[ChannelCheck]
    ) -> None:
        """Add windows to the long-term sums of channels, then judge these channels.

        Args:
            windows: samples without their mean, (C, windows, window_samples).
            speech: whether each window is speech, (C, windows).
            listening: the channels that need more speech.
        """
        loudness = self._analysis.loudness(windows)
        chosen = np.zeros_like(speech)
        for channel in listening:
            chosen[channel.channel, ::_SPECTRUM_EVERY] = speech[channel.channel, ::_SPECTRUM_EVERY]
        low, high, pitch_bins = (
            self._analysis.spectra(windows[chosen]) if chosen.any() else _NO_SPECTRA
        )
        owner = np.nonzero(chosen)[0]
        for channel in listening:
            own = owner == channel.channel
            channel.spectra.add_loudness(
                loudness[channel.channel].ravel(), int(np.count_nonzero(speech[channel.channel]))
            )
            channel.spectra.add_spectra(
                float(low[own].sum()), float(high[own].sum()), pitch_bins[own]
            )
            channel.judge_spectra()
