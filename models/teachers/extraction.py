"""Run a teacher on a pool of utterances and store the result: every frame, and every stop point.

A stop point is a sample of a clip at which the speaker could stop (`place` in the files). A folder
holds, for the clips of a pool in its order:

    components.npz   principal components of the teacher's frames: mean (C,), basis (C, K),
                     scale (K,), explained (K,)
    frames.int8      (frames of all clips, K) int8: components in units of scale / QUANTUM
    places.npz       clip, place (a sample of the clip) and kind of every stop point, in the
                     order in which they are processed; the names of the sets
    places.float16   (stop points done so far, WINDOWS * C): the teacher's last frames when
                     only silence follows the stop point

The frames come from one run per clip, on the whole clip. Each stop point has its own run, on the
audio up to it. Both files only grow, so their sizes show where to resume an interrupted
extraction. Stop points are processed in random order, so an extraction may also be stopped early.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...stream.errors import ConfigError
from ..dialogues.utterances import SAMPLE_RATE_HZ, Utterance, UtterancePool
from ..work import HERE, Workers, map_tasks
from .whisper import FRAME_SAMPLES, LONGEST_S, Samples, WhisperEncoder

COMPONENTS, FRAMES, STOP_POINTS, EMBEDDINGS = (
    "components.npz",
    "frames.int8",
    "places.npz",
    "places.float16",
)
QUANTUM = 24  # int8 steps per standard deviation: a range of +-5.3 standard deviations
FIT_CLIPS = 600  # number of clips on which the principal components are fitted
# The means of these groups of last frames are kept: (first, last), counted back from the end.
WINDOWS = ((10, 0), (25, 10), (60, 25))
SILENCE_S = 0.2  # silence after a stop point, part of the input
CONTEXT_S = 10.0  # longest input before a stop point
# Kinds of stop point: end of the clip's speech, inner pause, quiet spot between words, other.
END, PAUSE, DIP, CUT = range(4)
HASTE = {END: 3.0, PAUSE: 2.0, DIP: 1.0, CUT: 1.0}  # kinds with more haste come earlier
SPEECH_PER_INNER_STOP_POINT_S = 1.6  # speech per dip or cut

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Components:
    """Principal components of a teacher's frames.

    Attributes:
        mean: mean frame, (C,).
        basis: directions of the components, (C, K).
        scale: standard deviation of each component, (K,).
        explained: share of the variance that each component explains, (K,).
    """

    mean: Floats
    basis: Floats
    scale: Floats
    explained: Floats

    @classmethod
    def fit(cls, frames: Floats, count: int) -> Components:
        """Fit the first `count` components of frames (T, C)."""
        mean = frames.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(frames - mean, rowvar=False))
        order = np.argsort(values)[::-1][:count]
        return cls(
            mean,
            vectors[:, order].astype(np.float32),
            np.sqrt(values[order]).astype(np.float32),
            (values[order] / values.sum()).astype(np.float32),
        )

    def quantise(self, frames: Floats) -> NDArray[np.int8]:
        """Return frames (T, C) as int8 components (T, K)."""
        return np.clip(
            np.round((frames - self.mean) @ self.basis / self.scale * QUANTUM), -127, 127
        ).astype(np.int8)

    def save(self, path: Path) -> None:
        np.savez(path, mean=self.mean, basis=self.basis, scale=self.scale, explained=self.explained)

    @classmethod
    def load(cls, path: Path) -> Components:
        with np.load(path) as stored:
            return cls(**{name: stored[name] for name in ("mean", "basis", "scale", "explained")})


def clip_frames(samples: int) -> int:
    """Return the number of frames that a teacher gives for a clip of `samples` samples."""
    return -(-min(samples, round(LONGEST_S * SAMPLE_RATE_HZ)) // FRAME_SAMPLES)


class Extraction:
    """The teacher's outputs for a pool, as far as they have been extracted.

    Args:
        folder: the folder; the module docstring lists its files.
        pool: the utterances that were extracted.
    Raises:
        ConfigError: the folder holds no extraction, or that of another pool.
    """

    def __init__(self, folder: Path, pool: UtterancePool) -> None:
        for name in (COMPONENTS, FRAMES, STOP_POINTS, EMBEDDINGS):
            if not (folder / name).is_file():
                raise ConfigError(
                    f"{folder}: expected what a teacher said of the utterances "
                    f"(`turnstream pretrain teacher`), got no {name}"
                )
        _refuse_others(folder, pool)
        self.folder, self.pool = folder, pool
        self.components = Components.load(folder / COMPONENTS)
        lengths = np.array([clip_frames(pool.samples(u)) for u in pool.utterances], np.int64)
        self.starts = np.concatenate([[0], np.cumsum(lengths)])  # first frame of each clip

    @property
    def width(self) -> int:
        """Number of components per frame, K."""
        return len(self.components.scale)

    @cached_property
    def _frames(self) -> NDArray[np.int8]:
        done = (self.folder / FRAMES).stat().st_size // self.width
        if not done:  # an empty file cannot be mapped
            return np.zeros((0, self.width), np.int8)
        return np.memmap(self.folder / FRAMES, np.int8, "r", shape=(done, self.width))

    @cached_property
    def clips(self) -> int:
        """Number of clips whose frames are there; they are the first ones of the pool."""
        return int(np.searchsorted(self.starts, len(self._frames), side="right")) - 1

    def frames(self, utterance: Utterance) -> Floats:
        """Return the components of each frame of a clip, in standard deviations, (T, K)."""
        start, end = self.starts[utterance.index], self.starts[utterance.index + 1]
        frames: Floats = self._frames[start:end].astype(np.float32)
        return np.divide(frames, QUANTUM, dtype=np.float32)

    def listed(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]:
        """Return clip, sample and kind of every stop point in processing order, (L,) each."""
        with np.load(self.folder / STOP_POINTS) as listed:
            return listed["clip"], listed["place"], listed["kind"]

    def stop_points(
        self,
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8], NDArray[np.float16]]:
        """Return the stop points that are done: clip, sample, kind and embedding.

        The first three are (P,). The embeddings are the teacher's averaged last frames, (P,
        WINDOWS * C).
        """
        channels = len(WINDOWS) * len(self.components.mean)
        embeddings = np.fromfile(self.folder / EMBEDDINGS, np.float16)
        embeddings = embeddings[: len(embeddings) // channels * channels].reshape(-1, channels)
        clips, stop_points, kinds = self.listed()
        done = len(embeddings)
        return clips[:done], stop_points[:done], kinds[:done], embeddings


def extract(
    folder: Path,
    cached_sets: Sequence[Path],
    *,
    teacher: Path | None = None,
    components: int = 128,
    most_stop_points: int | None = None,
    workers: Workers = HERE,
    seed: int = 0,
) -> None:
    """Run the teacher on every clip, then on every stop point, and write the folder.

    Results that are there already are kept.

    Args:
        folder: the folder; the module docstring lists its files.
        cached_sets: decoded sets (utterances.decode_set).
        teacher: a Whisper model in CTranslate2's format; None is Whisper-base from its packages.
        components: number of components to keep per frame.
        most_stop_points: number of stop points to process; None processes all.
        workers: where the teacher runs; each process loads its own.
        seed: draws the clips for the principal components, the stop points and their order.
    Raises:
        MissingExtraError, ConfigError: the teacher cannot be loaded.
        ConfigError: `components` is less than 1, or the folder was made of other utterances.
    """
    if components < 1:
        raise ConfigError(f"expected at least one component of a frame to keep, got {components}")
    folder.mkdir(parents=True, exist_ok=True)
    pool = UtterancePool(cached_sets)
    if not (folder / COMPONENTS).is_file():
        chosen = np.random.default_rng(seed).permutation(len(pool.utterances))[:FIT_CLIPS]
        encoder = WhisperEncoder(teacher)
        sample = [
            encoder.encode([_whole(pool, pool.utterances[i])])[0]
            for i in tqdm(chosen, desc="principal components", unit="clip")
        ]
        Components.fit(np.concatenate(sample), components).save(folder / COMPONENTS)
    if not (folder / STOP_POINTS).is_file():
        clips, stop_points, kinds = zip(*_shuffled(list_stop_points(pool, seed), seed), strict=True)
        columns = {
            "clip": np.array(clips, np.int32),
            "place": np.array(stop_points, np.int32),
            "kind": np.array(kinds, np.int8),
        }
        np.savez(folder / STOP_POINTS, **columns, sets=np.array(pool.sets))
    _refuse_others(folder, pool)
    needs = _Needs(tuple(cached_sets), teacher, folder)
    try:
        _extract_frames(needs, pool, workers)
        _extract_stop_points(needs, most_stop_points, workers)
    finally:
        _open.cache_clear()


def _refuse_others(folder: Path, pool: UtterancePool) -> None:
    with np.load(folder / STOP_POINTS) as listed:
        theirs = tuple(listed["sets"].tolist())
    if theirs != pool.sets:
        raise ConfigError(
            f"{folder}: expected the utterances that it was made of ({', '.join(theirs)}), got "
            f"{', '.join(pool.sets)}"
        )


def list_stop_points(pool: UtterancePool, seed: int) -> Iterator[tuple[int, int, int]]:
    """Yield (clip, sample, kind) of the stop points.

    These are the end and the pauses of every clip, and some dips and cuts inside its speech.
    """
    for utterance in pool.utterances:
        yield utterance.index, utterance.offset, END
        for start, _ in utterance.pauses:
            yield utterance.index, int(start), PAUSE
        rng = np.random.default_rng([seed, utterance.index])
        wanted = int(utterance.speech_s / SPEECH_PER_INNER_STOP_POINT_S + rng.random())
        dips = rng.permutation(utterance.dips)[: (wanted + 1) // 2]
        for stop_point in dips:
            yield utterance.index, int(stop_point), DIP
        low, high = (
            utterance.onset + round(0.4 * SAMPLE_RATE_HZ),
            utterance.offset - round(0.2 * SAMPLE_RATE_HZ),
        )
        cuts = wanted - len(dips) if high > low else 0
        for stop_point in rng.uniform(low, max(low, high), size=cuts):
            if not any(start <= stop_point <= end for start, end in utterance.pauses):
                yield utterance.index, int(stop_point), CUT


def clip_until(clip: Samples, utterance: Utterance, stop_point: int) -> Samples:
    """Return the clip up to a stop point, with SILENCE_S of silence after it.

    The silence is that of the recording as far as it lasts, then digital silence. At most
    CONTEXT_S before the stop point are kept.
    """
    silence = round(SILENCE_S * SAMPLE_RATE_HZ)
    own = {int(start): int(end - start) for start, end in utterance.pauses} | {
        utterance.offset: len(clip) - utterance.offset
    }
    kept = min(own.get(stop_point, 0), silence)
    start = max(0, stop_point - round(CONTEXT_S * SAMPLE_RATE_HZ))
    return np.pad(clip[start : stop_point + kept], (0, silence - kept))


def embed_end(encoder: WhisperEncoder, audio: Samples) -> NDArray[np.float16]:
    """Return the teacher's last frames, averaged over each of WINDOWS, (WINDOWS * C,).

    Short clips are padded with silence in front.
    """
    shortest = WINDOWS[-1][0] * FRAME_SAMPLES
    (frames,) = encoder.encode([np.pad(audio, (max(0, shortest - len(audio)), 0))])
    return np.concatenate(
        [frames[len(frames) - first : len(frames) - last].mean(axis=0) for first, last in WINDOWS]
    ).astype(np.float16)


@dataclass(frozen=True)
class _Needs:
    """What a process opens to run the teacher."""

    sets: tuple[Path, ...]
    teacher: Path | None
    folder: Path


def _extract_frames(needs: _Needs, pool: UtterancePool, workers: Workers) -> None:
    components = Components.load(needs.folder / COMPONENTS)
    lengths = np.array([clip_frames(pool.samples(u)) for u in pool.utterances], np.int64) * len(
        components.scale
    )
    ends = np.cumsum(lengths)
    path = needs.folder / FRAMES
    done = int(np.searchsorted(ends, path.stat().st_size if path.is_file() else 0, side="right"))
    todo = range(done, len(pool.utterances))
    with path.open("ab") as out:
        out.truncate(int(ends[done - 1]) if done else 0)  # drops an unfinished clip
        run = partial(_frames_of, needs)
        for frames in map_tasks(run, todo, workers, desc="teacher, frames", done=done):
            out.write(frames.tobytes())


def _extract_stop_points(needs: _Needs, most: int | None, workers: Workers) -> None:
    with np.load(needs.folder / STOP_POINTS) as listed:
        stop_points = list(zip(listed["clip"].tolist(), listed["place"].tolist(), strict=True))
    size = 2 * len(WINDOWS) * len(Components.load(needs.folder / COMPONENTS).mean)
    path = needs.folder / EMBEDDINGS
    done = path.stat().st_size // size if path.is_file() else 0
    with path.open("ab") as out:
        out.truncate(done * size)
        run, todo = partial(_embedding_of, needs), stop_points[done:most]
        for embedded in map_tasks(run, todo, workers, desc="teacher, stop points", done=done):
            out.write(embedded.tobytes())


@lru_cache(maxsize=1)
def _open(needs: _Needs) -> tuple[UtterancePool, WhisperEncoder, Components]:
    """Each process opens the data once, for all of its tasks."""
    return (
        UtterancePool(needs.sets),
        WhisperEncoder(needs.teacher),
        Components.load(needs.folder / COMPONENTS),
    )


def _frames_of(needs: _Needs, clip: int) -> NDArray[np.int8]:
    pool, encoder, components = _open(needs)
    (frames,) = encoder.encode([_whole(pool, pool.utterances[clip])])
    return components.quantise(frames)


def _embedding_of(needs: _Needs, stop_point: tuple[int, int]) -> NDArray[np.float16]:
    pool, encoder, _ = _open(needs)
    utterance = pool.utterances[stop_point[0]]
    return embed_end(encoder, clip_until(pool.audio(utterance), utterance, stop_point[1]))


def _whole(pool: UtterancePool, utterance: Utterance) -> Samples:
    return pool.audio(utterance)[: round(LONGEST_S * SAMPLE_RATE_HZ)]


def _shuffled(stop_points: Iterable[tuple[int, int, int]], seed: int) -> list[tuple[int, int, int]]:
    """Return the stop points in random order; kinds with more HASTE tend to come earlier.

    Source: Efraimidis & Spirakis 2006.
    """
    listed = list(stop_points)
    haste = np.array([HASTE[kind] for _, _, kind in listed])
    keys = np.random.default_rng(seed).random(len(listed)) ** (1 / haste)
    return [listed[i] for i in np.argsort(-keys)]
