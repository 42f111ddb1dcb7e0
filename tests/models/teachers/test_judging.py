from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.dialogues.activity import runs
from turnstream.models.dialogues.annotation import load_annotated
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.dialogues.utterances import UNKNOWN, UtterancePool
from turnstream.models.teachers import extraction, judging
from turnstream.models.teachers.extraction import END, Extraction, extract
from turnstream.models.teachers.judge import CallSilences, Judge
from turnstream.models.teachers.judging import auc_by_moment, judge_calls, moments_of
from turnstream.models.teachers.saved_judge import SavedJudge
from turnstream.stream.errors import ConfigError, DialogueError

from ..teaching import FakeEncoder, write_calls

ASKED = 40
Judged = tuple[Path, dict[str, float]]


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[Dialogue]:
    return write_calls(tmp_path_factory.mktemp("whistling") / "calls")


@pytest.fixture(scope="module")
def partly_taught(
    speech_sets: list[Path], pool: UtterancePool, tmp_path_factory: pytest.TempPathFactory
) -> Extraction:
    """The teacher was asked about some of the places only."""
    folder = tmp_path_factory.mktemp("partly")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(extraction, "WhisperEncoder", FakeEncoder)
        extract(folder, speech_sets, components=6, most_stop_points=ASKED)
    return Extraction(folder, pool)


@pytest.fixture(scope="module")
def judged(
    calls: list[Dialogue], partly_taught: Extraction, tmp_path_factory: pytest.TempPathFactory
) -> Judged:
    out = tmp_path_factory.mktemp("judged") / "out"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(judging, "WhisperEncoder", FakeEncoder)
        return out, judge_calls(calls, partly_taught, out, each=True)


def scores_in(path: Path) -> dict[str, NDArray[np.float32]]:
    with np.load(path) as stored:
        return dict(stored)


def test_the_judges_of_the_others_find_what_was_planted_in_a_call(
    judged: Judged, calls: list[Dialogue]
) -> None:
    out, measured = judged
    assert list(measured) == ["0.1 s", "0.2 s", "0.3 s"]
    assert min(measured.values()) > 0.85
    written = json.loads((out / "judges.json").read_text())
    assert written == {"held_out_auc": measured, "calls": [call.id for call in calls]}


def test_the_folder_holds_scores_by_the_judge_of_all_calls_and_by_one_without_each(
    judged: Judged, speech_sets: list[Path]
) -> None:
    out, _ = judged
    without = [f"without_call{number}.npz" for number in range(4)]
    assert {path.name for path in out.iterdir()} == {
        "silences.npz",
        "moments.npz",
        "judges.json",
        "held_out.npz",
        "all.npz",
        "completeness",
        "judges",
        *without,
    }
    assert {path.name for path in (out / "judges").iterdir()} == {"all.npz", *without}
    assert {path.name for path in (out / "completeness").iterdir()} == {
        f"{folder.name}.npz" for folder in speech_sets
    }


def test_every_place_that_was_asked_about_has_a_score_under_its_sets_own_number(
    judged: Judged, partly_taught: Extraction, speech_sets: list[Path]
) -> None:
    scored = UtterancePool(speech_sets, judged[0] / "completeness")
    clips, places, _, _ = partly_taught.stop_points()
    found = {
        (utterance.index, place)
        for utterance in scored.utterances
        for place in utterance.completeness
    }
    assert found == set(zip(clips.tolist(), places.tolist(), strict=True))
    assert len(found) == ASKED
    assert all(
        0 <= score <= 1
        for utterance in scored.utterances
        for score in utterance.completeness.values()
    )
    # The sets are found by name, in any order.
    again = UtterancePool(speech_sets[::-1], judged[0] / "completeness")
    of_second = len(
        [one for one in scored.utterances if scored.set_folder(one) == speech_sets[1].name]
    )
    expected = [utterance.completeness for utterance in scored.utterances]
    assert [utterance.completeness for utterance in again.utterances] == expected[
        -of_second:
    ] + expected[:-of_second]


def test_sentences_sound_more_complete_at_their_ends_than_inside(
    judged: Judged, partly_taught: Extraction, speech_sets: list[Path]
) -> None:
    scored = UtterancePool(speech_sets, judged[0] / "completeness")
    clips, places, kinds, _ = partly_taught.stop_points()
    scores = np.array(
        [
            scored.utterances[clip].completeness[place]
            for clip, place in zip(clips.tolist(), places.tolist(), strict=True)
        ]
    )
    assert (scores[kinds == END][:, None] > scores[kinds != END]).mean() > 0.75


def test_no_call_teaches_what_utterances_sound_like(
    judged: Judged,
    calls: list[Dialogue],
    partly_taught: Extraction,
    speech_sets: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judging, "WhisperEncoder", FakeEncoder)
    judge_calls(calls[1:], partly_taught, tmp_path)
    for folder in speech_sets:
        first, second = (
            scores_in(out / "completeness" / f"{folder.name}.npz") for out in (judged[0], tmp_path)
        )
        assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(
        scores_in(judged[0] / "all.npz")["call1"],
        scores_in(tmp_path / "all.npz")["call1"],
        equal_nan=True,
    )
    assert not list(tmp_path.glob("without_*"))  # was not requested


