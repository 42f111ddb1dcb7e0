from pathlib import Path

import pytest

from turnstream.models.dialogues.timing import read_templates, turns_from_segments


def test_order_offsets_and_pauses_of_a_conversation():
    first, second, third = turns_from_segments([[(1.0, 3.0), (3.5, 5.0), (9.0, 11.0)], [(5.4, 8.7)]])
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


def test_templates_come_by_corpus(material_folder: Path):
    templates = read_templates(material_folder)
    assert list(templates) == ["spjallromur"]
    ((*turns,),) = templates["spjallromur"]
    assert len(turns) == 60
    assert {turn.speaker for turn in turns} == {0, 1}
