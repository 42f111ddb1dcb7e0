"""Make recordings harder: level, telephone band, noise, babble, room, bleed.

The evaluation measures how much the scores fall in each condition. The voice activity always
comes from the clean recording. The random generator of a condition is seeded by the seed, the
dialogue's id and the condition's name, so the result does not depend on what else is run. The
result is rounded and clipped as 16-bit samples would be.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from ...stream.errors import DialogueError
from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames, Samples
from ..dialogues.manifest import Dialogue
from .recording import SAMPLE_RATE_HZ, Recording, load_recording

FRAME_SAMPLES = round(SAMPLE_RATE_HZ / FRAME_RATE_HZ)
GAINS_DB = (20.0, -20.0)
SNRS_DB = (20.0, 10.0, 5.0)
BLEED_DB = -20.0
RT60_S = 0.6
# Of the synthetic room: the speaker is at the distance where both are equally loud.
DIRECT_TO_REVERBERANT_DB = 0.0
TELEPHONE_RATE_HZ, TELEPHONE_BAND_HZ, MU = 8000, (300.0, 3400.0), 255.0
BABBLE_VOICES = 6
VOICE_S = 30.0  # speech per channel that is kept for babble


@dataclass(frozen=True)
class Voice:
    """The speech of one channel without its pauses.

    Attributes:
        dialogue_id: the dialogue that it was taken from.
        speech: samples of unit RMS, (N,).
    """

    dialogue_id: str
    speech: Samples


@dataclass(frozen=True)
class Condition:
    """A change to a recording.

    Attributes:
        name: shown in tables; also seeds the random generator.
        change: takes a recording and a random generator, returns the changed audio, (2, N).
    """

    name: str
    change: Callable[[Recording, np.random.Generator], Samples]

    def apply(self, recording: Recording, seed: int = 0) -> Samples:
        """Return the changed audio, (2, N), rounded to 16-bit steps."""
        rng = np.random.default_rng(
            [seed, zlib.crc32(recording.id.encode()), zlib.crc32(self.name.encode())]
        )
        return as_int16(self.change(recording, rng))


CLEAN = Condition("clean", lambda recording, _: recording.audio)


def standard_conditions(
    voices: Sequence[Voice] = (), room: Samples | None = None, seed: int = 0
) -> list[Condition]:
    """Return the conditions that a robust system should withstand.

    Args:
        voices: speech to mix babble from; without voices of at least two dialogues there is no
            babble condition.
        room: impulse response at 16 kHz, (N,); a synthetic one if None.
        seed: seed of the synthetic room.
    """
    response = made_room(np.random.default_rng(seed)) if room is None else room
    conditions = [
        Condition(
            f"gain {gain_db:+.0f} dB", lambda r, _, g=gain_db: r.audio * np.float32(10 ** (g / 20))
        )
        for gain_db in GAINS_DB
    ]
    conditions.append(Condition("telephone band", lambda r, _: telephone(r.audio)))
    conditions += [
        Condition(
            f"white noise {snr:.0f} dB",
            lambda r, rng, s=snr: add_noise(r, white_noise(r.audio.shape, rng), s),
        )
        for snr in SNRS_DB
    ]
    if len({voice.dialogue_id for voice in voices}) > 1:
        conditions += [
            Condition(
                f"babble {snr:.0f} dB",
                lambda r, rng, s=snr: add_noise(r, babble(r, voices, rng), s),
            )
            for snr in SNRS_DB
        ]
    conditions.append(
        Condition(
            "room" if room is not None else f"room, RT60 {RT60_S} s",
            lambda r, _: reverberate(r.audio, response),
        )
    )
    conditions.append(Condition(f"bleed {BLEED_DB:.0f} dB", lambda r, _: bleed(r.audio, BLEED_DB)))
    return conditions


@dataclass(frozen=True)
class ConditionNames:
    """Names conditions; small enough to send with every task.

    Attributes:
        names: the conditions; None names all standard ones.
        voices: dialogues whose speech makes the babble.
        room: file of a measured impulse response; None is a synthetic one.
        seed: seed of all random draws.
    """

    names: tuple[str, ...] | None = ()
    voices: tuple[Dialogue, ...] = ()
    room: Path | None = None
    seed: int = 0

    def make(self) -> list[Condition]:
        """Return the recordings as they are, and then these conditions.

        Raises:
            DialogueError: the room, or a dialogue of the voices, cannot be read.
        """
        if self.names == ():
            return [CLEAN]
        voices = collect_voices([load_recording(one) for one in self.voices])
        room = None if self.room is None else read_room(self.room)
        conditions = standard_conditions(voices, room, self.seed)
        return [CLEAN, *(one for one in conditions if self.names is None or one.name in self.names)]


def as_int16(audio: Samples) -> Samples:
    """Round and clip to the values of 16-bit samples, as float32 in [-1, 1]."""
    return (np.clip(np.round(audio * 32768), -32768, 32767) / 32768).astype(np.float32)


def speech_levels(recording: Recording) -> NDArray[np.float64]:
    """Return the RMS of each channel while its speaker speaks, (2,).

    A channel whose speaker never speaks gets the level of the other channel.
    """
    levels = np.zeros(2)
    for channel, samples in enumerate(recording.audio):
        spoken = spoken_samples(samples, recording.activity[channel])
        levels[channel] = (
            np.sqrt(np.mean(np.square(spoken, dtype=np.float64))) if len(spoken) else 0
        )
    return np.where(levels > 0, levels, levels.max())


def spoken_samples(samples: Samples, active: BoolFrames) -> Samples:
    """Return the samples (N,) that lie in active frames (T,)."""
    return samples[np.repeat(active, FRAME_SAMPLES)[: len(samples)].nonzero()[0]]


def add_noise(recording: Recording, noise: Samples, snr_db: float) -> Samples:
    """Add noise (2, N) of unit RMS, `snr_db` below the speech level of each channel."""
    levels = (speech_levels(recording) * 10 ** (-snr_db / 20)).astype(np.float32)
    return np.asarray(recording.audio + noise * levels[:, None], np.float32)


def white_noise(shape: tuple[int, ...], rng: np.random.Generator) -> Samples:
    """Return white Gaussian noise of unit RMS."""
    return rng.standard_normal(shape, dtype=np.float32)


def collect_voices(recordings: Sequence[Recording]) -> list[Voice]:
    """Collect up to 30 s of speech of every channel, to mix babble from.

    Channels with less than 1 s of speech are left out.
    """
    voices: list[Voice] = []
    for recording in recordings:
        for samples, active in zip(recording.audio, recording.activity, strict=True):
            speech = spoken_samples(samples, active)[: round(VOICE_S * SAMPLE_RATE_HZ)]
            level = (
                float(np.sqrt(np.mean(np.square(speech, dtype=np.float64)))) if len(speech) else 0.0
            )
            if len(speech) >= SAMPLE_RATE_HZ and level > 0:
                voices.append(Voice(recording.id, speech / np.float32(level)))
    return voices


def babble(recording: Recording, voices: Sequence[Voice], rng: np.random.Generator) -> Samples:
    """Return babble for both channels, (2, N), of unit RMS.

    Each channel mixes six voices of other dialogues, without their pauses. The two channels are
    drawn independently.
    """
    others = [voice.speech for voice in voices if voice.dialogue_id != recording.id]
    length = recording.audio.shape[1]
    mixed = np.zeros((2, length), np.float32)
    for channel in np.repeat([0, 1], BABBLE_VOICES):
        speech = others[int(rng.integers(len(others)))]
        mixed[channel] += np.resize(np.roll(speech, int(rng.integers(len(speech)))), length)
    return mixed / np.sqrt(np.mean(mixed**2, axis=1, keepdims=True))


def telephone(audio: Samples) -> Samples:
    """Return the audio after a telephone line, (2, N): 8 kHz, 300-3400 Hz, 8-bit mu-law."""
    import soxr
    from scipy.signal import butter, sosfilt

    band = butter(4, TELEPHONE_BAND_HZ, "bandpass", fs=TELEPHONE_RATE_HZ, output="sos")
    narrow = np.clip(
        sosfilt(band, soxr.resample(audio.T, SAMPLE_RATE_HZ, TELEPHONE_RATE_HZ), axis=0), -1, 1
    )
    coded = np.round(np.sign(narrow) * np.log1p(MU * np.abs(narrow)) / np.log1p(MU) * 127) / 127
    decoded = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(MU)) / MU
    wide = soxr.resample(decoded.astype(np.float32), TELEPHONE_RATE_HZ, SAMPLE_RATE_HZ).T
    length = audio.shape[1]
    return np.pad(wide, ((0, 0), (0, max(0, length - wide.shape[1]))))[:, :length]


def made_room(rng: np.random.Generator) -> Samples:
    """Return a synthetic impulse response at 16 kHz, of unit energy.

    It is a direct sound, then noise that decays by 60 dB in 0.6 s.
    """
    times_s = np.arange(1, round(RT60_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.standard_normal(len(times_s)) * 10 ** (-3 * times_s / RT60_S)
    tail *= 10 ** (-DIRECT_TO_REVERBERANT_DB / 20) / np.sqrt(np.sum(tail**2))
    response = np.concatenate([[1.0], tail])
    return (response / np.sqrt(np.sum(response**2))).astype(np.float32)


def read_room(path: Path) -> Samples:
    """Read a measured impulse response; return it at 16 kHz from its direct sound on, (N,).

    It has unit energy. A file with several channels gives its first channel.

    Raises:
        DialogueError: the file cannot be read, or is silent.
    """
    import soxr

    try:
        sound, rate_hz = sf.read(path, dtype="float32", always_2d=True)
    except (sf.LibsndfileError, OSError) as error:
        raise DialogueError(
            f"{path}: expected an impulse response that libsndfile reads, got: {error}"
        ) from None
    response = soxr.resample(sound[:, 0], rate_hz, SAMPLE_RATE_HZ)
    if not np.any(response):
        raise DialogueError(
            f"{path}: expected an impulse response, got {len(sound)} samples of silence"
        )
    direct = response[int(np.abs(response).argmax()) :]
    return (direct / np.sqrt(np.sum(direct**2))).astype(np.float32)


def reverberate(audio: Samples, response: Samples) -> Samples:
    """Convolve each channel with an impulse response, (2, N); the tail after the end is cut."""
    from scipy.signal import oaconvolve

    return np.asarray(oaconvolve(audio, response[None], axes=1), np.float32)[:, : audio.shape[1]]


def bleed(audio: Samples, level_db: float) -> Samples:
    """Add to each channel the other one, scaled by `level_db` dB."""
    return np.asarray(audio + 10 ** (level_db / 20) * audio[::-1], np.float32)