def test_what_the_teacher_has_heard_is_not_asked_for_again(
    judged: Judged,
    calls: list[Dialogue],
    partly_taught: Extraction,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, measured = judged
    before = {path.name: path.read_bytes() for path in out.glob("*.npz")}
    monkeypatch.setattr(judging, "WhisperEncoder", lambda *_, **__: pytest.fail("asked again"))
    assert judge_calls(calls, partly_taught, out, each=True) == measured
    assert {
        path.name for path in out.glob("*.npz") if path.read_bytes() != before[path.name]
    } == set()


def test_a_call_held_out_is_scored_by_the_judge_without_it(
    judged: Judged, calls: list[Dialogue]
) -> None:
    out, _ = judged
    held_out, everyone = scores_in(out / "held_out.npz"), scores_in(out / "all.npz")
    assert list(held_out) == list(everyone) == [call.id for call in calls]
    for call in calls:
        without = scores_in(out / f"without_{call.id}.npz")
        np.testing.assert_array_equal(held_out[call.id], without[call.id])
        for name, scores in without.items():
            known = ~np.isnan(scores)
            assert np.array_equal(known, ~np.isnan(everyone[name]))
            assert not np.array_equal(scores[known], everyone[name][known])


def test_a_judge_is_kept_as_it_scored_the_calls(judged: Judged, calls: list[Dialogue]) -> None:
    out, _ = judged
    with np.load(out / "moments.npz") as stored:
        moments = dict(stored)
    for name in ("all", "without_call1"):
        scores = scores_in(out / f"{name}.npz")
        kept = 1 / (
            1
            + np.exp(-SavedJudge.load(out / "judges" / f"{name}.npz").logits(moments["embeddings"]))
        )
        for number, call in enumerate(calls):
            own = moments["call"] == number
            np.testing.assert_allclose(
                scores[call.id][moments["speaker"][own], moments["frame"][own]],
                kept[own],
                rtol=1e-5,
            )


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", None])
def test_a_file_without_a_judge_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "judge.npz"
    if content is None:
        np.savez(path, weights=np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="expected a judge, as `turnstream pretrain judge`"):
        SavedJudge.load(path)


def test_calls_are_scored_in_speech_and_all_through_silences_and_complete_turns_higher(
    judged: Judged, calls: list[Dialogue]
) -> None:
    scores = scores_in(judged[0] / "held_out.npz")
    means: dict[bool, list[float]] = {True: [], False: []}
    for call in calls:
        _, activity, _ = load_annotated(call, 16000)
        assert scores[call.id].shape == activity.shape
        known = ~np.isnan(scores[call.id])
        assert (known & activity).any()
        order = sorted(
            (start, end, speaker) for speaker in (0, 1) for start, end in runs(activity[speaker])
        )
        for (_, end, speaker), (start, _, following) in zip(order, order[1:], strict=False):
            assert not known[speaker, end : end + 4].any()
            assert known[speaker, end + 4 : start].all()  # from 0.1 s on
            means[speaker != following].append(float(scores[call.id][speaker, end + 4]))
    assert np.mean(means[True]) > np.mean(means[False]) + 0.1


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_calls_than_three_are_refused(
    count: int, calls: list[Dialogue], taught: Extraction, tmp_path: Path
) -> None:
    with pytest.raises(
        DialogueError,
        match=(
            f"expected at least three calls, so that each can be judged by the others, got {count}"
        ),
    ):
        judge_calls(calls[:count], taught, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_calls_is_refused(
    judged: Judged, calls: list[Dialogue], partly_taught: Extraction
) -> None:
    others = [dataclasses.replace(call, id=f"other_{call.id}") for call in calls]
    with pytest.raises(
        DialogueError,
        match=(
            rf"expected the calls that it was made of \({calls[0].id}, .*got "
            f"other_{calls[0].id}, "
        ),
    ):
        judge_calls(others, partly_taught, judged[0])


def test_utterances_whose_texts_tell_nothing_are_refused(
    calls: list[Dialogue],
    taught: Extraction,
    judged: Judged,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judging, "WhisperEncoder", FakeEncoder)
    untold = Extraction(taught.folder, taught.pool)
    untold.pool = UtterancePool([])
    untold.pool.utterances = [
        dataclasses.replace(utterance, finished=UNKNOWN) for utterance in taught.pool.utterances
    ]
    with pytest.raises(
        DialogueError,
        match="expected utterances whose text tells where they are complete, got none",
    ):
        judge_calls(calls[:3], untold, tmp_path)


def test_a_speaker_is_judged_in_speech_and_in_the_silence_after_it_and_not_before() -> None:
    activity = np.zeros((2, 400), bool)
    activity[0, 100:200] = activity[0, 240:260] = True
    moments = list(moments_of(activity, 0))
    assert list(moments_of(activity, 1)) == []
    assert min(moments) > 100
    assert [frame for frame in moments if activity[0, frame]] == [130, 160, 190]
    assert {204, 209, 214, 264, 269} <= set(moments)  # the last frames heard at 0.1, 0.2 and 0.3 s
    assert not {frame for frame in moments if 235 <= frame < 264}
    assert len(set(moments)) == len(moments)


def test_auc_is_pooled_over_calls_by_the_order_of_the_moment() -> None:
    coordinates = np.array([[1.0], [1.0], [-1.0], [3.0], [2.0], [-2.0]], np.float32)
    shift, call, silence = (
        np.array([True, True, False, False, True, True]),
        np.array([0, 0, 0, 0, 1, 1]),
        np.array([0, 0, 1, 1, 2, 2]),
    )
    heard = CallSilences(coordinates.astype(np.float16), shift, call, silence)
    judges = [Judge(np.ones(1, np.float32), 0.0), Judge(np.ones(1, np.float32), 0.0)]
    assert auc_by_moment(coordinates, heard, judges) == {"0.1 s": 1.0, "0.2 s": 0.0}
    turned = [judges[0], dataclasses.replace(judges[1], weights=-np.ones(1, np.float32))]
    assert auc_by_moment(coordinates, heard, turned) == {"0.1 s": 0.5, "0.2 s": 0.0}
