"""One speaker of a simulated dialogue: turns planned turns into phrases of recorded speech.

wording.py chooses what is said and where it pauses. Here the pieces are cut out of the recordings,
lengthened before some pauses, joined by filled pauses, and brought to one loudness and speed.
Where the recorded speaker stops, a phrase keeps a piece of the recording's own silence. Its length
is drawn in the same way for pauses and for ends of turns, so that the cut does not reveal which it
is. A cut between words keeps no silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import soxr

from .activity import Samples, level_db
from .nonspeech import draw_nonspeech
from .psola import contour, fade, filled_pause, listener_hum, sustain
from .styles import Manner
from .timing import PlannedTurn
from .utterances import SAMPLE_RATE_HZ, Utterance, UtterancePool
from .wording import Wording

SPEECH_LEVEL_DB = -26.0  # mean RMS of phrases
# Mean loudness 0.2-0.05 s before the end, relative to the phrase. The value for holds is lower
# because hesitations, whose level is even, are holds too.
TURN_END_DEPTH_DB, HOLD_DEPTH_DB = -7.0, -9.5
FILLER_COMPLETENESS = 0.02  # turn completeness after a filled pause: close to none
LENGTHENED_ENDS = 0.5  # how often ends of turns are lengthened, relative to holds
EVENED_SHARE = 0.6  # share of speakers whose phrase ends are evened in loudness
INNER_SILENCE_S = 0.2  # silences inside a phrase from this length on are labelled as silence


@dataclass
class Phrase:
    """The sound of one phrase.

    Attributes:
        samples: (N,) at 16 kHz.
        speech: start and end of each stretch of speech, in samples; in order, never empty.
        completeness: turn completeness at the end of each stretch, 0-1; NaN where it is not scored.
        inner: turn completeness at quiet spots inside the stretches: (sample, score).
        pause_after_s: silence before the speaker's next phrase of the same turn.
        text: the known text: a whole utterance, or "... " and the last word if only the end of it
            is used; "" if not known.
    """

    samples: Samples
    speech: list[tuple[int, int]]
    completeness: list[float]
    inner: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    pause_after_s: float = 0.0
    text: str = ""

    @property
    def onset(self) -> int:
        return self.speech[0][0]

    @property
    def offset(self) -> int:
        return self.speech[-1][1]


@dataclass
class Voice:
    """A speaker: recorded utterances of one person, or of similar voices, and a speaking style.

    Attributes:
        pool: holds the sound of the utterances.
        utterances: of this speaker.
        interjections: short spoken reactions of others, for backchannels; may be empty.
        manner: the speaking style.
        rng: draws everything.
        speed: play-back speed, by which one recorded person serves as several speakers.
        evened: whether the loudness at the ends of phrases is made nearly the same for pauses and
            ends of turns.
    """

    pool: UtterancePool
    utterances: Sequence[Utterance]
    interjections: Sequence[Utterance]
    manner: Manner
    rng: np.random.Generator
    speed: float = 1.0
    evened: bool = field(init=False)
    _wording: Wording = field(init=False)

    def __post_init__(self) -> None:
        self.evened = bool(self.rng.random() < EVENED_SHARE)
        self._wording = Wording(self.utterances, self.manner, self.rng, self.speed)

    def take_turn(self, turn: PlannedTurn) -> list[Phrase]:
        """Return the phrases of one turn.

        There is one phrase for each planned part, if there are enough places to pause. There are
        more if recordings are joined, natural pauses are lengthened, or the speaker hesitates.
        """
        takes = self._wording.choose_takes(min(sum(turn.parts_s), 30.0), turn.finished)
        breaks = self._wording.choose_breaks(takes, turn)
        phrases: list[Phrase] = []
        if self.rng.random() < 0.04:
            phrases += self._hesitation(takes[0].utterance)
        for i, take in enumerate(takes):
            clip = self.pool.audio(take.utterance)
            start = take.start
            for place, pause_s in breaks:
                if place.take == i:
                    phrases.append(
                        self._phrase(take.utterance, clip, start, place.end, pause_s, holds=True)
                    )
                    if self.rng.random() < self.manner.filler:
                        phrases += self._hesitation(take.utterance)
                    start = place.resume
            if i + 1 == len(takes):
                phrases.append(
                    self._phrase(take.utterance, clip, start, take.end, 0.0, holds=False)
                )
        return phrases

    def backchannel(self) -> Phrase:
        """A listener's short reaction: a hum, a spoken "yeah", or the end of an own utterance."""
        kind = self.rng.random()
        spoken = self._interjection() if kind < 0.45 and self.interjections else None
        sound = spoken if spoken is not None else self._hum() if kind < 0.85 else self._mumble()
        return self._levelled(sound, [(0, len(sound))], [np.nan], float(self.rng.uniform(-10, 0)))

    def false_start(self) -> Phrase:
        """The first 0.2-0.6 s of an utterance, then broken off."""
        utterance = self._wording.any_utterance()
        end = min(
            utterance.onset + round(self.rng.uniform(0.2, 0.6) * SAMPLE_RATE_HZ), utterance.offset
        )
        # If the end lies in a pause, stop where the pause starts.
        end = min([end, *(int(a) for a, b in utterance.pauses if a < end <= b)])
        return self._phrase(
            utterance, self.pool.audio(utterance), utterance.onset, end, 0.0, holds=False
        )

    def nonspeech(self) -> Samples:
        """A sound of the speaker that is not speech, (N,): laughter, a breath, a cough, typing."""
        utterance = self._wording.any_utterance()
        return draw_nonspeech(
            self.rng,
            self.pool.audio(utterance),
            utterance.vowel,
            utterance.vowel_hz,
            utterance.pitch_hz,
        )

    def _phrase(
        self, utterance: Utterance, clip: Samples, start: int, end: int, pause_s: float, holds: bool
    ) -> Phrase:
        """Cut out clip[start:end] with some silence around it, and maybe lengthen its end."""
        silence_before = (
            [start - b for b in (0, *utterance.pauses[:, 0]) if b <= start]
            if start == utterance.onset or start in utterance.pauses[:, 1]
            else [0]
        )
        silence_after = (
            [a - end for a in (len(clip), *utterance.pauses[:, 1]) if a >= end]
            if end == utterance.offset or end in utterance.pauses[:, 0]
            else [0]
        )
        lead = min(min(silence_before), round(self.rng.uniform(0.01, 0.06) * SAMPLE_RATE_HZ))
        tail = self._kept_silence()
        own = min(min(silence_after), tail)
        spoken = clip[start - lead : end + own]
        if own == 0:
            spoken = fade(spoken, 0.0, self.rng.uniform(0.015, 0.06))  # cut between words
        sound = np.concatenate([spoken, self._room_tone(clip, utterance, tail - own)])
        speech = [(lead, lead + end - start)]
        completeness = [utterance.completeness.get(end, np.nan)]
        for a, b in utterance.pauses:
            if start < a and b < end and b - a >= INNER_SILENCE_S * SAMPLE_RATE_HZ:
                last = speech.pop()
                speech += [(last[0], lead + int(a) - start), (lead + int(b) - start, last[1])]
                completeness.insert(-1, utterance.completeness.get(int(a), np.nan))
                sound = self._hush(sound, *(edge - start + lead for edge in (int(a), int(b))))
        if self.rng.random() < self.manner.lengthen * (1.0 if holds else LENGTHENED_ENDS):
            sound, longer = self._lengthen(sound, speech[-1], utterance.pitch_hz)
            speech[-1] = (speech[-1][0], speech[-1][1] + longer)
            # The score is for the recorded end, not for a lengthened one.
            completeness[-1] = np.nan if longer else completeness[-1]
        if self.evened:
            sound = self._even_end(
                sound, speech[-1][1], HOLD_DEPTH_DB if holds else TURN_END_DEPTH_DB
            )
        sound = fade(
            sound,
            min(0.01, lead / SAMPLE_RATE_HZ + 0.004),
            np.clip(0.6 * tail / SAMPLE_RATE_HZ, 0.012, 0.08),
        )
        phrase = self._levelled(
            sound, speech, completeness, float(self.rng.normal(0, 1.5)), pause_s, utterance.level_db
        )
        phrase.text = _text(utterance, start, end)
        spots = [
            int(dip)
            for dip in utterance.dips
            if start < dip < end and int(dip) in utterance.completeness
        ]
        phrase.inner = [
            (round((lead + dip - start) / self.speed), utterance.completeness[dip]) for dip in spots
        ]
        return phrase

    def _kept_silence(self) -> int:
        """Length of the recording's own silence to keep after speech, in samples."""
        return round(self.rng.uniform(0.0, 0.25) * SAMPLE_RATE_HZ)

    def _room_tone(self, clip: Samples, utterance: Utterance, length: int) -> Samples:
        """The silence of the recording before its speech, looped to (length,).

        It fills the tail after a phrase where the recorded pause is too short.
        """
        before = clip[: max(0, utterance.onset - round(0.03 * SAMPLE_RATE_HZ))]
        return (
            np.resize(before, length)
            if len(before) >= round(0.05 * SAMPLE_RATE_HZ)
            else np.zeros(length, np.float32)
        )

    def _hush(self, sound: Samples, start: int, end: int) -> Samples:
        """Fade out the recording's noise inside an inner silence, as after the end of a phrase."""
        keep, lead = self._kept_silence(), round(0.03 * SAMPLE_RATE_HZ)
        middle = end - start - keep - lead
        if middle <= 0:
            return sound
        ramp = min(round(0.03 * SAMPLE_RATE_HZ), middle // 2)
        gain = np.interp(
            np.arange(middle), (0, ramp, middle - ramp, middle), (1.0, 0.0, 0.0, 1.0)
        ).astype(np.float32)
        hushed = sound.copy()
        hushed[start + keep : end - lead] *= gain
        return hushed

    def _even_end(self, sound: Samples, offset: int, mean_depth_db: float) -> Samples:
        """Ramp the last 0.3 s towards a loudness that pauses and ends of turns nearly share.

        Read sentences fade much more than ends of turns in calls. Without this step a network would
        learn loudness alone.
        """
        start, near_end = (
            offset - round(0.3 * SAMPLE_RATE_HZ),
            slice(
                max(0, offset - round(0.2 * SAMPLE_RATE_HZ)), offset - round(0.05 * SAMPLE_RATE_HZ)
            ),
        )
        level = level_db(sound[max(0, offset - SAMPLE_RATE_HZ) : offset], SAMPLE_RATE_HZ)
        if start < 0 or len(level) < 40:
            return sound
        depth_db = 10 * np.log10(
            float(np.mean(sound[near_end].astype(np.float64) ** 2)) + 1e-12
        ) - float(np.percentile(level, 90))
        change_db = float(np.clip(0.9 * (self.rng.normal(mean_depth_db, 4.0) - depth_db), -12, 12))
        # The gain returns to 0 dB within 50 ms, so that the silence after the end keeps its level.
        bends = (
            start,
            start + 0.15 * SAMPLE_RATE_HZ,
            offset,
            offset + 0.05 * SAMPLE_RATE_HZ,
        )
        gain = np.interp(np.arange(start, len(sound)), bends, (0.0, change_db, change_db, 0.0))
        evened = sound.copy()
        evened[start:] *= (10 ** (gain / 20)).astype(np.float32)
        return evened

    def _lengthen(
        self, sound: Samples, speech: tuple[int, int], pitch_hz: float
    ) -> tuple[Samples, int]:
        """Hold the most periodic sound in the last 0.2 s of a stretch of speech a little longer.

        Returns:
            The new sound, and the number of samples added (0 where no sound is periodic enough).
        """
        onset, offset = speech
        window = round(0.03 * SAMPLE_RATE_HZ)
        if pitch_hz <= 0:
            return sound, 0
        best, where, lag_at = 0.5, -1, 0
        lags = np.arange(
            round(SAMPLE_RATE_HZ / pitch_hz / 1.4), round(SAMPLE_RATE_HZ / pitch_hz * 1.4)
        )
        for at in range(
            offset - round(0.2 * SAMPLE_RATE_HZ), offset - round(0.03 * SAMPLE_RATE_HZ), 160
        ):
            if at < onset or at - window < 0 or at + window + lags[-1] > len(sound):
                continue
            frame = sound[at : at + window]
            shifted = sound[(at + lags)[:, None] + np.arange(window)]
            strength = shifted @ frame / np.sqrt((shifted**2).sum(axis=1) * (frame @ frame) + 1e-9)
            if strength.max() > best:
                best, where, lag_at = strength.max(), at, int(lags[strength.argmax()])
        if where < 0:
            return sound, 0
        here_hz = SAMPLE_RATE_HZ / lag_at
        held = sustain(
            sound,
            where,
            here_hz,
            contour(
                self.rng,
                here_hz,
                here_hz * self.rng.uniform(0.93, 1.02),
                self.rng.uniform(0.06, 0.3),
            ),
            self.rng,
        )
        cross = min(round(0.01 * SAMPLE_RATE_HZ), len(held) // 2, where, len(sound) - where)
        ramp = np.linspace(0, 1, cross, dtype=np.float32)
        held[:cross] = held[:cross] * ramp + sound[where : where + cross] * (1 - ramp)
        held[-cross:] = held[-cross:] * (1 - ramp) + sound[where : where + cross] * ramp
        return np.concatenate([sound[:where], held, sound[where + cross :]]), len(held) - cross

    def _hesitation(self, utterance: Utterance) -> list[Phrase]:
        if utterance.vowel < 0:
            return []
        sound = filled_pause(
            self.pool.audio(utterance),
            utterance.vowel,
            utterance.vowel_hz,
            utterance.pitch_hz,
            self.rng,
        )
        return [
            self._levelled(
                sound,
                [(0, len(sound))],
                [FILLER_COMPLETENESS],
                float(self.rng.uniform(-10, -3)),
                self.manner.draw_pause_s(self.rng),
            )
        ]

    def _hum(self) -> Samples:
        utterance = self._wording.any_utterance()
        if utterance.vowel < 0:
            return self._mumble()
        return listener_hum(
            self.pool.audio(utterance),
            utterance.vowel,
            utterance.vowel_hz,
            utterance.pitch_hz,
            self.rng,
        )

    def _interjection(self) -> Samples:
        """A spoken reaction by the voice nearest in pitch, pitch-shifted by resampling."""
        own_hz = self._wording.any_utterance().pitch_hz or 150.0
        several = [
            self.interjections[i] for i in self.rng.integers(len(self.interjections), size=20)
        ]
        spoken = min(several, key=lambda u: abs(np.log((u.pitch_hz or 150.0) / own_hz)))
        sound = self.pool.audio(spoken)[spoken.onset : spoken.offset]
        speed = float(
            np.clip(own_hz / (spoken.pitch_hz or 150.0), 0.85, 1.18) * self.rng.uniform(0.95, 1.05)
        )
        at = np.arange(0, len(sound) - 1, speed)
        return fade(np.interp(at, np.arange(len(sound)), sound).astype(np.float32), 0.005, 0.02)

    def _mumble(self) -> Samples:
        utterance = self._wording.any_utterance()
        start = utterance.offset - round(self.rng.uniform(0.2, 0.5) * SAMPLE_RATE_HZ)
        start = max([start, utterance.onset, *(int(b) for _, b in utterance.pauses)])
        return fade(self.pool.audio(utterance)[start : utterance.offset], 0.02, 0.02)

    def _levelled(
        self,
        sound: Samples,
        speech: list[tuple[int, int]],
        completeness: list[float],
        change_db: float,
        pause_s: float = 0.0,
        level: float | None = None,
    ) -> Phrase:
        """Return the phrase at its loudness and speed."""
        measured = (
            10 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-9) if level is None else level
        )
        gain = 10 ** ((SPEECH_LEVEL_DB + change_db - measured) / 20)
        sound = (sound * min(gain, 100.0)).astype(np.float32)
        if self.speed != 1.0:
            sound = soxr.resample(sound, SAMPLE_RATE_HZ * self.speed, SAMPLE_RATE_HZ, quality="LQ")
            speech = [
                (round(start / self.speed), min(round(end / self.speed), len(sound)))
                for start, end in speech
            ]
        return Phrase(sound, speech, completeness, pause_after_s=pause_s)


def _text(utterance: Utterance, start: int, end: int) -> str:
    words = utterance.transcript.split()
    if end != utterance.offset or not words:
        return ""
    return utterance.transcript if start == utterance.onset else f"... {words[-1]}"
