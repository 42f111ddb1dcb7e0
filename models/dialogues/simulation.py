"""Two-channel dialogues from recorded utterances and real timing, with exact labels.

(seed, index) determines a dialogue, whatever else is simulated. Its steps are: a style and a plan
of turns (styles.py), two voices (casting.py), what they say (wording.py), phrases of sound
(voice.py) on a time line, and a channel for each side (channel.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import DialogueError
from ..work import HERE, Workers
from .activity import FRAME_RATE_HZ, BoolFrames, Samples, runs
from .casting import Cast
from .channel import Surroundings, read_surroundings, through_channel
from .noise import babble
from .nonspeech import breath_in
from .styles import draw_dialogue_plan
from .synthesis import SYNTHETIC_SET, render_interjections, render_scripts
from .timing import PlannedTurn, read_templates
from .utterances import SAMPLE_RATE_HZ, UtterancePool, decode_set
from .voice import Phrase, Voice

FRAME_SAMPLES = round(SAMPLE_RATE_HZ / FRAME_RATE_HZ)
LENGTHS_S = (120.0, 360.0)  # shortest and longest dialogue
# Play-back speeds, and share of voices that use one: a recorded person then sounds like another.
SPEEDS, OTHER_SPEED_SHARE = (0.9, 1.12), 0.6
CROWDS, CROWD_CLIPS, CROWD_S = 8, 60, 60.0  # number, clips and length of the babble tracks
BREATHER_SHARE = 0.3  # share of speakers with audible breath before phrases
NONSPEECH_PER_MINUTE = 0.8  # mean over speakers; each draws its own rate
# Turn completeness is a target this long before and after an end of speech.
COMPLETENESS_LEAD_S, COMPLETENESS_LAG_S = 0.04, 0.8


class KnownWords(TypedDict):
    """A phrase of known text: channel, start and end of its speech in seconds, and the text."""

    ch: int
    start: float
    end: float
    text: str


@dataclass(frozen=True)
class SimulatedDialogue:
    """A dialogue and its labels.

    Attributes:
        audio: (2, N) int16 at 16 kHz; N is a whole number of frames.
        activity: who speaks, (2, T) at 50 Hz, also for a speaker whose channel is silent.
        backchannel: the part of the activity that is backchannels, (2, T).
        completeness: turn completeness, 0-1, (2, T): around each end of speech and at quiet spots
            inside speech; NaN elsewhere and where there is no score.
        words: phrases of known text, in order of time.
        speakers: id of the main voice of each side.
        style: name of the style.
    """

    audio: NDArray[np.int16]
    activity: BoolFrames
    backchannel: BoolFrames
    completeness: NDArray[np.float16]
    words: list[KnownWords]
    speakers: tuple[str, str]
    style: str


@dataclass(frozen=True)
class SimulationData:
    """The data that dialogues are made from."""

    pool: UtterancePool
    cast: Cast
    templates: Mapping[str, Sequence[Sequence[PlannedTurn]]]
    surroundings: Surroundings


@dataclass(frozen=True)
class PlacedPhrase:
    """A phrase on the time line.

    Attributes:
        speaker: 0 or 1.
        start: sample at which the sound starts; the speech in it may start a little later.
        phrase: the sound.
        backchannel: whether it is a backchannel.
    """

    speaker: int
    start: int
    phrase: Phrase
    backchannel: bool = False

    @property
    def offset(self) -> int:
        return self.start + self.phrase.offset


def open_simulation_data(
    folder: Path,
    cache: Path,
    split: str = "train",
    workers: Workers = HERE,
    synthetic: bool = True,
    completeness: Path | None = None,
) -> SimulationData:
    """Read all data under `folder` (speech/, timing/, scripts/, rooms/ and noise/).

    Args:
        folder: the data.
        cache: folder for decoded clips. What is there already is not decoded again.
        split: "train" or "val": which speakers to use.
        workers: where clips are decoded.
        synthetic: use the neural voice (synthesis.py). Without it, a set of that voice in speech/
            is left out too.
        completeness: folder of turn completeness scores (completeness.py), as written by
            `turnstream pretrain judge`; None for no scores.
    Raises:
        DialogueError: no utterances, or a file that cannot be read.
        MissingExtraError: the neural voice is wanted but not installed.
    """
    sets = sorted(path.parent for path in (folder / "speech").glob("*/manifest.csv"))
    if not synthetic:
        sets = [path for path in sets if path.name != SYNTHETIC_SET]
    if not sets:
        raise DialogueError(f"{folder}: expected utterances in speech/*/manifest.csv, got none")
    if synthetic:
        sets.append(render_interjections(cache))
        if not (folder / "speech" / SYNTHETIC_SET / "manifest.csv").is_file() and any(
            (folder / "scripts").rglob("*.TextGrid")
        ):
            sets.append(render_scripts(folder / "scripts", cache))
    folders = [decode_set(folder, cache, workers) for folder in sets]
    if completeness is not None and not any(
        (completeness / f"{decoded.name}.npz").is_file() for decoded in folders
    ):
        names = ", ".join(decoded.name for decoded in folders)
        raise DialogueError(
            f"{completeness}: expected a judge's scores (`turnstream pretrain judge`) of {names}, "
            "got none"
        )
    pool = UtterancePool(folders, completeness)
    cast = Cast(pool, split)
    if cast.speakers < 2:
        raise DialogueError(
            f"{folder}: expected at least two speakers in split {split!r}, got {cast.speakers}"
        )
    surroundings = read_surroundings(folder)
    surroundings.babble = _crowds(pool, cast)
    return SimulationData(pool, cast, read_templates(folder), surroundings)


def _crowds(pool: UtterancePool, cast: Cast) -> list[Samples]:
    """Make tracks of many voices at once, from speakers of the cast."""
    rng = np.random.default_rng(0)
    spoken = [u for speakers in cast.sets.values() for voice in speakers.values() for u in voice]
    clips = [pool.audio(spoken[i]) for i in rng.integers(len(spoken), size=CROWD_CLIPS)]
    return [
        babble(clips, round(CROWD_S * SAMPLE_RATE_HZ), int(rng.integers(3, 9)), rng)
        for _ in range(CROWDS)
    ]


def planned_length_s(seed: int, index: int, lengths_s: tuple[float, float] = LENGTHS_S) -> float:
    """Approximate length of dialogue `index`, in seconds."""
    return float(np.random.default_rng([seed, index, 0]).uniform(*lengths_s))


def simulate(
    data: SimulationData, seed: int, index: int, lengths_s: tuple[float, float] = LENGTHS_S
) -> SimulatedDialogue:
    """Return dialogue number `index` of `seed`.

    Args:
        data: the data to use.
        seed, index: determine the dialogue.
        lengths_s: shortest and longest planned length in seconds; the true length is about the
            same.
    """
    rng = np.random.default_rng([seed, index, 1])
    length_s = planned_length_s(seed, index, lengths_s)
    manner, turns = draw_dialogue_plan(rng, data.templates, length_s)
    pair = data.cast.draw_pair(rng, manner.machine)
    speeds = [
        float(rng.uniform(*SPEEDS)) if rng.random() < OTHER_SPEED_SHARE else 1.0 for _ in pair
    ]
    voices = [
        Voice(data.pool, utterances, data.cast.interjections, manner, rng, speed)
        for utterances, speed in zip(pair, speeds, strict=True)
    ]
    placed = lay_out(turns, voices, rng, length_s, manner.false_start)
    samples = max(item.start + len(item.phrase.samples) for item in placed) + int(
        rng.uniform(0.2, 1.5) * SAMPLE_RATE_HZ
    )
    frames = samples // FRAME_SAMPLES
    dry = mix(placed, frames * FRAME_SAMPLES)
    activity = label(placed, frames)
    add_nonspeech(dry, activity, voices, rng)
    audio = through_channel(dry, activity, data.surroundings, rng)
    return SimulatedDialogue(
        audio=audio,
        activity=activity,
        backchannel=label([item for item in placed if item.backchannel], frames),
        completeness=label_completeness(placed, frames),
        words=known_words(placed),
        speakers=(pair[0][0].speaker, pair[1][0].speaker),
        style=manner.style,
    )


def lay_out(
    turns: Sequence[PlannedTurn],
    voices: Sequence[Voice],
    rng: np.random.Generator,
    length_s: float,
    false_start: float,
) -> list[PlacedPhrase]:
    """Put the turns, backchannels and false starts on the time line until `length_s` is reached."""
    placed: list[PlacedPhrase] = []
    free_s = [0.0, 0.0]  # when the last speech of each speaker ends
    floor_end_s = last_onset_s = 0.0
    for turn in turns:
        onset_s = max(
            floor_end_s + turn.offset_s, free_s[turn.speaker] + 0.25, last_onset_s + 0.4, 0.05
        )
        other = 1 - turn.speaker
        if placed and turn.offset_s > 0.3 and rng.random() < false_start:
            start_s = onset_s + rng.uniform(-0.15, 0.15)
            if start_s > free_s[other] + 0.25:
                placed.append(_place(other, start_s, voices[other].false_start()))
                free_s[other] = placed[-1].offset / SAMPLE_RATE_HZ
        at_s = onset_s
        spoken: list[PlacedPhrase] = []
        for phrase in voices[turn.speaker].take_turn(turn):
            spoken.append(_place(turn.speaker, at_s, phrase))
            at_s = spoken[-1].offset / SAMPLE_RATE_HZ + phrase.pause_after_s
        placed += spoken
        end_s = spoken[-1].offset / SAMPLE_RATE_HZ
        reactions = _reactions(turn, spoken, voices[other], rng, max(free_s[other], onset_s))
        placed += reactions
        free_s[turn.speaker] = end_s
        free_s[other] = max([free_s[other], *(item.offset / SAMPLE_RATE_HZ for item in reactions)])
        floor_end_s, last_onset_s = max(floor_end_s, end_s), onset_s
        if floor_end_s > length_s:
            break
    return placed


def _place(speaker: int, onset_s: float, phrase: Phrase, backchannel: bool = False) -> PlacedPhrase:
    return PlacedPhrase(
        speaker, round(onset_s * SAMPLE_RATE_HZ) - phrase.onset, phrase, backchannel
    )


def _reactions(
    turn: PlannedTurn,
    spoken: Sequence[PlacedPhrase],
    listener: Voice,
    rng: np.random.Generator,
    free_s: float,
) -> list[PlacedPhrase]:
    """The backchannels of the listener, most of them where a phrase ends."""
    onset_s = (spoken[0].start + spoken[0].phrase.onset) / SAMPLE_RATE_HZ
    end_s = spoken[-1].offset / SAMPLE_RATE_HZ
    ends_s = [item.offset / SAMPLE_RATE_HZ for item in spoken[:-1]]
    reactions: list[PlacedPhrase] = []
    for share in turn.backchannels:
        at_s = onset_s + share * (end_s - onset_s)
        if ends_s and rng.random() < 0.75:
            at_s = min(ends_s, key=lambda end: abs(end - at_s)) + rng.uniform(-0.25, 0.3)
        phrase = listener.backchannel()
        if at_s > free_s + 0.6 and at_s + phrase.offset / SAMPLE_RATE_HZ < end_s - 0.3:
            reactions.append(_place(1 - turn.speaker, at_s, phrase, backchannel=True))
            free_s = reactions[-1].offset / SAMPLE_RATE_HZ
    return reactions


def mix(placed: Sequence[PlacedPhrase], samples: int) -> NDArray[np.float32]:
    """Add up the clean sound of both speakers, (2, samples)."""
    dry = np.zeros((2, samples), np.float32)
    for item in placed:
        start, end = max(item.start, 0), min(item.start + len(item.phrase.samples), samples)
        dry[item.speaker, start:end] += item.phrase.samples[start - item.start : end - item.start]
    return dry


def add_nonspeech(
    dry: NDArray[np.float32],
    activity: BoolFrames,
    voices: Sequence[Voice],
    rng: np.random.Generator,
) -> None:
    """Add laughter, breaths, typing and so on where a speaker is silent.

    This does not depend on who holds the floor. Some speakers also breathe in before some phrases.

    Args:
        dry: clean sound of both speakers, (2, N); changed in place.
        activity: (2, T).
        voices: of both speakers.
        rng: draws everything.
    """
    minutes = dry.shape[1] / SAMPLE_RATE_HZ / 60
    for speaker, voice in enumerate(voices):
        silences = runs(~activity[speaker])
        breathes = rng.random() < BREATHER_SHARE
        for _, onset in silences:
            if breathes and rng.random() < 0.4:
                breath = breath_in(rng) * np.float32(10 ** (rng.uniform(-30, -14) / 20))
                _add_silently(
                    dry[speaker],
                    activity[speaker],
                    breath,
                    onset * FRAME_SAMPLES
                    - round(rng.uniform(0.02, 0.25) * SAMPLE_RATE_HZ)
                    - len(breath),
                )
        for _ in range(rng.poisson(rng.exponential(NONSPEECH_PER_MINUTE) * minutes)):
            start, end = silences[int(rng.integers(len(silences)))] if silences else (0, 0)
            _add_silently(
                dry[speaker],
                activity[speaker],
                voice.nonspeech(),
                int(rng.integers(start, end + 1)) * FRAME_SAMPLES,
            )


def _add_silently(channel: Samples, active: NDArray[np.bool_], sound: Samples, at: int) -> None:
    """Add a sound, unless the speaker talks at that time or the dialogue ends too early."""
    end = at + len(sound)
    if (
        at >= 0
        and end <= len(channel)
        and not active[at // FRAME_SAMPLES : end // FRAME_SAMPLES + 1].any()
    ):
        channel[at:end] += sound


def label(placed: Sequence[PlacedPhrase], frames: int) -> BoolFrames:
    """Activity of these phrases, (2, frames)."""
    active = np.zeros((2, frames), bool)
    for item in placed:
        for start, end in item.phrase.speech:
            active[
                item.speaker,
                max(0, round((item.start + start) / FRAME_SAMPLES)) : round(
                    (item.start + end) / FRAME_SAMPLES
                ),
            ] = True
    return active


def label_completeness(placed: Sequence[PlacedPhrase], frames: int) -> NDArray[np.float16]:
    """Turn completeness, (2, frames) in 0-1; NaN where there is no target.

    There are targets from 0.04 s before each end of speech until the speaker resumes or 0.8 s have
    passed, and at quiet spots inside speech.
    """
    targets = np.full((2, frames), np.nan, np.float16)
    lead, lag = (
        round(COMPLETENESS_LEAD_S * FRAME_RATE_HZ),
        round(COMPLETENESS_LAG_S * FRAME_RATE_HZ),
    )
    for item in sorted(placed, key=lambda item: item.start):
        for (start, end), score in zip(item.phrase.speech, item.phrase.completeness, strict=True):
            first, last = (
                round((item.start + start) / FRAME_SAMPLES),
                round((item.start + end) / FRAME_SAMPLES),
            )
            targets[item.speaker, max(0, first) :] = np.nan  # ends the target of earlier speech
            targets[item.speaker, max(0, last - lead) : max(0, last + lag)] = score
        for stop_point, score in item.phrase.inner:
            targets[item.speaker, max(0, (item.start + stop_point) // FRAME_SAMPLES)] = score
    return targets


def known_words(placed: Sequence[PlacedPhrase]) -> list[KnownWords]:
    """Return the phrases whose text is known, in order of time."""
    return [
        {
            "ch": item.speaker,
            "start": round((item.start + item.phrase.onset) / SAMPLE_RATE_HZ, 3),
            "end": round(item.offset / SAMPLE_RATE_HZ, 3),
            "text": item.phrase.text,
        }
        for item in sorted(placed, key=lambda item: item.start)
        if item.phrase.text
    ]
