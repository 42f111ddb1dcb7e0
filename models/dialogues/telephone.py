"""The line to the far end: narrow or wide band, codec, packet loss and its concealment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from .activity import BoolFrames, Samples
from .codecs import (
    A_LAW,
    ADPCM,
    GSM,
    MP3,
    MU_LAW,
    OPUS_NARROW,
    OPUS_WIDE,
    Codec,
    encode_decode,
    is_available,
)
from .utterances import SAMPLE_RATE_HZ

NARROW_SHARE = 0.6  # share of dialogues with both sides at 8 kHz
ONE_NARROW_SHARE = 0.2  # share of the others with one side at 8 kHz
SAME_CODEC_SHARE = 0.7
PACKET_LOSS_SHARE = 0.12
PACKET_SAMPLES = 320
# None is plain PCM. Slow codecs have small shares because they cost time (codecs.py), not because
# they are rare on real lines.
NARROW_CODECS: dict[Codec | None, float] = {
    MU_LAW: 0.48,
    A_LAW: 0.17,
    None: 0.13,
    ADPCM: 0.1,
    GSM: 0.1,
    OPUS_NARROW: 0.02,
}
WIDE_CODECS: dict[Codec | None, float] = {None: 0.94, MP3: 0.05, OPUS_WIDE: 0.01}


@dataclass(frozen=True)
class Line:
    """How one side is transmitted: at 8 or 16 kHz, with a codec (None: plain PCM)."""

    narrow: bool
    codec: Codec | None


def draw_lines(rng: np.random.Generator) -> tuple[Line, Line]:
    """Draw the lines of both sides; they are equal more often than not."""
    both = rng.random() < NARROW_SHARE
    one = int(rng.integers(2)) if rng.random() < ONE_NARROW_SHARE else -1
    narrow = (both or one == 0), (both or one == 1)
    first = Line(narrow[0], _draw_codec(narrow[0], rng))
    same = narrow[0] == narrow[1] and rng.random() < SAME_CODEC_SHARE
    return first, first if same else Line(narrow[1], _draw_codec(narrow[1], rng))


def _draw_codec(narrow: bool, rng: np.random.Generator) -> Codec | None:
    shares = NARROW_CODECS if narrow else WIDE_CODECS
    codec = list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]
    return codec if codec is None or is_available(codec) else None


def over_line(side: Samples, line: Line, rng: np.random.Generator) -> Samples:
    """Return what arrives at the far end, (N,) at 16 kHz, aligned with `side`."""
    if line.narrow:
        narrow = soxr.resample(side, SAMPLE_RATE_HZ, 8000, quality="LQ")
        band = butter(
            2, (rng.uniform(120, 320), rng.uniform(3200, 3700)), "bandpass", fs=8000, output="sos"
        )
        narrow = np.clip(sosfilt(band, narrow), -1, 1).astype(np.float32)
        coded = narrow if line.codec is None else encode_decode(narrow, line.codec)
        wide = soxr.resample(coded, 8000, SAMPLE_RATE_HZ, quality="LQ")
        arrived = np.pad(wide[: len(side)], (0, max(0, len(side) - len(wide))))
    else:
        arrived = side if line.codec is None else encode_decode(side, line.codec)
    if rng.random() < PACKET_LOSS_SHARE:
        lost = bursts(
            len(side) // PACKET_SAMPLES, rng.uniform(0.003, 0.05), rng.uniform(1.0, 4.0), rng
        )
        arrived = conceal(arrived, lost, repeat=bool(rng.random() < 0.6))
    return arrived


def bursts(packets: int, loss: float, mean_burst: float, rng: np.random.Generator) -> BoolFrames:
    """Draw which packets are lost, (packets,) bool, from a two-state Markov chain.

    Packets on networks are lost in bursts, which such a chain models.

    Args:
        packets: number of packets.
        loss: long-run share of lost packets, in (0, 1).
        mean_burst: mean number of packets lost in a row, at least 1.
        rng: draws the lengths of the bursts.
    Source:
        Gilbert 1960, "Capacity of a burst-noise channel".
    """
    mean_good = mean_burst * (1 - loss) / loss
    runs = int(packets / (mean_good + mean_burst) * 2) + 16
    lengths: NDArray[np.int64] = np.stack(
        [rng.geometric(min(1.0, 1 / mean_good), runs), rng.geometric(1 / mean_burst, runs)], axis=1
    ).ravel()
    lost = np.repeat(np.arange(2 * runs) % 2 == 1, lengths)[:packets]
    return np.pad(lost, (0, packets - len(lost)))


def conceal(sound: Samples, lost: BoolFrames, repeat: bool) -> Samples:
    """Fill lost packets with silence, or with the previous packet, 6 dB weaker each time."""
    filled = sound.copy()
    for packet in np.flatnonzero(lost):
        at = int(packet) * PACKET_SAMPLES
        filled[at : at + PACKET_SAMPLES] = (
            0.5 * filled[at - PACKET_SAMPLES : at] if repeat and at else 0
        )
    return filled
