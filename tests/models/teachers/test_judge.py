from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.dialogues.annotation import load_annotated
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.dialogues.synthesis import SYNTHETIC_SET
from turnstream.models.dialogues.utterances import FINISHED, UNFINISHED, UNKNOWN
from turnstream.models.teachers.extraction import END, PAUSE, Extraction, embed_end
from turnstream.models.teachers.judge import (
    MOMENTS_S,
    CallSilences,
    Judge,
    LabelledStopPoints,
    channel_until,
    embed_silences,
    fit_judge,
    fit_text_judge,
    held_out,
    join_silences,
    labelled_stop_points,
    load_silences,
    save_silences,
    silences_of,
    text_labels,
)
from turnstream.stream.errors import DialogueError

from ..teaching import CHANNELS, FakeEncoder

CALLS, SILENCES, COMPONENTS = 5, 120, 4
SLOPE = 2.0


def planted(seed: int = 0, silences: int = SILENCES) -> tuple[NDArray[np.float32], CallSilences]:
    """Return silences whose true logit of a shift is SLOPE times their second coordinate.

    The first coordinate varies most and carries no information.
    """
    rng = np.random.default_rng(seed)
    count = CALLS * silences
    coordinates = (rng.standard_normal((count, COMPONENTS)) * (3, 1, 1, 1)).astype(np.float32)
    shift = rng.random(count) < 1 / (1 + np.exp(-SLOPE * coordinates[:, 1]))
    call = np.repeat(np.arange(CALLS), silences)
    return coordinates, CallSilences(coordinates.astype(np.float16), shift, call, np.arange(count))


def slope_of(logits: NDArray[np.float32], shift: NDArray[np.bool_]) -> float:
    """Return the slope of a logistic regression of the outcomes on the logits.

    It has no prior. The slope is 1 where the logits are calibrated.
    """
    slope = 1.0
    for _ in range(50):  # Newton's method
        chance = 1 / (1 + np.exp(-slope * logits.astype(np.float64)))
        slope += float(
            ((shift - chance) * logits).sum() / (chance * (1 - chance) * logits**2).sum()
        )
    return slope


def auc(logits: NDArray[np.float32], shift: NDArray[np.bool_]) -> float:
    return float((logits[shift][:, None] > logits[~shift]).mean())


def test_a_planted_direction_is_found_and_its_scores_are_calibrated() -> None:
    judge = fit_judge(*planted(0))
    coordinates, heard = planted(1, silences=2000)
    logits = judge.logits(coordinates)
    best = auc(coordinates[:, 1], heard.shift)
    assert auc(logits, heard.shift) > best - 0.02
    assert auc(coordinates[:, 0], heard.shift) < 0.55
    assert slope_of(logits, heard.shift) == pytest.approx(1, abs=0.2)
    assert slope_of(logits / 3, heard.shift) == pytest.approx(3, abs=0.6)
    assert abs(judge.weights[1]) > 5 * np.abs(np.delete(judge.weights, 1)).max()
    assert judge.scores(coordinates[:9]) == pytest.approx(1 / (1 + np.exp(-logits[:9])), abs=1e-6)


def test_shifts_and_holds_weigh_the_same_however_many_there_are() -> None:
    coordinates, heard = planted()
    rare = ~heard.shift | (np.arange(len(heard.shift)) % 8 == 0)
    part = CallSilences(
        heard.embeddings[rare], heard.shift[rare], heard.call[rare], heard.silence[rare]
    )
    scores = fit_judge(coordinates[rare], part).scores(coordinates[rare])
    assert part.shift.mean() < 0.2
    assert (scores[part.shift].mean() + scores[~part.shift].mean()) / 2 == pytest.approx(
        0.5, abs=0.06
    )


def test_labels_without_a_pattern_give_a_judge_without_an_opinion() -> None:
    coordinates, heard = planted()
    scrambled = replace(heard, shift=np.random.default_rng(5).random(len(heard.shift)) < 0.5)
    assert np.abs(fit_judge(coordinates, scrambled).scores(coordinates) - 0.5).mean() < 0.15
    assert np.abs(fit_judge(coordinates, heard).scores(coordinates) - 0.5).mean() > 0.2


