"""Long-term statistics of speech: power above 4 kHz, pitch, and the speed of loudness changes.

`WindowAnalysis` analyses the windows of all channels together, in half the time of one channel
after the other. `SpeechSpectra` sums the results of one channel. `channel_check.py` decides
what the sums mean.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOW_S = 0.064

_BAND_EDGES_HZ = (300.0, 4000.0, 4300.0)
_PITCH_HZ, _PITCH_STRENGTH, _PITCH_BINS_PER_OCTAVE = (60.0, 640.0), 0.55, 12
# Periods are whole samples, so the highest pitch can lie slightly above the upper limit.
_PITCH_BINS = int(math.log2(_PITCH_HZ[1] / _PITCH_HZ[0]) * _PITCH_BINS_PER_OCTAVE) + 2
_PITCH_LEAST = 20  # minimum number of voiced windows for a statement about pitch
_PARTS = 6  # per window, so loudness is sampled at 94 Hz
_SEGMENT_WINDOWS, _SEGMENT_SPEECH = 40, 0.6  # 2.56 s, and the share that must be speech
# Minimum number of segments for a statement about rhythm. One or two phrases of a fast voice are no
# evidence.
_SEGMENTS_LEAST = 3
# Logistic rule: weight per octave of pitch above 200 Hz, weight per dB of slow changes, and bias.
# 1 % of correct recordings exceed 0.
_RATE_WEIGHTS = (1.0, -0.136, 0.45)


Sum = Annotated[float, Meta(ge=0, lt=1e300)]
Power = Annotated[float, Meta(gt=0, lt=1e300)]
StoredCount = Annotated[int, Meta(ge=0, le=1 << 52)]  # exact as a float, and can be counted up


class SpectraSums(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state of `SpeechSpectra`, to store it.

    Attributes:
        low_power, high_power, slow_power, fast_power: sums of powers.
        pitch_counts: histogram of pitch.
        loudness: log amplitudes of the parts of the present segment.
        segment_speech: windows of speech in the present segment.
        segments: number of segments of speech.
    """

    low_power: Power
    high_power: Power
    slow_power: Power
    fast_power: Power
    pitch_counts: Annotated[list[Sum], Meta(min_length=_PITCH_BINS, max_length=_PITCH_BINS)]
    loudness: list[Annotated[float, Meta(gt=-1e3, lt=1e3)]]
    segment_speech: StoredCount
    segments: StoredCount


class SpeechSpectra:
    """Long-term sums over the speech of one channel.

    They are the power below and above 4 kHz, a histogram of pitch, and the power of slow (1-5 Hz)
    and fast (6-16 Hz) changes of loudness.
    """

    def __init__(self) -> None:
        self._low_power = self._high_power = 1e-12
        self._pitch_counts = np.zeros(_PITCH_BINS)
        self._loudness = np.zeros(_SEGMENT_WINDOWS * _PARTS)
        self._segment_filled = self._segment_speech = 0
        self._segments = 0
        self._slow_power = self._fast_power = 1e-12

    @property
    def high_band_db(self) -> float:
        """Power above 4.3 kHz relative to the power in 0.3-4 kHz, in dB."""
        return 10 * math.log10(self._high_power / self._low_power)

    @property
    def too_fast(self) -> float:
        """Score for double speed, from pitch and rhythm together.

        Above 0, the speech is probably played at double speed. -1 while there is too little speech.
        """
        counts = np.cumsum(self._pitch_counts)
        if counts[-1] < _PITCH_LEAST or self._segments < _SEGMENTS_LEAST or self._slow_power < 1e-9:
            return -1.0
        lower_pitch_octaves = int(
            np.count_nonzero(counts < 0.2 * counts[-1])
        ) / _PITCH_BINS_PER_OCTAVE + math.log2(_PITCH_HZ[0] / 200)
        slow_db = 10 * math.log10(self._slow_power / self._fast_power)
        per_octave, per_db, bias = _RATE_WEIGHTS
        return per_octave * lower_pitch_octaves + per_db * slow_db + bias

    def add_spectra(
        self, low_power: float, high_power: float, pitch_bins: NDArray[np.intp]
    ) -> None:
        """Add the powers and pitches of windows of speech.

        Args:
            low_power: power below 4 kHz, summed over the windows.
            high_power: power above 4.3 kHz, summed over the windows.
            pitch_bins: bin of the pitch of each window, (W,); -1 when unvoiced.
        """
        self._low_power += low_power
        self._high_power += high_power
        self._pitch_counts += np.bincount(pitch_bins[pitch_bins >= 0], minlength=_PITCH_BINS)

    def add_loudness(self, loudness: Floats, speech_windows: int) -> None:
        """Add the loudness of consecutive windows, with or without speech.

        Args:
            loudness: (windows * parts,), from `WindowAnalysis.loudness`.
            speech_windows: how many of the windows are speech.
        """
        self._loudness[self._segment_filled : self._segment_filled + len(loudness)] = loudness
        self._segment_filled += len(loudness)
        self._segment_speech += speech_windows
        if self._segment_filled == len(self._loudness):
            if self._segment_speech >= _SEGMENT_SPEECH * _SEGMENT_WINDOWS:
                self._segments += 1
                centred = self._loudness - self._loudness.mean()
                changes = np.abs(np.fft.rfft(centred * np.hanning(len(centred)))) ** 2
                rates = np.fft.rfftfreq(len(centred), WINDOW_S / _PARTS)
                self._slow_power += float(changes[(rates >= 1) & (rates < 5)].sum())
                self._fast_power += float(changes[(rates >= 6) & (rates < 16)].sum())
            self._segment_filled = self._segment_speech = 0

    def snapshot(self) -> SpectraSums:
        """Returns the state."""
        return SpectraSums(
            self._low_power,
            self._high_power,
            self._slow_power,
            self._fast_power,
            self._pitch_counts.tolist(),
            self._loudness[: self._segment_filled].tolist(),
            self._segment_speech,
            self._segments,
        )

    def restore(self, sums: SpectraSums, windows: int) -> None:
        """Continue from a state.

        Args:
            sums: from `snapshot`.
            windows: number of windows that `add_loudness` adds at a time.
        Raises:
            ValueError: the present segment has another length than `add_loudness` leaves.
        """
        filled = len(sums.loudness)
        if filled % (windows * _PARTS) or filled >= len(self._loudness):
            raise ValueError(f"expected a segment of less than 2.56 s, got {filled} values")
        self._low_power, self._high_power = sums.low_power, sums.high_power
        self._slow_power, self._fast_power = sums.slow_power, sums.fast_power
        self._pitch_counts[:] = sums.pitch_counts
        self._loudness[:filled] = sums.loudness
        self._segment_filled = filled
        self._segment_speech, self._segments = sums.segment_speech, sums.segments


