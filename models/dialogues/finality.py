"""How finished recorded words sound at each place where their speaker could stop: at the end and at pauses.

A teacher (smart_turn.py) says so once for every clip of a decoded set. The simulator lets turns end where words sound finished and
be held where they do not, and the network learns to say what the teacher said.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..smart_turn import SmartTurn
from .activity import Samples
from .utterances import FINALITY, SAMPLE_RATE_HZ, Utterance, UtterancePool

SILENCE_SAMPLES = round(0.2 * SAMPLE_RATE_HZ)  # what the teacher hears after the words, as where it is used

_teacher: SmartTurn | None = None  # one per worker process
_pool: UtterancePool | None = None


def ensure_finality(folder: Path, jobs: int = 1) -> None:
    """Have the teacher score every place of a decoded set that has no score yet, and keep the scores beside the clips.

    Raises:
        MissingExtraError: the teacher is not installed.
    """
    pool = UtterancePool([folder])
    todo = [(u.index, missing) for u in pool.utterances if (missing := [place for place in stopping_places(u) if place not in u.finality])]
    if not todo:
        return
    scores = {u.index: dict(u.finality) for u in pool.utterances}
    with ExitStack() as stack:
        if jobs > 1:
            workers = stack.enter_context(ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_open, initargs=(folder,)))
            scored = workers.map(_score, todo, chunksize=8)
        else:
            _open(folder)
            scored = map(_score, todo)
        for index, found in tqdm(scored, total=len(todo), desc=f"teacher on {pool.utterances[0].set_name}", unit="clip"):
            scores[index] |= found
    rows = [(index, place, score) for index, places in scores.items() for place, score in places.items()]
    write_finality(folder, rows)


def write_finality(folder: Path, rows: Iterable[tuple[int, int, float]]) -> None:
    """Keep (clip, place, score) of a decoded set."""
    clips, places, values = zip(*rows, strict=True)
    unfinished = folder / f"unfinished-{FINALITY}"
    np.savez_compressed(unfinished, clip=np.array(clips, np.int32), place=np.array(places, np.int32), score=np.array(values, np.float32))
    unfinished.replace(folder / FINALITY)


def stopping_places(utterance: Utterance) -> list[int]:
    """Samples at which the speaker stops: the end of speech, and the starts of pauses. Not inside words: there the teacher guesses."""
    return [utterance.offset, *(int(start) for start, _ in utterance.pauses)]


def heard_until(clip: Samples, utterance: Utterance, place: int) -> Samples:
    """The clip up to a place, and the silence after it: the recording's own as far as it goes."""
    own = {int(start): int(end - start) for start, end in utterance.pauses} | {utterance.offset: len(clip) - utterance.offset}
    silence = min(own.get(place, 0), SILENCE_SAMPLES)
    return np.pad(clip[: place + silence], (0, SILENCE_SAMPLES - silence))


def _open(folder: Path) -> None:
    global _teacher, _pool
    _teacher, _pool = SmartTurn(), UtterancePool([folder])


def _score(todo: tuple[int, list[int]]) -> tuple[int, dict[int, float]]:
    assert _teacher is not None
    assert _pool is not None
    index, places = todo
    utterance = _pool.utterances[index]
    clip = _pool.audio(utterance)
    scores = _teacher.scores([heard_until(clip, utterance, place) for place in places])
    return index, dict(zip(places, scores.tolist(), strict=True))
