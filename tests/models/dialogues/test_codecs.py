from __future__ import annotations

import numpy as np
import pytest

from turnstream.models.dialogues import codecs
from turnstream.models.dialogues.activity import Samples
from turnstream.models.dialogues.codecs import Codec, encode_decode, is_available

CODECS = [
    codecs.MU_LAW,
    codecs.A_LAW,
    codecs.GSM,
    codecs.ADPCM,
    codecs.OPUS_NARROW,
    codecs.OPUS_WIDE,
    codecs.MP3,
]
AVAILABLE = [codec for codec in CODECS if is_available(codec)]


def syllables(sample_rate_hz: int, seconds: float = 3.0) -> Samples:
    """Noise in the middle of the band that comes and goes four times a second."""
    length = round(seconds * sample_rate_hz)
    noise = np.convolve(np.random.default_rng(5).standard_normal(length), np.hanning(6), "same")
    return (
        0.05 * noise * np.maximum(0, np.sin(2 * np.pi * 4 * np.arange(length) / sample_rate_hz))
    ).astype(np.float32)


def lag_samples(sent: Samples, received: Samples) -> int:
    match = np.fft.irfft(
        np.fft.rfft(received, 2 * len(sent)) * np.conj(np.fft.rfft(sent, 2 * len(sent)))
    )
    lag = int(match.argmax())
    return lag if lag < len(sent) else lag - 2 * len(sent)


def test_the_logarithmic_codecs_gsm_and_adpcm_are_always_there() -> None:
    assert {codecs.MU_LAW, codecs.A_LAW, codecs.GSM, codecs.ADPCM} <= set(AVAILABLE)
    assert not is_available(Codec("WAV", "OPUS", 8000))


@pytest.mark.parametrize("codec", AVAILABLE)
def test_what_comes_out_is_the_same_sound_at_the_same_time(codec: Codec) -> None:
    sent = syllables(codec.sample_rate_hz)
    received = encode_decode(sent, codec)
    assert received.shape == sent.shape
    assert received.dtype == np.float32
    assert abs(lag_samples(sent, received)) <= codec.sample_rate_hz // 1000
    assert np.corrcoef(sent, received)[0, 1] > 0.6
    assert not np.array_equal(sent, received)


@pytest.mark.parametrize("codec", AVAILABLE)
def test_a_delay_of_the_codec_is_taken_out(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    round_trip = codecs._round_trip
    monkeypatch.setattr(
        codecs, "_round_trip", lambda sound, codec: np.pad(round_trip(sound, codec), (137, 0))
    )
    codecs._delay_samples.cache_clear()
    try:
        sent = syllables(codec.sample_rate_hz)
        assert abs(lag_samples(sent, encode_decode(sent, codec))) <= codec.sample_rate_hz // 1000
    finally:
        codecs._delay_samples.cache_clear()


@pytest.mark.parametrize("codec", AVAILABLE)
@pytest.mark.parametrize("samples", [1, 161, 16000])
def test_length_is_kept_and_silence_stays_quiet(codec: Codec, samples: int) -> None:
    received = encode_decode(np.zeros(samples, np.float32), codec)
    assert received.shape == (samples,)
    assert np.abs(received).max() < 0.01
