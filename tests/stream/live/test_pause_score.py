"""The score of pauses: by the vectors that the web page shares, and against `find_pauses`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.models.dialogues.activity import runs
from turnstream.models.dialogues.events import find_pauses
from turnstream.stream.live.pause_score import PauseScore, ScoredPause
from turnstream.stream.prediction import TurnEvent

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "pause_scores.json").read_text(encoding="utf-8")
)["cases"]


def played(
    score: PauseScore, vad: np.ndarray, ends: list[tuple[int, float]] | None = None
) -> list[ScoredPause]:
    """Feed frames of 20 ms, vad (2, T), and end_of_turn events at their times.

    The rows of a vad (4, T) are the vad and the levels of both speakers.
    """
    found: list[ScoredPause] = []
    first = round(50 * score._now_s)
    for frame, (user, other, *levels) in enumerate(vad.T.tolist(), first):
        time_s = (frame + 1) / 50
        found += score.on_frame(time_s, (user, other), (levels[0], levels[1]) if levels else None)
        for speaker, at_s in ends or []:
            if round(50 * at_s) == frame + 1:
                score.on_event(TurnEvent("end_of_turn", speaker, time_s, 0.7))
    return found


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_vectors_that_the_page_shares_are_scored_as_written(case: dict[str, Any]) -> None:
    score = PauseScore(case["timer_s"])
    vad = np.concatenate([np.tile(np.transpose([run]), n) for n, *run in case["runs"]], axis=1)
    found = played(score, vad, case["ends"])
    assert [
        [
            pause.speaker,
            round(pause.start_s, 6),
            round(pause.end_s, 6),
            pause.outcome,
            None if pause.called_s is None else round(pause.called_s, 6),
            pause.verdict,
            pause.timer,
        ]
        for pause in found
    ] == case["pauses"]
    for counts, column in ((score.counts, 5), (score.timer, 6)):
        verdicts = [pause[column] for pause in case["pauses"]]
        for verdict in ("right", "cut_off", "too_slow"):
            assert getattr(counts, verdict) == verdicts.count(verdict)
    assert score.pauses == len(case["pauses"])


def talk(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Random activity of one speaker, with many short stretches and breaks, (T,)."""
    lengths = rng.choice([1, 3, 5, 6, 9, 10, 11, 30, 70, 200], frames)
    row = np.repeat(np.arange(frames) % 2 == 1, lengths)
    return row[:frames]


def without_short_stretches(row: np.ndarray) -> np.ndarray:
    """Bridge breaks below 0.2 s, then drop stretches with less than 0.1 s of activity."""
    bridged = row.copy()
    for start, end in runs(~row):
        if end - start < 10 and start > 0 and end < len(row):
            bridged[start:end] = True
    for start, end in runs(bridged):
        if row[start:end].sum() < 5:
            bridged[start:end] = False
    return bridged


@pytest.mark.parametrize("seed", range(20))
def test_pauses_are_those_of_the_evaluation_wherever_the_outcome_is_known(seed: int) -> None:
    rng = np.random.default_rng(seed)
    activity = np.stack([talk(rng, 4000), talk(rng, 4000)])
    activity[:, -600:] = False
    activity[0, -500:-440] = True  # decides what is open at the end
    vad = np.where(activity, 0.9, 0.1)
    found = {(p.speaker, round(50 * p.start_s), p.outcome) for p in played(PauseScore(), vad)}
    expected = {
        (pause.speaker, pause.start_frame, "hold" if pause.kind == "hold" else "shift")
        for pause in find_pauses(np.stack([without_short_stretches(row) for row in activity]))
    }
    assert found == expected
    assert len(expected) > 5


def test_memory_stays_the_same_however_long_it_runs() -> None:
    rng = np.random.default_rng(3)
    score = PauseScore()
    longest = 0
    for _ in range(20):
        played(score, np.where(np.stack([talk(rng, 500), talk(rng, 500)]), 0.9, 0.1))
        longest = max(
            longest,
            *(len(kept) for voice in score._voices for kept in (voice.stretches, voice.pauses)),
        )
    assert longest < 20
