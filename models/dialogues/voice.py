"""One speaker of a simulated dialogue: turns planned turns into phrases of recorded speech.

Turns end where an utterance ends; pauses fall where the recorded speaker paused, between words, after a drawn-out vowel or a
filled pause, and, less often, between two sentences. Where a teacher said how finished
the words sound (finality.py), ends are sought where they do and pauses where they do not, as far as the manner asks for it.
Every phrase keeps a piece of the recording's own silence after it, of a length drawn alike for pauses and for ends of turns, so that
the cut does not tell them apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import soxr

from .activity import Samples, level_db
from .nonspeech import draw_nonspeech
from .psola import contour, fade, filled_pause, listener_hum, sustain
from .styles import Manner
from .timing import PlannedTurn
from .utterances import SAMPLE_RATE_HZ, UNFINISHED, UNKNOWN, Utterance, UtterancePool

SPEECH_LEVEL_DB = -26.0  # every phrase is brought to this RMS, give or take
SHORTEST_PHRASE = round(0.2 * SAMPLE_RATE_HZ)
# Mean loudness 0.2-0.05 s before the end, re the phrase. That of holds is lower because hesitations, which are level, are holds too.
TURN_END_DEPTH_DB, HOLD_DEPTH_DB = -7.0, -9.5
FILLER_FINALITY = 0.02  # a filled pause is as unfinished as can be
DOUBTFUL = 0.5  # finality where nobody said
EVENED_SHARE = 0.6  # of the speakers whose ends are evened out in loudness
INNER_SILENCE_S = 0.2  # inner silences from here on count as silence in the labels


@dataclass
class Phrase:
    """Sound of one stretch of speech.

    Attributes:
        samples: (N,) at 16 kHz.
        speech: where in it the speaker is active, in samples; in order, never empty.
        finality: how finished it sounds where each of these ends, 0-1; NaN where nobody said.
        pause_after_s: silence before the speaker's next phrase of the same turn.
    """

    samples: Samples
    speech: list[tuple[int, int]]
    finality: list[float]
    pause_after_s: float = 0.0

    @property
    def onset(self) -> int:
        return self.speech[0][0]

    @property
    def offset(self) -> int:
        return self.speech[-1][1]


@dataclass(frozen=True)
class _Take:
    utterance: Utterance
    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class _Break:
    take: int
    end: int  # last sample of speech before it
    resume: int  # first sample of speech after it
    position: float  # speech so far in the turn, seconds
    kind: str  # "pause", "dip" or "sentence"
    finality: float


def _is_apart(place: _Break, chosen: Iterable[tuple[_Break, float]]) -> bool:
    """Is there a phrase's worth of speech between this place and every chosen one?"""
    return all(place.take != b.take or place.end - b.resume >= SHORTEST_PHRASE or b.end - place.resume >= SHORTEST_PHRASE for b, _ in chosen)


