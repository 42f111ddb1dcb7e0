"""Speech codecs of telephone and internet lines. Encoding and decoding run in memory.

libsndfile does the coding. The result is aligned with the input to the sample. Time for 4 minutes
of one channel on one core: mu-law and A-law 0.03 s, ADPCM 0.1 s, GSM 0.6 s, MP3 1 s, Opus 1.8 s at
8 kHz and 6 s at 16 kHz. Slow codecs are drawn less often for this reason (telephone.py).
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass

import numpy as np
import soundfile as sf

from .activity import Samples


@dataclass(frozen=True)
class Codec:
    """One speech codec.

    Attributes:
        container, subtype: libsndfile's names.
        sample_rate_hz: sample rate of the coded sound.
    """

    container: str
    subtype: str
    sample_rate_hz: int


MU_LAW = Codec("WAV", "ULAW", 8000)
A_LAW = Codec("WAV", "ALAW", 8000)
GSM = Codec("WAV", "GSM610", 8000)
ADPCM = Codec("WAV", "IMA_ADPCM", 8000)
OPUS_NARROW = Codec("OGG", "OPUS", 8000)
OPUS_WIDE = Codec("OGG", "OPUS", 16000)
MP3 = Codec("MP3", "MPEG_LAYER_III", 16000)


def encode_decode(sound: Samples, codec: Codec) -> Samples:
    """Encode and decode a sound.

    Args:
        sound: samples in [-1, 1], (N,) at the codec's sample rate.
        codec: must be available.
    Returns:
        (N,), aligned with `sound`: the codec's delay is removed.
    """
    return _shifted(_round_trip(sound, codec), _delay_samples(codec), len(sound))


def is_available(codec: Codec) -> bool:
    """Whether the installed libsndfile can write this codec (Opus needs 1.0.29, MP3 1.1)."""
    return codec.container in sf.available_formats() and codec.subtype in sf.available_subtypes(
        codec.container
    )


def _round_trip(sound: Samples, codec: Codec) -> Samples:
    file = io.BytesIO()
    sf.write(
        file,
        np.clip(sound, -1, 1),
        codec.sample_rate_hz,
        format=codec.container,
        subtype=codec.subtype,
    )
    file.seek(0)
    return np.asarray(sf.read(file, dtype="float32")[0], np.float32)


@functools.cache
def _delay_samples(codec: Codec) -> int:
    """Delay of a codec, measured by cross-correlation with a second of modulated noise."""
    rate = codec.sample_rate_hz
    noise = np.random.default_rng(0).standard_normal(rate)
    syllables = np.convolve(noise, np.hanning(8), "same") * (
        1 + np.sin(2 * np.pi * 4 * np.arange(rate) / rate)
    )
    sent = np.pad(0.05 * syllables, rate // 2).astype(np.float32)
    received = _round_trip(sent, codec)
    points = len(sent) + len(received)
    match = np.fft.irfft(np.fft.rfft(received, points) * np.conj(np.fft.rfft(sent, points)), points)
    lag = int(match.argmax())
    return lag if lag < points // 2 else lag - points


def _shifted(sound: Samples, delay: int, length: int) -> Samples:
    """Return `length` samples of `sound` from index `delay`, with zeros outside of it."""
    start = max(delay, 0)
    kept = sound[start : start + length + min(delay, 0)]
    return np.pad(kept, (max(-delay, 0), length - len(kept) - max(-delay, 0))).astype(np.float32)
