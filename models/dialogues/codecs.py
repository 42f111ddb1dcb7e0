"""Speech codecs of telephone and internet lines, there and back through libsndfile in memory, aligned to the sample.

Figures are for one channel of 4 minutes on one core: the two logarithmic ones 0.03 s, ADPCM 0.1 s, GSM 0.6 s, MP3 1 s,
Opus 1.8 s at 8 kHz and 6 s at 16 kHz; the shares with which a line draws them follow from that.
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
    """One way to code speech.

    Attributes:
        container, subtype: libsndfile's names.
        sample_rate_hz: of what is coded.
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
    """What the far end hears, (N,) like `sound`, at the codec's sample rate and without its delay."""
    return _shifted(_round_trip(sound, codec), _delay_samples(codec), len(sound))


def is_available(codec: Codec) -> bool:
    """Can this libsndfile write it? Opus and MP3 came with 1.0.29 and 1.1."""
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
    """How much later than it went in a sound comes out, by cross-correlation of a second of noise in syllables."""
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
    """`sound` from `delay` on, (length,), zeros where there is none."""
    start = max(delay, 0)
    kept = sound[start : start + length + min(delay, 0)]
    return np.pad(kept, (max(-delay, 0), length - len(kept) - max(-delay, 0))).astype(np.float32)
