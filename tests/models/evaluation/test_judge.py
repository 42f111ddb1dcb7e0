"""A judge's scores: read from a file, held between answers, measured like a baseline's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from turnstream.models.dialogues.activity import segments_to_frames
from turnstream.models.evaluation.frontier import find_dialogue_pauses, frontier, read_pauses
from turnstream.models.evaluation.judge import (
    Coverage,
    agreement,
    coverage,
    judge_dialogue,
    read_judge,
)
from turnstream.models.evaluation.predictions import DialoguePrediction, EvaluatedDialogue
from turnstream.models.evaluation.recording import Recording
from turnstream.models.evaluation.shift_hold import find_silences, read_silences
from turnstream.stream.errors import DialogueError

HOLD, END = (200, 250), (400, 440)  # silent frames of speaker 0


def recording() -> Recording:
    """Speaker 0 pauses for 1 s at 4 s and yields at 8 s."""
    activity = segments_to_frames([[(1.0, 4.0), (5.0, 8.0)], [(8.8, 15.0)]], 800)
    return Recording("call", np.zeros((2, 256000), np.float32), activity, np.zeros_like(activity))


def unasked(frames: int = 800) -> np.ndarray:
    return np.full((2, frames), np.nan, np.float32)


def write(path: Path, **scores: np.ndarray) -> Path:
    np.savez(path / "judge.npz", **scores)  # pyright: ignore[reportArgumentType]
    return path / "judge.npz"


def test_between_two_answers_the_last_one_stands_and_before_the_first_there_is_none() -> None:
    asked = unasked()
    asked[0, [190, 204, 214]] = (
        0.9,
        0.1,
        0.3,
    )  # the first one belongs to the speech before the pause
    said = judge_dialogue(recording(), asked).mono[0].p_next
    assert np.isnan(said[1, 200:204]).all()
    assert said[1, 204:250] == pytest.approx([0.1] * 10 + [0.3] * 36)
    assert said[0, 204] == pytest.approx(0.9)
    assert np.isnan(said[1, 250])  # the pause is over


def test_an_answer_of_an_earlier_pause_does_not_reach_into_a_later_one() -> None:
    activity = segments_to_frames([[(1.0, 4.0), (5.6, 6.0)], [(4.4, 5.4), (7.0, 9.0)]], 500)
    call = Recording("call", np.zeros((2, 160000), np.float32), activity, np.zeros_like(activity))
    asked = unasked(500)
    asked[0, 210] = 0.9  # in the first pause; the judge is asked for 3.5 s after it
    said = judge_dialogue(call, asked).mono[0].p_next[1]
    assert said[299] == pytest.approx(0.9)
    assert np.isnan(said[300:350]).all()  # the second pause begins at 6 s


def test_its_scores_stand_where_the_measures_read_them() -> None:
    asked = unasked()
    asked[0, HOLD[0] : HOLD[1]] = np.linspace(0.1, 0.2, 50)
    asked[0, END[0] : 800] = np.linspace(0.8, 0.9, 400)
    judged = [judge_dialogue(recording(), asked)]
    read = read_silences(judged, find_silences(judged), "mono")
    assert read[:, 1] == pytest.approx([asked[0, 211], asked[0, 411]])
    assert read[:, 3] == pytest.approx([asked[0, 200:250].mean(), asked[0, 400:440].mean()])
    at_pauses = read_pauses(judged, find_dialogue_pauses(judged), "mono")
    assert at_pauses[1, 0] == asked[0, 404]
    found = frontier(judged, "mono")
    assert (found.holds, found.ends) == (1, 1)
    assert found.latency_at[0.05].estimate.value == pytest.approx(0.1)  # certain at once, and right
    assert np.isnan(judged[0].stereo.p_next).all()


def test_the_coverage_counts_what_the_judge_was_asked() -> None:
    asked = unasked()
    asked[0, 430:440] = 0.7  # late in the silence before the shift
    judged = [judge_dialogue(recording(), asked)]
    assert coverage(judged) == Coverage((1, 2), (0, 2))
    asked[0, 204] = 0.2
    assert coverage([judge_dialogue(recording(), asked)]) == Coverage((2, 2), (1, 2))
    assert coverage([judge_dialogue(recording(), unasked())]) == Coverage((0, 2), (0, 2))


def test_a_judge_that_was_not_asked_waits_for_the_time_out() -> None:
    never = frontier([judge_dialogue(recording(), unasked())], "mono")
    # The shortest time-out is as long as the hold.
    assert never.latency_at[0.05].estimate.value == pytest.approx(1.0)


@pytest.mark.parametrize("frames", [798, 800, 802])
def test_two_frames_more_or_less_are_borne(frames: int, tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random((2, frames)).astype(np.float32)
    read = read_judge(write(tmp_path, call=scores, another=scores[:, :3]), {"call": 800})
    assert list(read) == ["call"]
    assert read["call"].shape == (2, 800)
    shared = min(frames, 800)
    np.testing.assert_array_equal(read["call"][:, :shared], scores[:, :shared])
    assert np.isnan(read["call"][:, shared:]).all()


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"b": unasked()}, r"judge.npz: expected scores of every dialogue, got none of 'call'$"),
        (
            {"call": unasked(797)},
            r"judge.npz: dialogue 'call': expected scores of 800 frames of 20 ms, got 797$",
        ),
        ({"call": unasked(803)}, r"expected scores of 800 frames of 20 ms, got 803$"),
        (
            {"call": unasked().T},
            r"dialogue 'call': expected float scores \(2, T\), got float32 \(800, 2\)$",
        ),
        (
            {"call": np.zeros((2, 800), int)},
            r"expected float scores \(2, T\), got int64 \(2, 800\)$",
        ),
        ({"call": np.full((2, 800), 1.5)}, r"expected scores in \[0, 1\], got 1.5 to 1.5$"),
        ({"call": np.full((2, 800), np.inf)}, r"expected scores in \[0, 1\], got inf to inf$"),
    ],
)
def test_scores_of_something_else_are_refused(
    scores: dict[str, np.ndarray], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(DialogueError, match=expected):
        read_judge(write(tmp_path, **scores), {"call": 800})


def test_several_missing_dialogues_are_counted(tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match=r"got none of 'b' and 2 more$"):
        read_judge(write(tmp_path, a=unasked()), dict.fromkeys("abcd", 800))


def test_what_is_no_npz_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DialogueError,
        match=(
            r"judge.npz: expected the scores of a judge \(.npz\), got: No such file or "
            "directory$"
        ),
    ):
        read_judge(tmp_path / "judge.npz", {})
    for content in (b"", b"text", b"PK\x03\x04 cut off"):
        (tmp_path / "judge.npz").write_bytes(content)
        with pytest.raises(
            DialogueError, match=r"expected the scores of a judge \(.npz\), got something else$"
        ):
            read_judge(tmp_path / "judge.npz", {})
    np.save(tmp_path / "judge.npy", unasked())
    with pytest.raises(
        DialogueError, match=r"judge.npy: expected scores of every dialogue, got none of 'call'$"
    ):
        read_judge(tmp_path / "judge.npy", {"call": 800})


def said_in_silences(values: list[float]) -> tuple[EvaluatedDialogue, np.ndarray]:
    """Speaker 0 is silent for 1 s after each second; p_next of the other in each silence."""
    frames = 100 * (len(values) + 1)
    activity = np.zeros((2, frames), bool)
    p_next = np.full((2, frames), 0.5, np.float32)
    for number, value in enumerate(values):
        activity[0, 100 * number : 100 * number + 50] = True
        p_next[1, 100 * number + 50 : 100 * number + 100] = value
    p_next[0] = 1 - p_next[1]
    nothing = np.zeros_like(p_next)
    said = DialoguePrediction(nothing, nothing, nothing, p_next, nothing)
    return EvaluatedDialogue("call", activity, np.zeros_like(activity), said, (said, said)), p_next[
        1
    ]


VALUES = [0.2, 0.9, 0.4, 0.7, 0.1, 0.6]


@pytest.mark.parametrize(("exponent", "expected"), [(1.0, 1.0), (3.0, 1.0), (-1.0, -1.0)])
def test_agreement_is_the_correlation_of_logits(exponent: float, expected: float) -> None:
    dialogue, other = said_in_silences(VALUES)
    odds = (other / (1 - other)) ** exponent
    scores = np.full((2, len(other)), np.nan, np.float32)
    scores[0] = odds / (1 + odds)
    assert agreement([dialogue], {"call": scores}, "mono").value == pytest.approx(
        expected, abs=1e-4
    )


def test_agreement_reads_the_silences_alone_and_wants_five_of_a_speaker() -> None:
    dialogue, other = said_in_silences(VALUES)
    scores = np.full((2, len(other)), np.nan, np.float32)
    scores[0] = np.where(dialogue.activity[0], 1 - other, other)
    assert agreement([dialogue], {"call": scores}, "stereo").value == pytest.approx(1, abs=1e-4)
    scores[0, :300] = np.nan
    assert np.isnan(agreement([dialogue], {"call": scores}, "stereo").value)
