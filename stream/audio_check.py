"""Notice, in passing, audio that is not what it claims to be, and say so once.

Checked per channel, at the rate the audio was declared with and before resampling, in windows of 64 ms:

    silent       the user's channel has been all zeros for 5 s
    dc_offset    the mean of 5 s is more than 1 % of full scale from zero
    clipping     more than 1 % of the samples of 2 s of speech are at full scale
    narrow_band  declared with 16 kHz or more, but nothing above 4 kHz while people speak: an upsampled telephone line (an information)
    wrong_rate   speech sounds twice too fast: probably recorded at half the declared rate

How far `wrong_rate` can be trusted: it knows only that voices are seldom both as high and as quick in their changes of loudness as at
double speed. The lower end of the pitch (20th percentile) and slow against fast changes (1-5 against 6-16 Hz, the syllables' range)
are weighed by a logistic rule. Measured on 153 recordings of read and spontaneous speech and 14 sides of telephone calls, each of up to
a minute: of 161 at double speed with the 8 s of speech that it takes, 133 were noticed (6 of 9 in calls); of 320 at the right speed, 6
were accused. With the rule fitted without the data set that it judges, 131 of 160 and 5 of 318. Hence a warning, never an error.
`narrow_band` was right in all of these; a poor resampler that leaves images above 4 kHz hides it.

Cost and memory are constant: about 40 us per 20 ms of stereo until a minute of speech has been heard, 6 us after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .errors import ShapeError
from .resample import check_rate

WarningCode = Literal["silent", "dc_offset", "clipping", "narrow_band", "wrong_rate"]
Floats = NDArray[np.float64]

_WINDOW_S = 0.064
_SILENT_S = 5.0
_DC_S, _DC_LIMIT = 5.0, 0.01
_CLIPPING_S, _CLIPPING_SHARE, _FULL_SCALE = 2.0, 0.01, 0.98  # mu-law ends at 0.98
_SPEECH_DBFS, _SPEECH_OVER_NOISE_DB, _NOISE_RISE_DB = -55.0, 15.0, 0.1  # the noise floor's rise per window: 1.6 dB a second
_NARROW_AFTER_S, _NARROW_DB, _NARROW_EDGES_HZ, _NARROW_FROM_RATE_HZ = 5.0, -45.0, (300.0, 4000.0, 4300.0), 16000
_SPECTRA_END_S = 60.0
_PITCH_HZ, _PITCH_STRENGTH, _PITCH_BINS_PER_OCTAVE = (60.0, 640.0), 0.55, 12
_PARTS = 6  # per window: loudness is followed at 94 Hz
_SEGMENT_WINDOWS, _SEGMENT_SPEECH = 40, 0.6  # 2.56 s, of which so much must be speech
_RATE_AFTER_S = 8.0
_RATE_WEIGHTS = (1.0, -0.136, 0.45)  # per octave of pitch above 200 Hz, per dB of slow changes, bias; 1 % of correct recordings exceed 0


@dataclass(frozen=True, slots=True)
class AudioWarning:
    """One problem of one channel.

    Attributes:
        code: which problem.
        severity: "info" if the audio may well be right.
        channel: 0 user, 1 other.
        time_s: seconds of audio heard when it was noticed.
        message: one line for a person.
    """

    code: WarningCode
    severity: Literal["info", "warning"]
    channel: int
    time_s: float
    message: str


class AudioCheck:
    """Watch a stream; `push` returns what was newly noticed.

    Args:
        sample_rate_hz: rate the audio was declared with.
        channels: channels C of every block.

    Raises:
        AudioFormatError: a rate outside 8-192 kHz.
    """

    def __init__(self, sample_rate_hz: int, channels: int = 2) -> None:
        check_rate(sample_rate_hz)
        self.sample_rate_hz = sample_rate_hz
        self._window_samples = round(_WINDOW_S * sample_rate_hz)
        self._pending = np.zeros((self._window_samples, channels), dtype=np.float32)
        self._pending_count = 0
        self._windows = 0
        self._channels = [_ChannelCheck(channel, sample_rate_hz, self._window_samples) for channel in range(channels)]

    def push(self, samples: NDArray[np.float32]) -> list[AudioWarning]:
        """Look at samples, (N, C) float32 in [-1, 1], any N.

        Returns:
            Problems noticed for the first time; mostly none.

        Raises:
            ShapeError: another shape.
        """
        if samples.ndim != 2 or samples.shape[1] != len(self._channels):
            raise ShapeError(f"expected samples of shape (N, {len(self._channels)}), got {samples.shape}")
        warnings: list[AudioWarning] = []
        start = 0
        while start < len(samples):
            count = min(len(samples) - start, self._window_samples - self._pending_count)
            self._pending[self._pending_count : self._pending_count + count] = samples[start : start + count]
            self._pending_count += count
            start += count
            if self._pending_count == self._window_samples:
                self._pending_count = 0
                self._windows += 1
                time_s = self._windows * self._window_samples / self.sample_rate_hz
                for channel in self._channels:
                    channel.window(self._pending[:, channel.channel].astype(np.float64), time_s, warnings.append)
        return warnings


class _ChannelCheck:
    """The checks of one channel, fed with whole windows."""

    def __init__(self, channel: int, sample_rate_hz: int, window_samples: int) -> None:
        self.channel = channel
        self._rate_hz = sample_rate_hz
        self._window_s = window_samples / sample_rate_hz
        self._reported: set[WarningCode] = set()
        self._noise_db: float | None = None
        self._zero_s = 0.0
        self._mean_sum, self._mean_windows = 0.0, 0
        self._clipped_share, self._clipping_windows = 0.0, 0
        self._speech_s = 0.0
        self._spectra = _SpeechSpectra(sample_rate_hz, window_samples)

    def window(self, samples: Floats, time_s: float, report: Callable[[AudioWarning], None]) -> None:
        """Look at one window, (window_samples,)."""

        def notice(code: WarningCode, severity: Literal["info", "warning"], message: str) -> None:
            if code not in self._reported:
                self._reported.add(code)
                report(AudioWarning(code, severity, self.channel, time_s, f"channel {self.channel}: {message}"))

        mean = float(samples.mean())
        power = float(samples @ samples) / len(samples)
        self._zero_s = self._zero_s + self._window_s if power == 0 else 0.0
        if self.channel == 0 and self._zero_s > _SILENT_S:
            notice("silent", "warning", f"nothing but zeros for {_SILENT_S:g} s; is the microphone muted or the wrong channel connected?")
        self._mean_sum += mean
        self._mean_windows += 1
        if self._mean_windows * self._window_s >= _DC_S:
            offset = self._mean_sum / self._mean_windows
            if abs(offset) > _DC_LIMIT:
                notice("dc_offset", "warning", f"the signal's mean is {offset:+.3f} of full scale, expected 0; check the sound card or the sample format")
            self._mean_sum, self._mean_windows = 0.0, 0
        speech = self._is_speech(10 * np.log10(max(power - mean * mean, 1e-12)))
        if speech:
            self._speech_s += self._window_s
            self._clipped_share += float(np.count_nonzero(np.abs(samples) >= _FULL_SCALE)) / len(samples)
            self._clipping_windows += 1
            if self._clipping_windows * self._window_s >= _CLIPPING_S:
                share = self._clipped_share / self._clipping_windows
                if share > _CLIPPING_SHARE:
                    notice("clipping", "warning", f"{share:.0%} of the samples in speech are at full scale; lower the recording level")
                self._clipped_share, self._clipping_windows = 0.0, 0
        if self._speech_s > _SPECTRA_END_S:
            return
        self._spectra.add(samples - mean, speech)
        if self._speech_s >= _NARROW_AFTER_S and self._rate_hz >= _NARROW_FROM_RATE_HZ and self._spectra.high_band_db < _NARROW_DB:
            heard = f"declared as {self._rate_hz} Hz, but nothing above 4 kHz is heard"
            notice("narrow_band", "info", f"{heard}: it looks like an upsampled 8 kHz signal, such as a telephone line")
        if self._speech_s >= _RATE_AFTER_S and self._spectra.too_fast > 0:
            notice("wrong_rate", "warning", f"speech sounds twice too fast; was it recorded at {self._rate_hz // 2} Hz and declared as {self._rate_hz} Hz?")

    def _is_speech(self, level_db: float) -> bool:
        """Loud against the noise floor, which follows the level down at once and up slowly."""
        if self._noise_db is None or level_db < self._noise_db:
            self._noise_db = level_db
        else:
            self._noise_db = min(level_db, self._noise_db + _NOISE_RISE_DB)
        return level_db > max(_SPEECH_DBFS, self._noise_db + _SPEECH_OVER_NOISE_DB)


class _SpeechSpectra:
    """Long-term sums over speech: energy below and above 4 kHz, a histogram of pitch, and how fast loudness changes."""

    def __init__(self, sample_rate_hz: int, window_samples: int) -> None:
        self._rate_hz = sample_rate_hz
        self._taper = np.hanning(window_samples)
        frequencies = np.fft.rfftfreq(2 * window_samples, 1 / sample_rate_hz)
        low, edge, high = _NARROW_EDGES_HZ
        self._low_band = (frequencies >= low) & (frequencies < edge)
        self._high_band = frequencies >= high
        self._pitch_bins = int(np.searchsorted(frequencies, 1500.0))  # harmonics used for pitch
        # Autocorrelation of the taper, to undo its slope (Boersma 1993).
        self._taper_correlation: Floats = np.fft.irfft(np.abs(np.fft.rfft(self._taper, 2 * window_samples)) ** 2)
        self._lags = slice(int(sample_rate_hz / _PITCH_HZ[1]), int(sample_rate_hz / _PITCH_HZ[0]))
        octaves = math.log2(_PITCH_HZ[1] / _PITCH_HZ[0])
        self._pitch_counts = np.zeros(int(octaves * _PITCH_BINS_PER_OCTAVE) + 2)  # periods are whole samples, so the highest pitch can lie a little above
        self._low_power = self._high_power = 1e-12
        self._loudness = np.zeros(_SEGMENT_WINDOWS * _PARTS)
        self._segment_filled = self._segment_speech = 0
        rates = np.fft.rfftfreq(len(self._loudness), _WINDOW_S / _PARTS)
        self._slow_rates = (rates >= 1) & (rates < 5)
        self._fast_rates = (rates >= 6) & (rates < 16)
        self._slow_power = self._fast_power = 1e-12

    @property
    def high_band_db(self) -> float:
        """Power above 4.3 kHz against that of 0.3-4 kHz."""
        return float(10 * np.log10(self._high_power / self._low_power))

    @property
    def too_fast(self) -> float:
        """Above 0 when pitch and rhythm together speak for double speed."""
        counts = np.cumsum(self._pitch_counts)
        if counts[-1] < 20 or self._slow_power < 1e-9:
            return -1.0
        lower_pitch_octaves = int(np.count_nonzero(counts < 0.2 * counts[-1])) / _PITCH_BINS_PER_OCTAVE + math.log2(_PITCH_HZ[0] / 200)
        slow_db = 10 * np.log10(self._slow_power / self._fast_power)
        per_octave, per_db, bias = _RATE_WEIGHTS
        return float(per_octave * lower_pitch_octaves + per_db * slow_db + bias)

    def add(self, samples: Floats, speech: bool) -> None:
        """Add one window, (window_samples,)."""
        part = len(samples) // _PARTS
        parts = samples[: part * _PARTS].reshape(_PARTS, part)
        first = self._segment_filled * _PARTS
        self._loudness[first : first + _PARTS] = np.log(np.sqrt((parts * parts).mean(axis=1)) + 1e-4)
        self._segment_filled += 1
        self._segment_speech += speech
        if self._segment_filled == _SEGMENT_WINDOWS:
            if self._segment_speech >= _SEGMENT_SPEECH * _SEGMENT_WINDOWS:
                centred = self._loudness - self._loudness.mean()
                changes = np.abs(np.fft.rfft(centred * np.hanning(len(centred)))) ** 2
                self._slow_power += float(changes[self._slow_rates].sum())
                self._fast_power += float(changes[self._fast_rates].sum())
            self._segment_filled = self._segment_speech = 0
        if speech:
            spectrum = np.abs(np.fft.rfft(samples * self._taper, 2 * len(samples))) ** 2
            self._low_power += float(spectrum[self._low_band].sum())
            self._high_power += float(spectrum[self._high_band].sum())
            pitch_hz = self._pitch(spectrum)
            if pitch_hz is not None:
                self._pitch_counts[int(math.log2(pitch_hz / _PITCH_HZ[0]) * _PITCH_BINS_PER_OCTAVE)] += 1

    def _pitch(self, spectrum: Floats) -> float | None:
        """The shortest period whose autocorrelation is nearly the largest; None when unvoiced."""
        harmonics = spectrum.copy()
        harmonics[self._pitch_bins :] = 0
        correlation = np.fft.irfft(harmonics)[: self._lags.stop + 1] / self._taper_correlation[: self._lags.stop + 1]
        inner = correlation[self._lags]
        peaks = (inner > correlation[self._lags.start - 1 : self._lags.stop - 1]) & (inner >= correlation[self._lags.start + 1 : self._lags.stop + 1])
        candidates = np.flatnonzero(peaks & (inner > max(0.9 * inner.max(), _PITCH_STRENGTH * correlation[0])))
        if len(candidates) == 0:
            return None
        return self._rate_hz / (self._lags.start + int(candidates[0]))
