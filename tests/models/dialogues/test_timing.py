from pathlib import Path

import pytest

from turnstream.models.dialogues.timing import read_rttm, read_templates, read_textgrid, turns_from_segments
from turnstream.models.errors import DialogueError


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


def test_rttm_gives_segments_by_recording_and_speaker(tmp_path: Path):
    path = tmp_path / "a.rttm"
    path.write_text("SPEAKER talk 1 0.5 1.0 <NA> <NA> ann <NA> <NA>\nSPKR-INFO ignored\n\nSPEAKER talk 1 2.0 0.5 <NA> <NA> bob <NA> <NA>\n")
    assert read_rttm(path) == {"talk": {"ann": [(0.5, 1.5)], "bob": [(2.0, 2.5)]}}


@pytest.mark.parametrize("line", ["SPEAKER talk 1 x 1.0 <NA> <NA> ann", "SPEAKER talk 1 0.5"])
def test_a_bad_rttm_line_is_named(tmp_path: Path, line: str):
    path = tmp_path / "a.rttm"
    path.write_text("SPEAKER talk 1 0.5 1.0 <NA> <NA> ann <NA> <NA>\n" + line)
    with pytest.raises(DialogueError, match=r"a\.rttm, line 2: expected SPEAKER"):
        read_rttm(path)


TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"
item []:
    item [1]:
        class = "IntervalTier"
        xmin = 0
        xmax = 9
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 2.5
            text = ""
        intervals [2]:
            xmin = 2.5
            xmax = 4.25
            text = "Um, ""hello""?"
"""


def test_textgrid_gives_intervals_with_text(tmp_path: Path):
    path = tmp_path / "a.TextGrid"
    path.write_text(TEXTGRID)
    assert read_textgrid(path) == [(2.5, 4.25, 'Um, "hello"?')]


def test_what_is_not_a_textgrid_is_named(tmp_path: Path):
    path = tmp_path / "a.TextGrid"
    path.write_text("hello")
    with pytest.raises(DialogueError, match=r"a\.TextGrid: expected a TextGrid in long form, got 'hello'"):
        read_textgrid(path)


def test_templates_come_by_corpus(material_folder: Path):
    templates = read_templates(material_folder)
    assert list(templates) == ["spjallromur"]
    ((*turns,),) = templates["spjallromur"]
    assert len(turns) == 60
    assert {turn.speaker for turn in turns} == {0, 1}
