import gzip
import json
from pathlib import Path

import pytest

from turnstream.models.dialogues.timing import read_templates, turns_from_segments, turns_from_words
from turnstream.models.dialogues.word_times import Word


def words(text: str, start_s: float, word_s: float = 0.3) -> list[Word]:
    """Return words that follow one another without a gap."""
    return [
        (start_s + i * word_s, start_s + (i + 1) * word_s, word)
        for i, word in enumerate(text.split())
    ]


def test_order_offsets_and_pauses_of_a_conversation():
    first, second, third = turns_from_segments(
        [[(1.0, 3.0), (3.5, 5.0), (9.0, 11.0)], [(5.4, 8.7)]]
    )
    assert (first.speaker, first.parts_s, first.pauses_s) == (0, (2.0, 1.5), (0.5,))
    assert (second.speaker, second.parts_s) == (1, pytest.approx((3.3,)))
    assert second.offset_s == pytest.approx(0.4)
    assert third.offset_s == pytest.approx(0.3)


def test_an_overlap_is_a_negative_offset_no_deeper_than_allowed():
    _, slight, deep = turns_from_segments([[(1.0, 4.0), (7.0, 12.0)], [(3.5, 9.0)]])
    assert slight.offset_s == pytest.approx(-0.5)
    assert deep.offset_s == pytest.approx(-1.2)


def test_a_short_reaction_inside_the_others_turn_is_a_backchannel():
    (turn,) = turns_from_segments([[(1.0, 5.0), (5.5, 9.0)], [(5.0, 5.4)]])
    assert turn.speaker == 0
    assert turn.backchannels == pytest.approx((0.5,))


def test_a_short_answer_after_which_the_other_goes_on_late_is_a_turn():
    turns = turns_from_segments([[(1.0, 5.0), (8.0, 9.0)], [(5.4, 5.9)]])
    assert [turn.speaker for turn in turns] == [0, 1, 0]


def test_templates_come_by_corpus(data_folder: Path):
    templates = read_templates(data_folder)
    assert list(templates) == ["spjallromur"]
    ((*turns,),) = templates["spjallromur"]
    assert len(turns) == 60
    assert {turn.speaker for turn in turns} == {0, 1}


def test_words_make_turns_and_a_gap_between_words_makes_a_pause():
    speakers = [words("i was there", 0.0) + words("last year", 1.5), words("and how was it", 2.4)]
    first, second = turns_from_words(speakers)
    assert (first.speaker, first.parts_s, first.pauses_s) == (
        0,
        pytest.approx((0.9, 0.6)),
        pytest.approx((0.6,)),
    )
    assert (second.speaker, second.parts_s) == (1, pytest.approx((1.2,)))
    assert second.offset_s == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("said", "reacts"),
    [
        ("uh-huh", True),
        ("oh yeah right", True),
        ("i see", True),
        ("in may", False),
        ("right but", False),
    ],
)
def test_by_words_only_reactions_are_backchannels(said: str, reacts: bool):
    speaker = words("and so we drove all night", 0.0) + words("until we were there", 2.2)
    turns = turns_from_words([speaker, words(said, 1.5)])
    assert [turn.speaker for turn in turns] == ([0] if reacts else [0, 1, 0])
    assert len(turns[0].backchannels) == reacts


def test_the_same_words_after_which_the_other_stays_silent_are_a_turn():
    turns = turns_from_words(
        [words("do you like it there", 0.0) + words("i see then", 9.0), words("yeah", 1.6)]
    )
    assert [turn.speaker for turn in turns] == [0, 1, 0]


def test_reactions_next_to_own_speech_are_no_backchannels():
    speaker = words("and so we drove all night", 0.0) + words("until we were there", 2.2)
    turns = turns_from_words([speaker, words("right", 1.5) + words("you told me about it", 2.4)])
    assert turns[0].backchannels == ()


def test_templates_are_read_from_word_times(tmp_path: Path):
    folder = tmp_path / "timing" / "switchboard"
    folder.mkdir(parents=True)
    long = {
        name: [[4.0 * i + 2.0 * part, 4.0 * i + 2.0 * part + 1.5, "word"] for i in range(8)]
        for part, name in enumerate("AB")
    }
    short = {"A": [[0.0, 1.0, "hello"]], "B": [[1.5, 2.0, "bye"]]}
    (folder / "words.jsonl.gz").write_bytes(
        gzip.compress("\n".join(json.dumps(c) for c in (long, short)).encode())
    )
    ((turns,),) = read_templates(tmp_path).values()
    assert [turn.speaker for turn in turns] == [0, 1] * 8
    assert turns[5].offset_s == pytest.approx(0.5)
