"""Long-term measures of speech, on sounds whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from turnstream.stream.speech_spectra import (
    WINDOW_S,
    SpeechSpectra,
    WindowAnalysis,
    window_analysis,
)

RATES = [8000, 16000, 44100, 48000]


def pulses(rate_hz: int, pitch_hz: float, windows: int) -> np.ndarray:
    """Return a harmonic sound, (windows, window_samples)."""
    times_s = np.arange(windows * round(WINDOW_S * rate_hz)) / rate_hz
    harmonics = range(1, int(min(4000, rate_hz / 2) / pitch_hz))
    return np.sum(
        [np.cos(2 * np.pi * number * pitch_hz * times_s) for number in harmonics], axis=0
    ).reshape(windows, -1)


def noise(rate_hz: int, windows: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((windows, round(WINDOW_S * rate_hz)))


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("pitch_hz", [80.0, 125.0, 210.0, 400.0])
def test_the_pitch_falls_into_its_semitone(rate_hz: int, pitch_hz: float) -> None:
    _, _, bins = window_analysis(rate_hz).spectra(pulses(rate_hz, pitch_hz, 3))
    assert np.abs(bins - 12 * np.log2(pitch_hz / 60)).max() <= 1


def test_noise_has_no_pitch() -> None:
    _, _, bins = window_analysis(16000).spectra(noise(16000, 20))
    assert np.count_nonzero(bins == -1) >= 15


@pytest.mark.parametrize("rate_hz", RATES)
def test_many_windows_at_once_say_what_each_says_alone(rate_hz: int) -> None:
    analysis = WindowAnalysis(rate_hz)
    windows = np.concatenate([pulses(rate_hz, 150.0, 2), noise(rate_hz, 2)])
    together = np.array(analysis.spectra(windows))
    alone = np.concatenate([analysis.spectra(window[np.newaxis]) for window in windows], axis=1)
    np.testing.assert_allclose(together, alone)
    np.testing.assert_array_equal(
        analysis.loudness(windows[np.newaxis])[0, 1],
        analysis.loudness(windows[np.newaxis, 1:2])[0, 0],
    )


def test_no_window_is_no_error() -> None:
    low, high, bins = window_analysis(16000).spectra(np.zeros((0, 1024)))
    assert (low.shape, high.shape, bins.shape) == ((0,), (0,), (0,))


@pytest.mark.parametrize(
    ("windows", "at_least", "at_most"),
    [(noise(16000, 30), -3, 3), (pulses(16000, 100.0, 30), -200, -45)],
)
def test_power_above_4_khz_is_told_from_none(
    windows: np.ndarray, at_least: float, at_most: float
) -> None:
    spectra = SpeechSpectra()
    low, high, bins = window_analysis(16000).spectra(windows)
    spectra.add_spectra(float(low.sum()), float(high.sum()), bins)
    assert at_least < spectra.high_band_db < at_most


@pytest.mark.parametrize(
    ("pitch_hz", "changes_hz", "too_fast"), [(110.0, 3.0, False), (350.0, 10.0, True)]
)
def test_high_and_quick_speech_is_too_fast(
    pitch_hz: float, changes_hz: float, too_fast: bool
) -> None:
    spectra, analysis = SpeechSpectra(), window_analysis(16000)
    windows = pulses(16000, pitch_hz, 120)
    windows *= 1.1 + np.sin(2 * np.pi * changes_hz * np.arange(windows.size) / 16000).reshape(
        windows.shape
    )
    assert spectra.too_fast < 0
    for some in np.split(windows, 15):
        low, high, bins = analysis.spectra(some)
        spectra.add_spectra(float(low.sum()), float(high.sum()), bins)
        spectra.add_loudness(analysis.loudness(some[np.newaxis]).ravel(), len(some))
    assert (spectra.too_fast > 0) == too_fast
