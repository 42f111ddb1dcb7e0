"""An endless stream of single speakers, with the output of a teacher as targets. No torch.

There is one channel, and there are no labels. Each batch row plays a few utterances of a speaker
with pauses between them, and then those of another speaker under other recording conditions:
loudness, room, noise and equalisation. Some recordings are silent where nobody speaks. Some
utterances are cut off at a stop point that the teacher was asked about, as if the speaker stopped
to think.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from ...stream.errors import ConfigError
from ..dialogues.activity import FRAME_RATE_HZ, Samples
from ..dialogues.channel import Surroundings
from ..dialogues.noise import hiss, looped
from ..dialogues.utterances import SAMPLE_RATE_HZ, Utterance, UtterancePool, is_validation_speaker
from ..teachers.extraction import PAUSE, Extraction
from ..teachers.whisper import FRAME_SAMPLES
from .settings import DistillationSettings

SPEECH_LEVEL_DB = -26.0
UTTERANCES_PER_SPEAKER = (3, 9)
PAUSES_S = (0.1, 4.0)  # log-uniform
STEADY_SHARE = 0.5  # share of the noises that are a steady hiss
SNR_DB = (8.0, 45.0)
# Samples of a clip that are kept before its speech. A cut lies at least as far before its end.
LEAD_SAMPLES = 1600
FADE_SAMPLES = 80  # fade-out of an utterance that is cut off
# Longest time from the end of the speech to the silence of a recording that is gated.
GATE_HOLD_S = 0.08
# Frames before a cut that are no targets: the teacher's output depends on audio after the cut.
CONTAMINATED_FRAMES = 10
MOST_FRAMES = 32000  # largest length of the audio that a batch row prepares at once
# Shares of recordings with an equalisation and with attenuated lowest and highest bands. WARP is
# the largest stretch of the frequency axis, in nats.
EQUALISED_SHARE, BAND_SHARE, WARP = 0.6, 0.5, 0.08


@dataclass(frozen=True)
class SpeechChunk:
    """The next chunk of every batch row: B rows of T frames.

    Attributes:
        audio: (B, N) float32.
        line: gain of each mel band in the row's recording, in nats, (B, M).
        warp: factor that stretches the frequency axis, (B,).
        begins: (B,) bool, another speaker begins.
        frames: target of this frame: components of the teacher's frame, in standard deviations,
            (B, T, K).
        known: where `frames` holds a target, (B, T).
        stop_points: row, in Extraction.listed, of the stop point that the speech has just reached,
            or that the present silence follows; -1 where there is none, (B, T).
    """

    audio: NDArray[np.float32]
    line: NDArray[np.float32]
    warp: NDArray[np.float32]
    begins: NDArray[np.bool_]
    frames: NDArray[np.float32]
    known: NDArray[np.bool_]
    stop_points: NDArray[np.int64]


@dataclass(frozen=True)
class _Piece:
    """An utterance in a stream.

    Attributes:
        at: frame of the stream at which the sound begins.
        sound: samples that are played.
        first, last: frames of the clip for which the teacher's output is a target, `last`
            excluded. The sound begins at `first` too.
        end: sample of the clip at which the speech ends.
        pause: frames of silence after the speech.
        next_frame: frame of the stream at which the next piece begins.
    """

    utterance: Utterance
    at: int
    sound: Samples
    first: int
    last: int
    end: int
    pause: int
    next_frame: int


@dataclass
class _BatchRow:
    rng: np.random.Generator
    audio: Samples = field(default_factory=lambda: np.zeros(0, np.float32))
    frames: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    known: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    stop_points: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    line: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    warp: float = 1.0
    position: int = 0  # frames played


class SpeechStream:
    """An endless stream of speech.

    Each batch row has its own random generator. So its content depends neither on the other rows
    nor on the process that holds it.

    Args:
        extraction: output of the teacher for a pool of utterances.
        settings: settings of the distillation.
        surroundings: rooms and noises to draw from.
        batch_rows: numbers of this process's rows; default: all rows.
        validation: play the speakers that are reserved for validation, not the others.
    Raises:
        ConfigError: there are no such speakers.
    """

    def __init__(
        self,
        extraction: Extraction,
        settings: DistillationSettings,
        surroundings: Surroundings,
        batch_rows: range | None = None,
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
            raise ConfigError(
                "expected speakers of whom the teacher has heard something, got none; extract "
                "more clips"
            )
        self._speakers = list(by_speaker.values())
        seconds = np.array([sum(u.speech_s for u in spoken) for spoken in self._speakers])
        # A speaker with more speech comes more often, but less than in proportion to it.
        self._shares = np.sqrt(seconds) / np.sqrt(seconds).sum()
        clips, at, kinds = extraction.listed()
        self._stop_points: dict[int, list[tuple[int, int, int]]] = {}  # by clip: sample, row, kind
        for row, (clip, stop_point, kind) in enumerate(
            zip(clips.tolist(), at.tolist(), kinds.tolist(), strict=True)
        ):
            self._stop_points.setdefault(clip, []).append((stop_point, row, kind))
        numbers = range(settings.batch_rows) if batch_rows is None else batch_rows
        self._batch_rows = [
            _BatchRow(np.random.default_rng([settings.seed, number, int(validation)]))
            for number in numbers
        ]

    def next_chunk(self) -> SpeechChunk:
        """Return the next chunk of every row.

        If less than a chunk of a speaker's session is left, it is dropped.
        """
        length = self.settings.chunk_frames
        begins = np.zeros(len(self._batch_rows), bool)
        for i, batch_row in enumerate(self._batch_rows):
            if batch_row.position + length > len(batch_row.known):
                self._begin_speaker(batch_row)
                begins[i] = True
        cut = [
            (batch_row, slice(batch_row.position, batch_row.position + length))
            for batch_row in self._batch_rows
        ]
        chunk = SpeechChunk(
            audio=np.stack(
                [
                    batch_row.audio[part.start * FRAME_SAMPLES : part.stop * FRAME_SAMPLES]
                    for batch_row, part in cut
                ]
            ),
            line=np.stack([batch_row.line for batch_row, _ in cut]),
            warp=np.array([batch_row.warp for batch_row, _ in cut], np.float32),
            begins=begins,
            frames=np.stack([batch_row.frames[part] for batch_row, part in cut]),
            known=np.stack([batch_row.known[part] for batch_row, part in cut]),
            stop_points=np.stack([batch_row.stop_points[part] for batch_row, part in cut]),
        )
        for batch_row in self._batch_rows:
            batch_row.position += length
        return chunk

    def _begin_speaker(self, batch_row: _BatchRow) -> None:
        """Draw a speaker and a recording, and prepare the audio and targets of the session."""
        rng, length = batch_row.rng, self.settings.chunk_frames
        spoken = self._speakers[int(rng.choice(len(self._speakers), p=self._shares))]
        wanted = int(rng.integers(*UTTERANCES_PER_SPEAKER))
        chosen = [spoken[i] for i in rng.permutation(len(spoken))[:wanted]]
        at = int(rng.integers(5, 50))
        gated = rng.random() < self.settings.gated_share
        pieces: list[_Piece] = []
        for utterance in chosen:
            pieces.append(self._draw_piece(utterance, at, gated, rng))
            at = pieces[-1].next_frame
        total = min(-(-max(at + length // 4, length) // length) * length, MOST_FRAMES)
        batch_row.audio = self._through_line(batch_row, pieces, total)
        self._set_targets(batch_row, pieces, total)
        batch_row.position = 0

    def _draw_piece(
        self, utterance: Utterance, at: int, gated: bool, rng: np.random.Generator
    ) -> _Piece:
        """Return an utterance that begins at a frame of the stream, and the pause after it.

        The utterance is whole, or cut off at one of its stop points.
        """
        clip, first = (
            self._pool.audio(utterance),
            max(0, utterance.onset - LEAD_SAMPLES) // FRAME_SAMPLES,
        )
        clip = clip * np.float32(
            10 ** ((SPEECH_LEVEL_DB - utterance.level_db + rng.uniform(-4, 4)) / 20)
        )
        if gated:
            for start, stop in (*utterance.pauses, (utterance.offset, len(clip))):
                clip[int(start) + int(rng.uniform(0, GATE_HOLD_S) * SAMPLE_RATE_HZ) : int(stop)] = 0
        pause = int(np.exp(rng.uniform(*np.log(PAUSES_S))) * FRAME_RATE_HZ)
        pauses = {int(start): int(stop) for start, stop in utterance.pauses}
        inner = [
            stop_point
            for stop_point, _, _ in self._stop_points_of(utterance)
            if stop_point < utterance.offset - LEAD_SAMPLES
        ]
        if inner and rng.random() < self.settings.cut_share:
            end = inner[int(rng.integers(len(inner)))]
            silence_end = pauses.get(end, end)
            sound_end = (
                min(silence_end, end + int(rng.uniform(0, 0.3) * SAMPLE_RATE_HZ))
                if silence_end > end
                else end + FADE_SAMPLES
            )
            sound = clip[first * FRAME_SAMPLES : sound_end].copy()
            sound[-FADE_SAMPLES:] *= np.linspace(
                1, 0, min(FADE_SAMPLES, len(sound)), dtype=np.float32
            )
            last = end // FRAME_SAMPLES - CONTAMINATED_FRAMES
        else:
            end, sound, last = (
                utterance.offset,
                clip[first * FRAME_SAMPLES :],
                len(clip) // FRAME_SAMPLES,
            )
        stop = at - first + -(-end // FRAME_SAMPLES)  # frame of the stream after the speech
        return _Piece(
            utterance,
            at,
            sound,
            first,
            last,
            end,
            pause,
            max(stop + pause, at + -(-len(sound) // FRAME_SAMPLES)),
        )

    def _set_targets(self, batch_row: _BatchRow, pieces: list[_Piece], total: int) -> None:
        width, delay = self.settings.components, round(self.settings.delay_s * FRAME_RATE_HZ)
        batch_row.frames = np.zeros((total, width), np.float32)
        batch_row.known = np.zeros(total, bool)
        batch_row.stop_points = np.full(total, -1, np.int64)
        for piece in pieces:
            teacher = self._extraction.frames(piece.utterance)[piece.first : piece.last, :width]
            begin = piece.at + delay
            fits = min(len(teacher), max(0, total - begin))
            batch_row.frames[begin : begin + fits], batch_row.known[begin : begin + fits] = (
                teacher[:fits],
                True,
            )
            for begin, frames, row in self._reached(piece):
                batch_row.stop_points[max(0, begin) : begin + frames] = row

    def _reached(self, piece: _Piece) -> Iterator[tuple[int, int, int]]:
        """Yield first frame, number of frames and row of every stop point that a piece reaches."""
        reach = round(self.settings.reach_s * FRAME_RATE_HZ)
        silences = {
            int(start): int(stop - start) // FRAME_SAMPLES for start, stop in piece.utterance.pauses
        }
        for stop_point, row, kind in self._stop_points_of(piece.utterance):
            if stop_point > piece.end:
                continue
            if stop_point == piece.end:
                frames = min(reach, piece.pause) + 1
            else:
                frames = max(1, min(reach, silences.get(stop_point, 0) - 1)) if kind == PAUSE else 1
            # The first frame ends at the stop point or just after it.
            yield (piece.at - piece.first + -(-stop_point // FRAME_SAMPLES) - 1, frames, row)

    def _stop_points_of(self, utterance: Utterance) -> list[tuple[int, int, int]]:
        return sorted(self._stop_points.get(utterance.index, []))

    def _through_line(self, batch_row: _BatchRow, pieces: list[_Piece], total: int) -> Samples:
        rng, around = batch_row.rng, self._surroundings
        audio = np.zeros(total * FRAME_SAMPLES, np.float32)
        for piece in pieces:
            begin = piece.at * FRAME_SAMPLES
            fits = min(len(piece.sound), len(audio) - begin)
            if fits > 0:
                audio[begin : begin + fits] += piece.sound[:fits]
        if around.rooms and rng.random() < self.settings.room_share:
            room = around.rooms[int(rng.integers(len(around.rooms)))]
            audio = oaconvolve(audio, room, mode="full")[: len(audio)].astype(np.float32)
        if rng.random() < self.settings.noise_share:
            noise = self._noise(rng, len(audio))
            audio = audio + noise * np.float32(
                10 ** ((SPEECH_LEVEL_DB - rng.uniform(*SNR_DB)) / 20)
            )
        audio = audio * np.float32(
            10 ** (rng.uniform(-self.settings.gain_db, self.settings.gain_db) / 20)
        )
        bands = self.settings.features.mel_bins
        curve = np.zeros(bands)
        if rng.random() < EQUALISED_SHARE:
            knots = np.linspace(0, bands - 1, 6)
            curve += np.interp(np.arange(bands), knots, rng.normal(0, 1.0, 6))
        if rng.random() < BAND_SHARE:
            low, high = int(rng.integers(0, 9)), int(rng.integers(bands - 10, bands + 1))
            curve[:low] -= rng.uniform(2, 6)
            curve[high:] -= rng.uniform(2, 6)
        batch_row.line = curve.astype(np.float32)
        batch_row.warp = float(np.exp(rng.uniform(-WARP, WARP)))
        return np.clip(audio, -1, 1)

    def _noise(self, rng: np.random.Generator, length: int) -> Samples:
        around = self._surroundings
        kind = rng.random()
        if kind < STEADY_SHARE or not (around.noises or around.babble):
            return hiss(length, rng)
        source = (
            around.babble if around.babble and (kind > 0.8 or not around.noises) else around.noises
        )
        return looped(source[int(rng.integers(len(source)))], length, rng)
