"""Speech of one person after another as an endless stream, with what a teacher said of it. No labels, one channel.

Each lane plays a few utterances of a speaker, with pauses between them, then those of another one, on another line: its own loudness, room,
noise and equalisation. Some lines are silent where nobody speaks. Some utterances are cut off at a place that the teacher was asked about,
as where somebody stops to think.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from ..dialogues.activity import Samples
from ..dialogues.channel import Surroundings
from ..dialogues.noise import hiss
from ..dialogues.utterances import SAMPLE_RATE_HZ, Utterance, UtterancePool, is_validation_speaker
from ..errors import ConfigError
from ..teachers.extraction import PAUSE, Extraction
from ..teachers.whisper import FRAME_SAMPLES
from .distillation_settings import DistillationSettings

SPEECH_LEVEL_DB = -26.0
UTTERANCES_PER_SPEAKER = (3, 9)
PAUSES_S = (0.1, 4.0)  # drawn evenly in their logarithm
ROOM_SHARE, NOISE_SHARE, STEADY_SHARE = 0.12, 0.6, 0.5
SNR_DB = (8.0, 45.0)
FADE_SAMPLES = 80  # where an utterance is cut off
GATED_SHARE, GATE_HOLD_S = 0.35, 0.08  # of the lines are silent where nobody speaks, from so long at most after the speech
CONTAMINATED_FRAMES = 10  # before a cut: the teacher's frames there have heard what the network will not
MOST_FRAMES = 32000  # of audio that a lane prepares at once
EQUALISED_SHARE, BAND_SHARE, WARP = 0.6, 0.5, 0.08  # of the lines; WARP is the farthest stretch of the frequency axis


@dataclass(frozen=True)
class SpeechChunk:
    """The next piece of every lane, B lanes of T frames.

    Attributes:
        audio: (B, N) float32.
        line: gain of each mel band of the lane's line, in nats, (B, M).
        warp: stretch of the frequency axis, (B,).
        begins: (B,) bool, another speaker begins.
        frames: components of the teacher's frame that is to be predicted now, in standard deviations, (B, T, K).
        known: where there is one, (B, T).
        places: row, in Extraction.listed, of the place that the words have come to, or that the silence followed; -1 where there is none, (B, T).
    """

    audio: NDArray[np.float32]
    line: NDArray[np.float32]
    warp: NDArray[np.float32]
    begins: NDArray[np.bool_]
    frames: NDArray[np.float32]
    known: NDArray[np.bool_]
    places: NDArray[np.int64]


@dataclass
class _Lane:
    rng: np.random.Generator
    audio: Samples = field(default_factory=lambda: np.zeros(0, np.float32))
    frames: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    known: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    places: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    line: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    warp: float = 1.0
    position: int = 0  # frames played


class SpeechStream:
    """Draws speech without end.

    Lane i has draws of its own, so what it plays depends on no other lane and on no other process.

    Args:
        extraction: what the teacher said of a pool.
        settings: of the distillation.
        surroundings: rooms and noises to draw from.
        lanes: numbers of this process's lanes; all unless given.
        validation: play the speakers that are kept for validation, not the others.
    Raises:
        ConfigError: no speakers.
    """

    def __init__(
        self,
        extraction: Extraction,
        settings: DistillationSettings,
        surroundings: Surroundings,
        lanes: range | None = None,
        *,
        validation: bool = False,
    ) -> None:
        self.settings, self._extraction, self._surroundings = settings, extraction, surroundings
        self._pool: UtterancePool = extraction.pool
        by_speaker: dict[str, list[Utterance]] = {}
        for utterance in self._pool.utterances[: extraction.clips]:
            if is_validation_speaker(utterance.speaker) == validation:
                by_speaker.setdefault(utterance.speaker, []).append(utterance)
        if not by_speaker:
            raise ConfigError("expected speakers of whom the teacher has heard something, got none; extract more clips")
        self._speakers = list(by_speaker.values())
        seconds = np.array([sum(u.speech_s for u in spoken) for spoken in self._speakers])
        self._shares = np.sqrt(seconds) / np.sqrt(seconds).sum()  # who speaks much is heard more often, but not as much more
        clips, at, kinds = extraction.listed()
        self._places: dict[int, list[tuple[int, int, int]]] = {}  # of each clip: sample, row, kind
        for row, (clip, place, kind) in enumerate(zip(clips.tolist(), at.tolist(), kinds.tolist(), strict=True)):
            self._places.setdefault(clip, []).append((place, row, kind))
        numbers = range(settings.lanes) if lanes is None else lanes
        self._lanes = [_Lane(np.random.default_rng([settings.seed, number, int(validation)])) for number in numbers]

    def next_chunk(self) -> SpeechChunk:
        """The next chunk of every lane; what is left of a speaker's session shorter than a chunk is dropped."""
        length = self.settings.chunk_frames
        begins = np.zeros(len(self._lanes), bool)
        for i, lane in enumerate(self._lanes):
            if lane.position + length > len(lane.known):
                self._begin_speaker(lane)
                begins[i] = True
        cut = [(lane, slice(lane.position, lane.position + length)) for lane in self._lanes]
        chunk = SpeechChunk(
            audio=np.stack([lane.audio[part.start * FRAME_SAMPLES : part.stop * FRAME_SAMPLES] for lane, part in cut]),
            line=np.stack([lane.line for lane, _ in cut]),
            warp=np.array([lane.warp for lane, _ in cut], np.float32),
            begins=begins,
            frames=np.stack([lane.frames[part] for lane, part in cut]),
            known=np.stack([lane.known[part] for lane, part in cut]),
            places=np.stack([lane.places[part] for lane, part in cut]),
        )
        for lane in self._lanes:
            lane.position += length
        return chunk

    def _begin_speaker(self, lane: _Lane) -> None:
        rng, width, length = lane.rng, self.settings.components, self.settings.chunk_frames
        delay, reach = round(self.settings.delay_s * 50), round(self.settings.reach_s * 50)
        spoken = self._speakers[int(rng.choice(len(self._speakers), p=self._shares))]
        wanted = int(rng.integers(*UTTERANCES_PER_SPEAKER))
        chosen = [spoken[i] for i in rng.permutation(len(spoken))[:wanted]]
        pieces: list[tuple[int, Samples]] = []
        targets: list[tuple[int, int, int, int]] = []  # stream frame of the clip's first, clip frames first to last, clip
        reached: list[tuple[int, int, int]] = []  # first frame, frames, row
        at = int(rng.integers(5, 50))
        gated = rng.random() < GATED_SHARE
        for utterance in chosen:
            clip, first = self._pool.audio(utterance), max(0, utterance.onset - 1600) // FRAME_SAMPLES
            clip = clip * np.float32(10 ** ((SPEECH_LEVEL_DB - utterance.level_db + rng.uniform(-4, 4)) / 20))
            if gated:
                for start, stop in (*utterance.pauses, (utterance.offset, len(clip))):
                    clip[int(start) + int(rng.uniform(0, GATE_HOLD_S) * SAMPLE_RATE_HZ) : int(stop)] = 0
            places = sorted(self._places.get(utterance.index, []))
            pause = int(np.exp(rng.uniform(*np.log(PAUSES_S))) * 50)
            end = utterance.offset
            heard = len(clip)
            inner = [place for place in places if place[0] < utterance.offset - 1600]
            if inner and rng.random() < self.settings.cut_share:
                end, _, kind = inner[int(rng.integers(len(inner)))]
                own = next((int(b) for a, b in utterance.pauses if a == end), end) if kind == PAUSE else end
                heard = min(own, end + int(rng.uniform(0, 0.3) * SAMPLE_RATE_HZ)) if own > end else end + FADE_SAMPLES
                sound = clip[first * FRAME_SAMPLES : heard].copy()
                sound[-FADE_SAMPLES:] *= np.linspace(1, 0, min(FADE_SAMPLES, len(sound)), dtype=np.float32)[-len(sound) :]
            else:
                sound = clip[first * FRAME_SAMPLES :]
            pieces.append((at, sound))
            whole = end == utterance.offset
            last = min(len(clip), heard) // FRAME_SAMPLES if whole else end // FRAME_SAMPLES - CONTAMINATED_FRAMES
            last = min(last, int(self._extraction.starts[utterance.index + 1] - self._extraction.starts[utterance.index]))
            targets.append((at, first, last, utterance.index))
            stop = at + -(-end // FRAME_SAMPLES) - first  # frames until the speech has been heard
            following = stop + pause
            for place, row, kind in places:
                if place > end:
                    continue
                known_at = at + -(-place // FRAME_SAMPLES) - first - 1  # the frame that ends at the place, or just after it
                if place == end:
                    frames = min(reach, pause) + 1
                elif kind == PAUSE:
                    silence = next((int(b - a) for a, b in utterance.pauses if a == place), 0)
                    frames = max(1, min(reach, silence // FRAME_SAMPLES - 1))
                else:
                    frames = 1
                reached.append((known_at, frames, row))
            at = max(following, at + -(-len(sound) // FRAME_SAMPLES))
        total = max(at + length // 4, length)
        total = -(-total // length) * length
        total = min(total, MOST_FRAMES)
        lane.audio = self._through_line(lane, pieces, total)
        lane.frames = np.zeros((total, width), np.float32)
        lane.known = np.zeros(total, bool)
        lane.places = np.full(total, -1, np.int64)
        for start, first, last, clip in targets:
            teacher = self._extraction.frames(self._pool.utterances[clip])[first:last, :width]
            begin = start + delay
            fits = min(len(teacher), max(0, total - begin))
            lane.frames[begin : begin + fits], lane.known[begin : begin + fits] = teacher[:fits], True
        for begin, frames, row in reached:
            lane.places[max(0, begin) : begin + frames] = row
        lane.position = 0

    def _through_line(self, lane: _Lane, pieces: list[tuple[int, Samples]], total: int) -> Samples:
        rng, around = lane.rng, self._surroundings
        audio = np.zeros(total * FRAME_SAMPLES, np.float32)
        for start, sound in pieces:
            begin = start * FRAME_SAMPLES
            fits = min(len(sound), len(audio) - begin)
            if fits > 0:
                audio[begin : begin + fits] += sound[:fits]
        if around.rooms and rng.random() < ROOM_SHARE:
            room = around.rooms[int(rng.integers(len(around.rooms)))]
            audio = oaconvolve(audio, room, mode="full")[: len(audio)].astype(np.float32)
        if rng.random() < NOISE_SHARE:
            noise = self._noise(rng, len(audio))
            audio = audio + noise * np.float32(10 ** ((SPEECH_LEVEL_DB - rng.uniform(*SNR_DB)) / 20))
        audio = audio * np.float32(10 ** (rng.uniform(-self.settings.gain_db, self.settings.gain_db) / 20))
        bands = self.settings.features.mel_bins
        curve = np.zeros(bands)
        if rng.random() < EQUALISED_SHARE:
            knots = np.linspace(0, bands - 1, 6)
            curve += np.interp(np.arange(bands), knots, rng.normal(0, 1.0, 6))
        if rng.random() < BAND_SHARE:
            low, high = int(rng.integers(0, 9)), int(rng.integers(bands - 10, bands + 1))
            curve[:low] -= rng.uniform(2, 6)
            curve[high:] -= rng.uniform(2, 6)
        lane.line = curve.astype(np.float32)
        lane.warp = float(np.exp(rng.uniform(-WARP, WARP)))
        return np.clip(audio, -1, 1)

    def _noise(self, rng: np.random.Generator, length: int) -> Samples:
        around = self._surroundings
        kind = rng.random()
        if kind < STEADY_SHARE or not (around.noises or around.babble):
            return hiss(length, rng)
        source = around.babble if around.babble and (kind > 0.8 or not around.noises) else around.noises
        noise = source[int(rng.integers(len(source)))]
        level = float(np.sqrt(np.mean(noise**2))) + 1e-9
        return np.resize(np.roll(noise, int(rng.integers(len(noise)))), length) / np.float32(level)