class WindowAnalysis:
    """Computes loudness, band powers and pitch of many windows of WINDOW_S at once.

    Attributes:
        window_samples: length of a window in samples.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self.window_samples = window_samples = round(WINDOW_S * sample_rate_hz)
        self._rate_hz = sample_rate_hz
        self._taper = np.hanning(window_samples)
        self._fft_samples = 2 * window_samples
        frequencies = np.fft.rfftfreq(self._fft_samples, 1 / sample_rate_hz)
        low, edge, high = _BAND_EDGES_HZ
        self._low_band = slice(*np.searchsorted(frequencies, [low, edge]).tolist())
        self._high_band = slice(int(np.searchsorted(frequencies, high)), None)
        self._pitch_bins = int(np.searchsorted(frequencies, 1500.0))  # harmonics used for pitch
        self._lags = slice(int(sample_rate_hz / _PITCH_HZ[1]), int(sample_rate_hz / _PITCH_HZ[0]))
        # Division by the autocorrelation of the taper removes its slope (Boersma 1993).
        self._taper_correlation: Floats = np.fft.irfft(
            np.abs(np.fft.rfft(self._taper, self._fft_samples)) ** 2
        )[: self._lags.stop + 1]

    def loudness(self, windows: Floats) -> Floats:
        """Returns the log RMS amplitude of each part of each window, (C, W, parts).

        Args:
            windows: samples, (C, W, window_samples).
        """
        part = windows.shape[2] // _PARTS
        parts = windows[:, :, : part * _PARTS].reshape(*windows.shape[:2], _PARTS, part)
        return np.log(np.sqrt(np.einsum("cwpn,cwpn->cwp", parts, parts) / part) + 1e-4)

    def spectra(self, windows: Floats) -> tuple[Floats, Floats, NDArray[np.intp]]:
        """Compute band powers and pitch.

        Args:
            windows: samples, (W, window_samples).

        Returns:
            Power in 0.3-4 kHz, power above 4.3 kHz, and the bin of the pitch (-1 when unvoiced),
            each (W,).
        """
        spectrum = np.fft.rfft(windows * self._taper, self._fft_samples)
        power = spectrum.real**2 + spectrum.imag**2
        return (
            power[:, self._low_band].sum(axis=1),
            power[:, self._high_band].sum(axis=1),
            self._pitch_bin(power[:, : self._pitch_bins]),
        )

    def _pitch_bin(self, harmonics: Floats) -> NDArray[np.intp]:
        """Returns the pitch bin of each window, (W,); -1 when unvoiced.

        The pitch is that of the shortest period whose autocorrelation is close to the maximum.
        """
        first, last = self._lags.start, self._lags.stop
        correlation = (
            np.fft.irfft(harmonics, self._fft_samples)[:, : last + 1] / self._taper_correlation
        )
        inner = correlation[:, first:last]
        strong = (
            inner
            > np.maximum(0.9 * inner.max(axis=1), _PITCH_STRENGTH * correlation[:, 0])[
                :, np.newaxis
            ]
        )
        candidates = (
            strong
            & (inner > correlation[:, first - 1 : last - 1])
            & (inner >= correlation[:, first + 1 : last + 1])
        )
        pitch_hz = self._rate_hz / (first + candidates.argmax(axis=1))
        bins = (np.log2(pitch_hz / _PITCH_HZ[0]) * _PITCH_BINS_PER_OCTAVE).astype(np.intp)
        return np.where(candidates.any(axis=1), bins, -1)


@lru_cache(maxsize=16)
def window_analysis(sample_rate_hz: int) -> WindowAnalysis:
    """Returns the analysis for a sample rate. All conversations share its tables."""
    return WindowAnalysis(sample_rate_hz)