@dataclass
class Voice:
    """A speaker: recorded utterances of one person (or of people who sound alike), and a manner of speaking."""

    pool: UtterancePool
    utterances: Sequence[Utterance]
    interjections: Sequence[Utterance]
    manner: Manner
    rng: np.random.Generator
    speed: float = 1.0  # of play-back, so that one recorded person makes several speakers
    _used: Counter[int] = field(default_factory=Counter[int])
    evened: bool = field(init=False)

    def __post_init__(self) -> None:
        self.evened = bool(self.rng.random() < EVENED_SHARE)

    def take_turn(self, turn: PlannedTurn) -> list[Phrase]:
        """Phrases for one turn; their number is that of its parts, more where sentences meet or natural pauses are drawn out."""
        takes = self._choose_takes(min(sum(turn.parts_s), 30.0), turn.finished)
        breaks = self._choose_breaks(takes, turn)
        phrases: list[Phrase] = []
        if self.rng.random() < 0.04:
            phrases += self._hesitation(takes[0].utterance)
        for i, take in enumerate(takes):
            clip = self.pool.audio(take.utterance)
            start = take.start
            for place, pause_s in breaks:
                if place.take == i:
                    phrases.append(self._phrase(take.utterance, clip, start, place.end, pause_s, holds=True))
                    if self.rng.random() < self.manner.filler:
                        phrases += self._hesitation(take.utterance)
                    start = place.resume
            if i + 1 == len(takes):
                phrases.append(self._phrase(take.utterance, clip, start, take.end, 0.0, holds=False))
        return phrases

    def backchannel(self) -> Phrase:
        """A short listener's reaction: hummed in the own voice, a spoken "yeah", or a short stretch of own speech."""
        kind = self.rng.random()
        spoken = self._interjection() if kind < 0.45 and self.interjections else None
        sound = spoken if spoken is not None else self._hum() if kind < 0.85 else self._mumble()
        return self._levelled(sound, [(0, len(sound))], [np.nan], float(self.rng.uniform(-10, 0)))

    def false_start(self) -> Phrase:
        """The first 0.2-0.6 s of an utterance, broken off."""
        utterance = self._any()
        end = min(utterance.onset + round(self.rng.uniform(0.2, 0.6) * SAMPLE_RATE_HZ), utterance.offset)
        return self._phrase(utterance, self.pool.audio(utterance), utterance.onset, end, 0.0, holds=False)

    def nonspeech(self) -> Samples:
        """A sound of the speaker's that is no speech, (N,): laughter, a breath, a cough, typing."""
        utterance = self._any()
        return draw_nonspeech(self.rng, self.pool.audio(utterance), utterance.vowel, utterance.vowel_hz, utterance.pitch_hz)

    def _any(self) -> Utterance:
        return self.utterances[int(self.rng.integers(len(self.utterances)))]

    def _choose_takes(self, target_s: float, finished: bool) -> list[_Take]:
        """Pieces of utterances that together last about `target_s`; those before the last are sentences, or stop inside one."""
        takes: list[_Take] = []
        wanted = max(target_s, 0.3) * SAMPLE_RATE_HZ * self.speed
        remaining = wanted
        while True:
            same = takes[-1].utterance.speaker if takes else None
            remaining = max(remaining, 0.3 * SAMPLE_RATE_HZ)
            take = self._best_take(remaining, finished, same)
            more = remaining - take.length >= max(0.35 * wanted, 0.8 * SAMPLE_RATE_HZ) and len(takes) < 5
            if more and self.rng.random() < self.manner.run_on:
                take = self._best_take(remaining, False, same)
            self._used[take.utterance.index] += 1
            takes.append(take)
            remaining -= take.length
            if not more:
                return takes

    def _best_take(self, wanted: float, finished: bool, same_speaker: str | None) -> _Take:
        best, best_cost = None, np.inf
        for utterance in (self._any() for _ in range(14)):
            cost = 0.4 * self._used[utterance.index]
            if same_speaker is not None and utterance.speaker != same_speaker:
                cost += 0.7
            if finished:
                cost += {UNFINISHED: 1.5, UNKNOWN: 0.3}.get(utterance.finished, 0.0)
                options = [(utterance.onset, utterance.offset, 0.0), *((int(b), utterance.offset, 0.15) for _, b in utterance.pauses)]
                options += [(int(dip), utterance.offset, 0.5) for dip in utterance.dips]
            else:
                options = [(utterance.onset, int(dip), 0.1) for dip in utterance.dips]
                options += [(utterance.onset, int(a), 0.0) for a, _ in utterance.pauses] or [(utterance.onset, utterance.offset, 1.0)]
            for start, end, extra in options:
                if end - start < 0.15 * SAMPLE_RATE_HZ:
                    continue
                misfit = abs(np.log((end - start) / wanted))
                unlike = self.manner.legibility * abs(float(finished) - utterance.finality.get(end, DOUBTFUL))
                if cost + extra + misfit + unlike < best_cost:
                    best, best_cost = _Take(utterance, start, end), cost + extra + misfit + unlike
        if best is None:
            whole = self._any()
            best = _Take(whole, whole.onset, whole.offset)
        return best

    def _choose_breaks(self, takes: Sequence[_Take], turn: PlannedTurn) -> list[tuple[_Break, float]]:
        """Breaks with their pauses: the planned ones at the nearest good place, all sentence boundaries, some natural pauses drawn out."""
        candidates: list[_Break] = []
        before = 0
        for i, take in enumerate(takes):
            u = take.utterance
            first, last = take.start + SHORTEST_PHRASE, take.end - SHORTEST_PHRASE
            inside = [(int(a), int(b)) for a, b in u.pauses if first < a and b < last]
            places = [(a, b, "pause") for a, b in inside] + [(int(d), int(d), "dip") for d in u.dips if first < d < last]
            candidates += [_Break(i, a, b, (before + a - take.start) / SAMPLE_RATE_HZ / self.speed, kind, u.finality.get(a, DOUBTFUL)) for a, b, kind in places]
            before += take.length
            if i + 1 < len(takes):
                candidates.append(_Break(i, take.end, take.end, before / SAMPLE_RATE_HZ / self.speed, "sentence", u.finality.get(take.end, DOUBTFUL)))
        chosen: dict[tuple[int, int], tuple[_Break, float]] = {}
        for at_s, part_s, pause_s in zip(np.cumsum(turn.parts_s), turn.parts_s, turn.pauses_s, strict=False):
            penalty = {"pause": 0.0, "dip": -0.3 if self.rng.random() < self.manner.mid_phrase else 0.5, "sentence": 0.3}
            free = [c for c in candidates if _is_apart(c, chosen.values())]
            if free:
                place = min(free, key=lambda c: abs(c.position - at_s) / max(part_s, 0.5) + penalty[c.kind] + self.manner.legibility * c.finality)
                chosen[place.take, place.end] = (place, pause_s)
        for c in candidates:
            wanted = c.kind == "sentence" or (c.kind == "pause" and self.rng.random() < self.manner.stretch)
            if wanted and (c.kind == "sentence" or _is_apart(c, chosen.values())) and (c.take, c.end) not in chosen:
                chosen[c.take, c.end] = (c, self.manner.draw_pause_s(self.rng))
        return sorted(chosen.values(), key=lambda item: (item[0].take, item[0].end))

    def _phrase(self, utterance: Utterance, clip: Samples, start: int, end: int, pause_s: float, holds: bool) -> Phrase:
        """Cut out clip[start:end] with some of the silence around it; a hold may be drawn out."""
        silence_before = [start - b for b in (0, *utterance.pauses[:, 0]) if b <= start] if start == utterance.onset or start in utterance.pauses[:, 1] else [0]
        silence_after = [a - end for a in (len(clip), *utterance.pauses[:, 1]) if a >= end] if end == utterance.offset or end in utterance.pauses[:, 0] else [0]
        lead = min(min(silence_before), round(self.rng.uniform(0.02, 0.15) * SAMPLE_RATE_HZ))
        tail = min(min(silence_after), self._kept_silence())
        sound = clip[start - lead : end + tail]
        speech = [(lead, lead + end - start)]
        finality = [utterance.finality.get(end, np.nan)]
        for a, b in utterance.pauses:
            if start < a and b < end and b - a >= INNER_SILENCE_S * SAMPLE_RATE_HZ:
                last = speech.pop()
                speech += [(last[0], lead + int(a) - start), (lead + int(b) - start, last[1])]
                finality.insert(-1, utterance.finality.get(int(a), np.nan))
                sound = self._hush(sound, *(edge - start + lead for edge in (int(a), int(b))))
        if holds and self.rng.random() < self.manner.lengthen:
            sound, longer = self._lengthen(sound, speech[-1][1], utterance.pitch_hz)
            speech[-1] = (speech[-1][0], speech[-1][1] + longer)
            finality[-1] = np.nan if longer else finality[-1]  # the teacher did not hear it like this
        if self.evened:
            sound = self._even_end(sound, speech[-1][1], HOLD_DEPTH_DB if holds else TURN_END_DEPTH_DB)
        sound = fade(sound, min(0.01, lead / SAMPLE_RATE_HZ + 0.004), np.clip(0.6 * tail / SAMPLE_RATE_HZ, 0.012, 0.08))
        return self._levelled(sound, speech, finality, float(self.rng.normal(0, 1.5)), pause_s, utterance.level_db)

    def _kept_silence(self) -> int:
        """How much of the recording's own silence is kept after speech, in samples."""
        return round(self.rng.uniform(0.0, 0.25) * SAMPLE_RATE_HZ)

    def _hush(self, sound: Samples, start: int, end: int) -> Samples:
        """Take the recording's own noise out of an inner silence, as it is taken out after a phrase."""
        keep, lead = self._kept_silence(), round(0.03 * SAMPLE_RATE_HZ)
        middle = end - start - keep - lead
        if middle <= 0:
            return sound
        ramp = min(round(0.03 * SAMPLE_RATE_HZ), middle // 2)
        gain = np.interp(np.arange(middle), (0, ramp, middle - ramp, middle), (1.0, 0.0, 0.0, 1.0)).astype(np.float32)
        hushed = sound.copy()
        hushed[start + keep : end - lead] *= gain
        return hushed

    def _even_end(self, sound: Samples, offset: int, mean_depth_db: float) -> Samples:
        """Ramp the last 0.3 s towards a loudness that pauses and ends of turns have alike.

        Read sentences die away far more than the ends of turns in calls do; left as it is, loudness would be all there is to learn.
        """
        start, near_end = offset - round(0.3 * SAMPLE_RATE_HZ), slice(max(0, offset - round(0.2 * SAMPLE_RATE_HZ)), offset - round(0.05 * SAMPLE_RATE_HZ))
        level = level_db(sound[max(0, offset - SAMPLE_RATE_HZ) : offset], SAMPLE_RATE_HZ)
        if start < 0 or len(level) < 40:
            return sound
        depth_db = 10 * np.log10(float(np.mean(sound[near_end].astype(np.float64) ** 2)) + 1e-12) - float(np.percentile(level, 90))
        change_db = float(np.clip(0.9 * (self.rng.normal(mean_depth_db, 4.0) - depth_db), -12, 12))
        gain = np.interp(np.arange(start, len(sound)), (start, start + 0.15 * SAMPLE_RATE_HZ), (0.0, change_db))
        evened = sound.copy()
        evened[start:] *= (10 ** (gain / 20)).astype(np.float32)
        return evened

    def _lengthen(self, sound: Samples, offset: int, pitch_hz: float) -> tuple[Samples, int]:
        """Hold the last voiced sound within 0.2 s before `offset` for a little longer."""
        window = round(0.03 * SAMPLE_RATE_HZ)
        if pitch_hz <= 0:
            return sound, 0
        best, where, lag_at = 0.5, -1, 0
        lags = np.arange(round(SAMPLE_RATE_HZ / pitch_hz / 1.4), round(SAMPLE_RATE_HZ / pitch_hz * 1.4))
        for at in range(offset - round(0.2 * SAMPLE_RATE_HZ), offset - round(0.03 * SAMPLE_RATE_HZ), 160):
            if at - window < 0 or at + window + lags[-1] > len(sound):
                continue
            frame = sound[at : at + window]
            shifted = sound[(at + lags)[:, None] + np.arange(window)]
            strength = shifted @ frame / np.sqrt((shifted**2).sum(axis=1) * (frame @ frame) + 1e-9)
            if strength.max() > best:
                best, where, lag_at = strength.max(), at, int(lags[strength.argmax()])
        if where < 0:
            return sound, 0
        here_hz = SAMPLE_RATE_HZ / lag_at
        held = sustain(sound, where, here_hz, contour(self.rng, here_hz, here_hz * self.rng.uniform(0.93, 1.02), self.rng.uniform(0.06, 0.3)), self.rng)
        cross = min(round(0.01 * SAMPLE_RATE_HZ), len(held) // 2, where, len(sound) - where)
        ramp = np.linspace(0, 1, cross, dtype=np.float32)
        held[:cross] = held[:cross] * ramp + sound[where : where + cross] * (1 - ramp)
        held[-cross:] = held[-cross:] * (1 - ramp) + sound[where : where + cross] * ramp
        return np.concatenate([sound[:where], held, sound[where + cross :]]), len(held) - cross

    def _hesitation(self, utterance: Utterance) -> list[Phrase]:
        if utterance.vowel < 0:
            return []
        sound = filled_pause(self.pool.audio(utterance), utterance.vowel, utterance.vowel_hz, utterance.pitch_hz, self.rng)
        return [self._levelled(sound, [(0, len(sound))], [FILLER_FINALITY], float(self.rng.uniform(-10, -3)), self.manner.draw_pause_s(self.rng))]

    def _hum(self) -> Samples:
        utterance = self._any()
        if utterance.vowel < 0:
            return self._mumble()
        return listener_hum(self.pool.audio(utterance), utterance.vowel, utterance.vowel_hz, utterance.pitch_hz, self.rng)

    def _interjection(self) -> Samples:
        """A spoken reaction of the voice nearest in pitch, its pitch shifted by resampling."""
        own_hz = self._any().pitch_hz or 150.0
        several = [self.interjections[i] for i in self.rng.integers(len(self.interjections), size=20)]
        spoken = min(several, key=lambda u: abs(np.log((u.pitch_hz or 150.0) / own_hz)))
        sound = self.pool.audio(spoken)[spoken.onset : spoken.offset]
        speed = float(np.clip(own_hz / (spoken.pitch_hz or 150.0), 0.85, 1.18) * self.rng.uniform(0.95, 1.05))
        at = np.arange(0, len(sound) - 1, speed)
        return fade(np.interp(at, np.arange(len(sound)), sound).astype(np.float32), 0.005, 0.02)

    def _mumble(self) -> Samples:
        utterance = self._any()
        length = min(round(self.rng.uniform(0.2, 0.5) * SAMPLE_RATE_HZ), utterance.offset - utterance.onset)
        return fade(self.pool.audio(utterance)[utterance.offset - length : utterance.offset], 0.02, 0.02)

    def _levelled(
        self, sound: Samples, speech: list[tuple[int, int]], finality: list[float], change_db: float, pause_s: float = 0.0, level: float | None = None
    ) -> Phrase:
        """The phrase at its loudness and speed."""
        measured = 10 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-9) if level is None else level
        gain = 10 ** ((SPEECH_LEVEL_DB + change_db - measured) / 20)
        sound = (sound * min(gain, 100.0)).astype(np.float32)
        if self.speed != 1.0:
            sound = soxr.resample(sound, SAMPLE_RATE_HZ * self.speed, SAMPLE_RATE_HZ, quality="LQ")
            speech = [(round(start / self.speed), min(round(end / self.speed), len(sound))) for start, end in speech]
        return Phrase(sound, speech, finality, pause_s)
