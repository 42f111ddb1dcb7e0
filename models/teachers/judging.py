"""Fit judges on real calls, and score with them: the stop points of utterances, and the calls.

The files of the folder are listed in judge_files.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...stream.errors import DialogueError
from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames, runs
from ..dialogues.annotation import load_annotated
from ..dialogues.completeness import COMPLETENESS, write_completeness
from ..dialogues.manifest import Dialogue
from ..work import HERE, Workers, map_tasks
from .extraction import SILENCE_S, Extraction, embed_end
from .judge import (
    MOMENTS_S,
    CallSilences,
    Judge,
    channel_until,
    embed_silences,
    fit_judge,
    fit_text_judge,
    held_out,
    join_silences,
    labelled_stop_points,
    load_silences,
    save_silences,
)
from .judge_files import ALL, HELD_OUT, WITHOUT, judge_path, scores_path
from .saved_judge import SavedJudge
from .stop_point_space import StopPointSpace
from .whisper import FRAME_SAMPLES, SAMPLE_RATE_HZ, WhisperEncoder

SPEECH_EVERY_S = 0.6  # time between two moments in speech
SILENCE_MOMENTS_S = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.2, 3.0)  # times into a silence
COMPONENTS = 128  # components of an embedding that a judge uses

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Moments:
    """Moments of some calls, embedded by the teacher.

    Attributes:
        call, speaker, frame: call, speaker and last frame of each moment, (M,) each.
        embeddings: (M, D).
    """

    call: NDArray[np.int64]
    speaker: NDArray[np.int64]
    frame: NDArray[np.int64]
    embeddings: NDArray[np.float16]


def judge_calls(
    calls: Sequence[Dialogue],
    extraction: Extraction,
    out: Path,
    *,
    teacher: Path | None = None,
    each: bool = False,
    workers: Workers = HERE,
) -> dict[str, float]:
    """Fit judges on calls and write the folder.

    The teacher does not run again on calls that it has embedded already.

    Args:
        calls: real calls, at least three.
        extraction: the same teacher's outputs for utterances.
        out: the folder to write.
        teacher: as for `extraction.extract`.
        each: also write the judges and scores named without_CALL, for cross-validation.
        workers: where the teacher runs; each process loads its own.
    Returns:
        AUC of the judges on the held-out calls, pooled, by the time into the silence.
    Raises:
        DialogueError: the folder is of other calls; there are fewer than three calls; the calls
            have no shifts or no holds; or no text labels the utterances.
    """
    if len(calls) < 3:  # a judge needs at least two calls besides the one held out
        raise DialogueError(
            "expected at least three calls, so that each can be judged by the others, got "
            f"{len(calls)}"
        )
    out.mkdir(parents=True, exist_ok=True)
    report, names = out / "judges.json", [call.id for call in calls]
    theirs = json.loads(report.read_text())["calls"] if report.is_file() else names
    if theirs != names:
        raise DialogueError(
            f"{out}: expected the calls that it was made of ({', '.join(theirs)}), got "
            f"{', '.join(names)}"
        )
    report.write_text(json.dumps({"calls": names}, indent=1) + "\n")
    try:
        if not (out / "silences.npz").is_file():
            run = partial(_silences_of, teacher)
            found = map_tasks(run, calls, workers, desc="teacher, silences", unit="call")
            save_silences(join_silences(found), out / "silences.npz")
        if not (out / "moments.npz").is_file():
            run = partial(_moments_of, teacher)
            found = map_tasks(run, calls, workers, desc="teacher, calls", unit="call")
            _save_moments(found, out / "moments.npz")
    finally:
        _open.cache_clear()
    silences = load_silences(out / "silences.npz")
    with np.load(out / "moments.npz") as stored:
        moments = Moments(
            **{name: stored[name] for name in ("call", "speaker", "frame", "embeddings")}
        )
    clips, stop_points, kinds, embeddings = extraction.stop_points()
    space = StopPointSpace.fit(embeddings, COMPONENTS)
    asked = space.coordinates_of(embeddings)
    labelled = labelled_stop_points(extraction, clips, kinds, asked)
    scores = fit_text_judge(labelled).scores(asked)
    _write_stop_points(out / COMPLETENESS, extraction, clips, stop_points, scores)
    coordinates, moment_coordinates = (
        space.coordinates(silences.embeddings),
        space.coordinates(moments.embeddings),
    )
    others = held_out(coordinates, silences, labelled)
    measured = auc_by_moment(coordinates, silences, others)
    report.write_text(json.dumps({"calls": names, "held_out_auc": measured}, indent=1) + "\n")
    activity = [load_annotated(call, SAMPLE_RATE_HZ)[1] for call in calls]

    judge_path(out, ALL).parent.mkdir(exist_ok=True)

    def write(name: str, judges: Sequence[Judge]) -> None:
        # Any, because the type checker takes the names for other arguments of savez.
        scores_of_calls: dict[str, Any] = _scores(
            calls, activity, moments, moment_coordinates, judges
        )
        np.savez(scores_path(out, name), **scores_of_calls)

    write(HELD_OUT, others)
    kept = {ALL: fit_judge(coordinates, silences, labelled)}
    if each:
        kept |= {f"{WITHOUT}{call.id}": judge for call, judge in zip(calls, others, strict=True)}
    for name, judge in kept.items():
        write(name, [judge] * len(calls))
        SavedJudge(judge, space).save(judge_path(out, name))
    return measured


@lru_cache(maxsize=1)
def _open(teacher: Path | None) -> WhisperEncoder:
    """Each process loads the teacher once, for all of its tasks."""
    return WhisperEncoder(teacher)


def _silences_of(
    teacher: Path | None, call: Dialogue
) -> list[tuple[bool, list[NDArray[np.float16]]]]:
    return embed_silences(_open(teacher), call)


def _moments_of(teacher: Path | None, call: Dialogue) -> list[tuple[int, int, NDArray[np.float16]]]:
    """Embed each speaker of a call alone, at the moments that `moments_of` gives.

    Returns speaker, last frame and embedding of each moment.
    """
    audio, activity, _ = load_annotated(call, SAMPLE_RATE_HZ)
    rows: list[tuple[int, int, NDArray[np.float16]]] = []
    for speaker in (0, 1):
        for frame in moments_of(activity, speaker):
            if (frame + 1) * FRAME_SAMPLES <= audio.shape[1]:
                past = channel_until(audio[speaker], frame + 1)
                if activity[speaker, frame]:  # as if the speaker stopped here
                    past = np.pad(past, (0, round(SILENCE_S * SAMPLE_RATE_HZ)))
                rows.append((speaker, frame, embed_end(_open(teacher), past)))
    return rows


def _save_moments(
    calls: Iterable[Sequence[tuple[int, int, NDArray[np.float16]]]], path: Path
) -> None:
    rows = [(number, *row) for number, call in enumerate(calls) for row in call]
    call, speaker, frame, embeddings = zip(*rows, strict=True)
    np.savez(
        path,
        call=np.array(call),
        speaker=np.array(speaker),
        frame=np.array(frame),
        embeddings=np.stack(embeddings),
    )


def moments_of(activity: BoolFrames, speaker: int) -> Iterator[int]:
    """Yield the frames at which a speaker is judged; the frame is the last one of the input.

    They are every SPEECH_EVERY_S in speech, and at SILENCE_MOMENTS_S in silences.
    """
    for start, end in runs(activity[speaker]):
        yield from range(
            start + round(SPEECH_EVERY_S * FRAME_RATE_HZ),
            end,
            round(SPEECH_EVERY_S * FRAME_RATE_HZ),
        )
    for start, end in runs(~activity[speaker]):
        if start:
            frames = (start + round(moment_s * FRAME_RATE_HZ) - 1 for moment_s in SILENCE_MOMENTS_S)
            yield from (frame for frame in frames if frame < end)


def auc_by_moment(
    coordinates: Floats, silences: CallSilences, judges: Sequence[Judge]
) -> dict[str, float]:
    """Return the AUC by the time into the silence, pooled over the calls.

    Each call is scored by its own judge.
    """
    logits = np.array(
        [judges[call].logits(row) for call, row in zip(silences.call, coordinates, strict=True)]
    )
    order = np.array(
        [int((silences.silence[:i] == silence).sum()) for i, silence in enumerate(silences.silence)]
    )
    found: dict[str, float] = {}
    for moment in range(int(order.max()) + 1):
        shift, hold = (
            logits[(order == moment) & silences.shift],
            logits[(order == moment) & ~silences.shift],
        )
        if len(shift) and len(hold):
            found[f"{MOMENTS_S[moment]:g} s"] = float(
                (shift[:, None] > hold).mean() + (shift[:, None] == hold).mean() / 2
            )
    return found


def _scores(
    calls: Sequence[Dialogue],
    activity: Sequence[BoolFrames],
    moments: Moments,
    coordinates: Floats,
    judges: Sequence[Judge],
) -> dict[str, Floats]:
    """Return each call's scores, (2, T); in a silence a score is valid until the next one."""
    scores: dict[str, Floats] = {}
    for number, (call, active) in enumerate(zip(calls, activity, strict=True)):
        own = moments.call == number
        found = np.full(active.shape, np.nan, np.float32)
        found[moments.speaker[own], moments.frame[own]] = judges[number].scores(coordinates[own])
        for speaker in (0, 1):
            for start, end in runs(~active[speaker]):
                known = ~np.isnan(found[speaker, start:end])
                newest = np.maximum.accumulate(np.where(known, np.arange(end - start), 0))
                found[speaker, start:end] = found[speaker, start:end][newest]
        scores[call.id] = found
    return scores


def _write_stop_points(
    folder: Path,
    extraction: Extraction,
    clips: NDArray[np.int32],
    stop_points: NDArray[np.int32],
    scores: Floats,
) -> None:
    """Write one file per set; clips are numbered from 0 in each."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [extraction.pool.set_folder(utterance) for utterance in extraction.pool.utterances]
    first = {name: names.index(name) for name in dict.fromkeys(names)}
    rows: dict[str, list[tuple[int, int, float]]] = {name: [] for name in first}
    for clip, stop_point, score in zip(
        clips.tolist(), stop_points.tolist(), scores.tolist(), strict=True
    ):
        rows[names[clip]].append((clip - first[names[clip]], stop_point, score))
    for name, of_set in rows.items():
        write_completeness(folder / f"{name}.npz", of_set)