def test_a_judge_of_a_call_has_not_seen_it() -> None:
    coordinates, heard = planted(silences=40)
    honest = held_out(coordinates, heard)
    leaking = heard.shift.copy()
    leaking[heard.call == 2] = ~leaking[heard.call == 2]
    others = held_out(coordinates, replace(heard, shift=leaking))
    assert len(honest) == len(others) == CALLS
    for call, (before, after) in enumerate(zip(honest, others, strict=True)):
        assert np.array_equal(before.weights, after.weights) == (call == 2)
        assert (before.bias == after.bias) == (call == 2)


def test_a_judge_of_a_call_is_the_one_fitted_on_the_others() -> None:
    coordinates, heard = planted(silences=40)
    rest = heard.call != 1
    expected = fit_judge(
        coordinates[rest],
        CallSilences(
            heard.embeddings[rest], heard.shift[rest], heard.call[rest], heard.silence[rest]
        ),
    )
    judge = held_out(coordinates, heard)[1]
    assert np.array_equal(judge.weights, expected.weights)
    assert judge.bias == expected.bias


def test_labelled_stop_points_help_where_calls_are_few_wherever_they_lie() -> None:
    rng = np.random.default_rng(7)
    direction = rng.standard_normal(20)
    direction /= np.linalg.norm(direction)

    def drawn(count: int, apart: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        kind = rng.random(count) < 0.5
        return (
            rng.standard_normal((count, 20)) + apart * (kind - 0.5)[:, None] * direction
        ).astype(np.float32), kind

    coordinates, shift = drawn(40, 1.5)
    heard = CallSilences(coordinates.astype(np.float16), shift, np.arange(40) % 5, np.arange(40))
    places, complete = drawn(2000, 1.5)
    fresh, happened = drawn(2000, 1.5)
    alone, helped, moved, misled = (
        fit_judge(coordinates, heard, told)
        for told in (
            [],
            [LabelledStopPoints(places, complete)],
            [LabelledStopPoints(places + 5, complete)],
            [LabelledStopPoints(places, rng.permutation(complete))],
        )
    )
    found = {
        name: auc(judge.logits(fresh), happened)
        for name, judge in {"alone": alone, "helped": helped, "misled": misled}.items()
    }
    assert found["helped"] > found["alone"] + 0.05
    assert found["misled"] < found["helped"] - 0.05
    assert np.corrcoef(moved.logits(fresh), helped.logits(fresh))[0, 1] > 0.999
    assert np.mean(moved.logits(fresh)) == pytest.approx(np.mean(helped.logits(fresh)), abs=0.1)
    assert (
        auc(fit_text_judge([LabelledStopPoints(places, complete)]).logits(fresh), happened)
        > found["alone"]
    )


def test_a_judge_that_no_call_taught_needs_texts() -> None:
    with pytest.raises(
        DialogueError,
        match="expected utterances whose text tells where they are complete, got none",
    ):
        fit_text_judge([])


def test_a_text_tells_that_a_sentence_is_complete_at_its_end_alone(taught: Extraction) -> None:
    template = taught.pool.utterances[0]
    read = [replace(template, finished=finished) for finished in (FINISHED, UNFINISHED, UNKNOWN)]
    spoken = [replace(utterance, set_name=SYNTHETIC_SET) for utterance in read]
    pool: Any = SimpleNamespace(pool=SimpleNamespace(utterances=read + spoken))
    clips, kinds = (
        np.repeat(np.arange(6), 2).astype(np.int32),
        np.tile([END, PAUSE], 6).astype(np.int8),
    )
    complete, known, neural = text_labels(pool, clips, kinds)
    assert np.flatnonzero(complete).tolist() == [0, 6]
    # Clips of read speech may be cut anywhere. A clip of the neural voice may only lack its text.
    assert np.flatnonzero(~known).tolist() == [
        2,
        4,
        10,
    ]
    assert neural.tolist() == [False] * 6 + [True] * 6
    groups = labelled_stop_points(pool, clips, kinds, np.arange(12, dtype=np.float32)[:, None])
    assert [group.coordinates[:, 0].tolist() for group in groups] == [
        [6, 7, 8, 9, 11],
        [0, 1, 3, 5],
    ]
    assert [group.complete.tolist() for group in groups] == [
        [True, False, False, False, False],
        [True, False, False, False],
    ]
    # There is no complete example.
    assert labelled_stop_points(pool, clips[2:6], kinds[2:6], np.zeros((4, 1), np.float32)) == []


def test_logits_keep_the_shape_of_what_is_judged() -> None:
    judge = Judge(np.array([1.0, -2.0], np.float32), 0.5)
    assert judge.logits(np.zeros((3, 2, 2), np.float32)).shape == (3, 2)
    assert judge.logits(np.array([2.0, 1.0], np.float32)) == 0.5
    assert judge.scores(np.array([[2.0, 1.25]], np.float32)).tolist() == [0.5]


def draw(*spoken: tuple[int, int, int], frames: int = 700) -> NDArray[np.bool_]:
    """Return the activity (2, T) from (speaker, start, end)."""
    active = np.zeros((2, frames), bool)
    for speaker, start, end in spoken:
        active[speaker, start:end] = True
    return active


def test_every_silence_is_listed_once_with_what_followed() -> None:
    activity = draw((0, 0, 200), (1, 230, 330), (1, 350, 450), (0, 480, 600))
    listed = silences_of(activity, np.zeros_like(activity))
    assert {(0, 200, 230, True), (1, 330, 350, False), (1, 450, 480, True)} <= set(listed)
    assert len({(speaker, start) for speaker, start, _, _ in listed}) == len(listed)
    assert listed == sorted(listed)


def test_a_backchannel_in_a_pause_takes_no_floor() -> None:
    activity, backchannel = draw((0, 0, 200), (1, 215, 235), (0, 250, 600)), draw((1, 215, 235))
    ((_, start, end, shift),) = [
        one for one in silences_of(activity, backchannel) if one[0] == 0 and one[1] == 200
    ]
    assert (start, end, shift) == (200, 250, False)


def test_no_more_of_a_channel_is_heard_than_the_last_ten_seconds() -> None:
    channel = np.arange(20 * 16000, dtype=np.float32)
    assert np.array_equal(channel_until(channel, 100), channel[:32000])
    assert np.array_equal(channel_until(channel, 600), channel[32000 : 12 * 16000])


def test_the_speakers_channel_alone_is_heard_at_every_moment_that_a_silence_lasts(
    dialogues: list[Dialogue],
) -> None:
    heard = join_silences(embed_silences(FakeEncoder(), one) for one in dialogues)  # pyright: ignore[reportArgumentType]
    assert heard.embeddings.shape == (len(heard.shift), 3 * CHANNELS)
    assert sorted(set(heard.call.tolist())) == [0, 1, 2, 3]
    row = silence = 0
    for number, dialogue in enumerate(dialogues):
        audio, activity, backchannel = load_annotated(dialogue, 16000)
        for speaker, start, end, shift in silences_of(activity, backchannel):
            lasting = [moment_s for moment_s in MOMENTS_S if start + round(50 * moment_s) <= end]
            for moment_s in lasting:
                expected = embed_end(
                    FakeEncoder(), channel_until(audio[speaker], start + round(50 * moment_s))
                )  # pyright: ignore[reportArgumentType]
                assert np.array_equal(heard.embeddings[row], expected)
                assert (heard.call[row], heard.silence[row], heard.shift[row]) == (
                    number,
                    silence,
                    shift,
                )
                row += 1
            silence += 1
    assert row == len(heard.shift) > 20


def test_calls_with_silences_of_one_kind_are_refused(
    dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "turnstream.models.teachers.judge.silences_of", lambda *_: [(0, 100, 120, True)]
    )
    with pytest.raises(
        DialogueError,
        match="expected calls with shifts and holds to fit a judge on, got 12 silences of one kind",
    ):
        join_silences(embed_silences(FakeEncoder(), one) for one in dialogues)  # pyright: ignore[reportArgumentType]


def test_silences_come_back_from_disk(tmp_path: Path) -> None:
    heard = planted()[1]
    save_silences(heard, tmp_path / "silences.npz")
    again = load_silences(tmp_path / "silences.npz")
    for name, value in vars(heard).items():
        assert np.array_equal(getattr(again, name), value)
        assert getattr(again, name).dtype == value.dtype
