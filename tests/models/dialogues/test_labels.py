"""Labels on activity that is drawn one character per 0.1 s: A and B alone, X both, - silence."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from turnstream.models.config import ModelConfig
from turnstream.models.dialogues.labels import (
    FrameLabels,
    bridge_short_pauses,
    label_frames,
    next_holder,
)
from turnstream.models.projection import UNKNOWN, projection_classes

from .random_activity import conversations

RATE_HZ = 10.0
BIN_EDGES_S = ModelConfig().bin_edges_s


def draw(floor: str) -> NDArray[np.bool_]:
    return np.array([[frame in "AX" for frame in floor], [frame in "BX" for frame in floor]])


def holders(floor: str) -> str:
    """Return the next speakers as letters: a and b, or ? where unknown."""
    holder, _ = next_holder(draw(floor), RATE_HZ)
    return "".join({0: "a", 1: "b", UNKNOWN: "?"}[int(h)] for h in holder)


def weights(floor: str) -> list[float]:
    return [round(float(w), 2) for w in next_holder(draw(floor), RATE_HZ)[1]]


def labels(activity: str, backchannel: str) -> FrameLabels:
    return label_frames(draw(activity), draw(backchannel), RATE_HZ, BIN_EDGES_S)


def test_a_cut_holds_the_labels_of_its_frames() -> None:
    whole = labels("AAAAXBBB----AAAA", "----------------")
    for name, values in vars(whole.cut(3, 9)).items():
        assert np.array_equal(values, getattr(whole, name)[..., 3:9], equal_nan=True), name


def judged(floor: str, first: str = "", second: str = "") -> FrameLabels:
    """Return labels with a judge's scores of each speaker.

    Scores are drawn one digit a frame, in tenths. Any other character is no score.
    """
    scores = [
        [int(tenths) / 10 if tenths.isdigit() else np.nan for tenths in row.ljust(len(floor))]
        for row in (first, second)
    ]
    return label_frames(draw(floor), draw("-" * len(floor)), RATE_HZ, BIN_EDGES_S, np.array(scores))


def seconds(found: FrameLabels) -> list[float]:
    return [round(float(chance), 3) for chance in found.next_second]


@pytest.mark.parametrize(
    ("floor", "expected"),
    [
        (
            "---AAA",
            "aaa???",
        ),  # before the first speech: whoever starts; after the last speech: unknown
        ("AAA---BBB---", "bbbbbb??????"),  # A, gap, B: a shift
        ("AAA---AAA---BBB", "aaaaaabbbbbb???"),  # A, pause, A: a hold, then a shift
        ("AAABBB", "bbb???"),  # no gap at all
        ("AAAXXBBB", "bbbbb???"),  # B takes over in overlap: already during it
        (
            "AAAXXAAA--BBB",
            "bbbaabbbbb???",
        ),  # B interjects and A continues: A's stretch ends with B's turn
        ("AAAXAAXA-A", "aaaaaaaaa?"),  # two interjections, then a pause of A's
        ("AAAXX--BBB", "bbbbbbb???"),  # both stop together: whoever speaks next
        ("AAAXX--AAA", "aaaaaaa???"),
        ("XX--", "????"),
        ("XXA-B", "aabb?"),
        ("AAAXX", "?????"),
        ("----", "????"),
        ("AAAA", "????"),
        ("", ""),
    ],
)
def test_next_holder_by_hand(floor: str, expected: str) -> None:
    assert holders(floor) == expected


def test_next_holder_is_symmetric_in_the_speakers() -> None:
    rng = np.random.default_rng(0)
    turns = np.stack(
        [np.repeat(rng.random(60) < 0.5, rng.integers(1, 12, 60))[:200] for _ in range(2)]
    )
    holder, weight = next_holder(turns, RATE_HZ)
    mirrored, mirrored_weight = next_holder(turns[::-1], RATE_HZ)
    assert np.array_equal(mirrored, np.where(holder == UNKNOWN, UNKNOWN, 1 - holder))
    assert np.array_equal(weight, mirrored_weight)


def test_silence_weighs_most_then_the_end_of_speech_then_the_rest() -> None:
    assert weights("A" * 15 + "---" + "B") == [0.02] * 10 + [0.5] * 5 + [1.0] * 3 + [0.0]


def test_only_the_beginning_of_a_silence_weighs_fully() -> None:
    assert weights("A" + "-" * 25 + "B") == [0.5] + [1.0] * 12 + [0.02] * 13 + [0.0]


def test_speech_before_an_interjection_is_not_near_its_end() -> None:
    assert weights("A" * 4 + "X" * 2 + "A" * 12 + "-B") == [0.02] * 4 + [0.02] * 2 + [0.02] * 7 + [
        0.5
    ] * 5 + [1.0, 0.0]


def test_what_is_unknown_weighs_nothing() -> None:
    assert weights("AAA--") == [0.0] * 5


def test_a_backchannel_takes_no_turn() -> None:
    with_it = labels("AAAA-B-AAAA---BBB", "-----B-----------")
    assert (
        with_it.next_holder.tolist() == next_holder(draw("AAAA---AAAA---BBB"), RATE_HZ)[0].tolist()
    )
    assert with_it.vad[1, 5]  # but it counts as speech
    without = labels("AAAA-B-AAAA---BBB", "-" * 17)
    assert with_it.next_holder[0] == 0
    assert without.next_holder[0] == 1


def test_a_backchannel_is_announced_half_a_second_ahead() -> None:
    found = labels("AAAAAAAAXXAAA", "--------BB---").backchannel
    assert found[1].tolist() == [False] * 3 + [True] * 7 + [False] * 3
    assert not found[0].any()
    assert labels("BB---", "BB---").backchannel[1].tolist() == [True, True, False, False, False]


def test_pauses_shorter_than_the_limit_are_filled_and_edges_are_not() -> None:
    assert np.array_equal(bridge_short_pauses(draw("-A-A--A-"), 2), draw("-AAA--A-"))
    assert np.array_equal(bridge_short_pauses(draw("AABAA"), 2), draw("AAXAA"))


def test_a_stop_inside_a_word_does_not_end_a_turn() -> None:
    activity, silent = draw("AAA-AAA---BBB"), draw("-" * 13)
    found = label_frames(activity, silent, RATE_HZ, BIN_EDGES_S)
    assert found.next_holder.tolist() == [1] * 10 + [UNKNOWN] * 3
    assert not found.vad[0, 3]


def test_the_projection_counts_backchannels_and_raw_pauses() -> None:
    rng = np.random.default_rng(1)
    activity = rng.random((2, 60)) < 0.5
    found = label_frames(activity, activity & (rng.random((2, 60)) < 0.2), RATE_HZ, BIN_EDGES_S)
    assert np.array_equal(found.projection, projection_classes(activity, RATE_HZ, BIN_EDGES_S))


def test_without_a_judge_the_next_speaker_is_a_fact_or_unknown() -> None:
    assert seconds(judged("AAA---BBB--AA-")) == [1] * 6 + [0] * 5 + [0.5] * 3


def test_in_speech_the_judge_of_the_one_who_speaks_says_who_would_be_next() -> None:
    found = judged("AAAAA---BBBBB---AAAA", "-3--9", "--------8--1")
    assert seconds(found) == [
        1,
        0.3,
        1,
        1,
        0.9,
        1,
        1,
        1,
        0.2,
        0,
        0,
        0.9,
        0,
        0,
        0,
        0,
        0.5,
        0.5,
        0.5,
        0.5,
    ]
    assert found.next_weight[[1, 4, 8, 11]].tolist() == [1.0] * 4
    plain = judged("AAAAA---BBBBB---AAAA")
    others = np.setdiff1d(np.arange(20), [1, 4, 8, 11])
    assert np.array_equal(found.next_weight[others], plain.next_weight[others])
    assert (plain.next_weight[[1, 4, 8, 11]] == 0.5).all()


def test_in_speech_that_nothing_follows_the_judge_alone_is_believed() -> None:
    found = judged("BBB---", "", "--6")
    assert seconds(found) == [0.5, 0.5, 0.4, 0.5, 0.5, 0.5]
    assert found.next_weight.tolist() == [0, 0, 1, 0, 0, 0]


def test_in_silence_the_label_is_half_what_happened_and_half_what_the_judge_said() -> None:
    shift = judged("AAA----BBB", "---46-0")
    assert seconds(shift) == [1, 1, 1, 0.7, 0.8, 1, 0.5, 0.5, 0.5, 0.5]
    hold = judged("AAA----AAA-B", "---46-0")
    assert seconds(hold) == [0, 0, 0, 0.2, 0.3, 0, 0, 1, 1, 1, 1, 0.5]
    assert np.array_equal(shift.next_weight, judged("AAA----BBB").next_weight)


def test_in_silence_at_the_end_nobody_knows() -> None:
    found = judged("AAA---", "---9")
    assert seconds(found) == [0.5] * 6
    assert found.next_weight.tolist() == [0] * 6


def test_only_the_speaker_who_spoke_last_alone_is_judged() -> None:
    silent, other = judged("AA---BB--AA"), judged("AA---BB--AA", "------3-4", "-3-4------6")
    assert seconds(silent) == seconds(other)
    assert np.array_equal(silent.next_weight, other.next_weight)
    before, overlap = judged("---AAXXAA-BB", "-4---44", "-4---44"), judged("---AAXXAA-BB")
    assert seconds(before) == seconds(overlap)


def test_judged_labels_mirror_when_the_speakers_are_exchanged() -> None:
    rng = np.random.default_rng(3)
    activity = np.stack(
        [np.repeat(rng.random(60) < 0.5, rng.integers(1, 12, 60))[:300] for _ in range(2)]
    )
    scores = np.where(rng.random((2, 300)) < 0.4, rng.random((2, 300)), np.nan)
    silent = np.zeros_like(activity)
    found, mirrored = (
        label_frames(activity[order], silent, RATE_HZ, BIN_EDGES_S, scores[order])
        for order in ([0, 1], [1, 0])
    )
    assert mirrored.next_second == pytest.approx(1 - found.next_second, abs=1e-6)
    assert np.array_equal(mirrored.next_weight, found.next_weight)
    plain = label_frames(activity, silent, RATE_HZ, BIN_EDGES_S)
    assert 20 < (found.next_second != plain.next_second).sum() < 200


# All targets a second time, frame by frame in plain Python at 50 Hz.


def bridged_by_hand(turns: list[list[bool]]) -> list[list[bool]]:
    """Fill breaks in speech.

    A silent frame becomes speech if the speaker's own speech lies on both sides of it, with fewer
    than 10 silent frames between.
    """
    result: list[list[bool]] = []
    for row in turns:
        filled: list[bool] = []
        for t in range(len(row)):
            back = next((n for n in range(min(10, t + 1)) if row[t - n]), None)
            ahead = next((n for n in range(min(10, len(row) - t)) if row[t + n]), None)
            filled.append(back is not None and ahead is not None and back + ahead - 1 < 10)
        result.append(filled)
    return result


def holder_by_hand(turns: list[list[bool]], t: int) -> tuple[int, int]:
    """Return the next speaker at frame t, and the end of the stretch of speech.

    The end counts only if one speaker alone is active at t.
    """
    length = len(turns[0])

    def state(at: int) -> str:
        return "-AB "[turns[0][at] + 2 * turns[1][at]] if at < length else "-"

    at = t
    if state(t) in "AB":
        while state(at) == state(t) or state(at) == " ":
            after = at
            while state(after) == " ":
                after += 1
            if state(after) != state(t):
                break
            at = after + 1
        end = at
    else:
        end = length
    while at < length and state(at) not in "AB":
        at += 1
    return (UNKNOWN if at >= length else "AB".index(state(at))), end


def weight_by_hand(turns: list[list[bool]], t: int, holder: int, end: int) -> float:
    if holder == UNKNOWN:
        return 0.0
    speaking = turns[0][t] + turns[1][t]
    if speaking == 0:
        silent_for = next(
            n for n in range(t + 2) if n == t + 1 or turns[0][t - n] or turns[1][t - n]
        )
        return 1.0 if silent_for <= 60 else 0.02
    return 0.5 if speaking == 1 and end - t <= 25 else 0.02


def projection_by_hand(activity: list[list[bool]], t: int) -> int:
    bins = ((0, 10), (10, 30), (30, 60), (60, 100))
    if t + 100 >= len(activity[0]):
        return UNKNOWN
    on = [
        2 * sum(activity[s][t + 1 + low : t + 1 + high]) >= high - low
        for s in (0, 1)
        for low, high in bins
    ]
    return sum(2**bit for bit, is_on in enumerate(on) if is_on)


@settings(max_examples=60, deadline=None)
@given(conversations(), st.randoms(use_true_random=False))
def test_all_targets_equal_an_independent_implementation(
    activity: NDArray[np.bool_], random: Random
) -> None:
    frames = activity.shape[1]
    backchannel = np.zeros_like(activity)
    for speaker in (0, 1):
        giving = False
        for t in range(frames):
            if not activity[speaker, t - 1] or t == 0:
                giving = random.random() < 0.3
            backchannel[speaker, t] = activity[speaker, t] and giving
    found = label_frames(activity, backchannel, 50.0, BIN_EDGES_S)
    turns = bridged_by_hand((activity & ~backchannel).tolist())
    onsets = (backchannel & ~np.pad(backchannel, ((0, 0), (1, 0)))[:, :-1]).tolist()
    given_by_hand = [
        [row[t] or any(starts[t + 1 : t + 26]) for t in range(frames)]
        for row, starts in zip(backchannel.tolist(), onsets, strict=True)
    ]
    assert found.vad.tolist() == activity.tolist()
    holders_and_ends = [holder_by_hand(turns, t) for t in range(frames)]
    assert found.next_holder.tolist() == [holder for holder, _ in holders_and_ends]
    assert found.next_second.tolist() == [
        0.5 if holder == UNKNOWN else holder for holder, _ in holders_and_ends
    ]
    assert np.array_equal(
        found.next_weight,
        np.array(
            [weight_by_hand(turns, t, *known) for t, known in enumerate(holders_and_ends)],
            np.float32,
        ),
    )
    assert found.projection.tolist() == [
        projection_by_hand(activity.tolist(), t) for t in range(frames)
    ]
    assert found.backchannel.tolist() == given_by_hand
