"""Activity is drawn one character per 0.1 s: A and B alone, X both, - silence."""

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.config import ModelConfig
from turnstream.models.dialogues.labels import FrameLabels, bridge_short_pauses, label_frames, next_holder
from turnstream.models.projection import UNKNOWN, projection_classes

RATE_HZ = 10.0
BIN_EDGES_S = ModelConfig().bin_edges_s


def draw(floor: str) -> NDArray[np.bool_]:
    return np.array([[frame in "AX" for frame in floor], [frame in "BX" for frame in floor]])


def holders(floor: str) -> str:
    """Who is next, a and b, ? where unknown."""
    holder, _ = next_holder(draw(floor), RATE_HZ)
    return "".join({0: "a", 1: "b", UNKNOWN: "?"}[int(h)] for h in holder)


def weights(floor: str) -> list[float]:
    return [round(float(w), 2) for w in next_holder(draw(floor), RATE_HZ)[1]]


def labels(activity: str, backchannel: str) -> FrameLabels:
    return label_frames(draw(activity), draw(backchannel), RATE_HZ, BIN_EDGES_S)


@pytest.mark.parametrize(
    ("floor", "expected"),
    [
        ("---AAA", "aaa???"),  # silence before anyone has spoken: whoever starts; after the last speech nobody knows
        ("AAA---BBB---", "bbbbbb??????"),  # A, gap, B: a shift
        ("AAA---AAA---BBB", "aaaaaabbbbbb???"),  # A, pause, A: a hold, then a shift
        ("AAABBB", "bbb???"),  # no gap at all
        ("AAAXXBBB", "bbbbb???"),  # B takes over in overlap: already during it
        ("AAAXXAAA--BBB", "bbbaabbbbb???"),  # B interjects and A goes on: that stretch of A's ends with B's turn
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
    turns = np.stack([np.repeat(rng.random(60) < 0.5, rng.integers(1, 12, 60))[:200] for _ in range(2)])
    holder, weight = next_holder(turns, RATE_HZ)
    mirrored, mirrored_weight = next_holder(turns[::-1], RATE_HZ)
    assert np.array_equal(mirrored, np.where(holder == UNKNOWN, UNKNOWN, 1 - holder))
    assert np.array_equal(weight, mirrored_weight)


def test_silence_weighs_most_then_the_end_of_speech_then_the_rest() -> None:
    assert weights("A" * 15 + "---" + "B") == [0.1] * 5 + [0.5] * 10 + [1.0] * 3 + [0.0]


def test_a_silence_weighs_fully_only_for_its_first_two_seconds() -> None:
    assert weights("A" + "-" * 25 + "B") == [0.5] + [1.0] * 20 + [0.1] * 5 + [0.0]


def test_speech_before_an_interjection_is_not_near_its_end() -> None:
    assert weights("A" * 4 + "X" * 2 + "A" * 12 + "-B") == [0.1] * 4 + [0.1] * 2 + [0.1] * 2 + [0.5] * 10 + [1.0, 0.0]


def test_what_is_unknown_weighs_nothing() -> None:
    assert weights("AAA--") == [0.0] * 5


def test_a_backchannel_takes_no_turn() -> None:
    with_it = labels("AAAA-B-AAAA---BBB", "-----B-----------")
    assert with_it.next_holder.tolist() == next_holder(draw("AAAA---AAAA---BBB"), RATE_HZ)[0].tolist()
    assert with_it.vad[1, 5]  # but it is speech
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
