from pathlib import Path

import pytest

from turnstream.models.dialogues.segments import read_segments
from turnstream.stream.errors import DialogueError

RTTM = (
    "SPEAKER one 1 0.5 1.0 <NA> <NA> ann <NA> <NA>\nSPEAKER one 1 2.0 0.5 <NA> <NA> bob <NA> <NA>\n"
)


def rttm(folder: Path, text: str) -> Path:
    (folder / "a.rttm").write_text(text)
    return folder / "a.rttm"


def test_a_speaker_is_found_by_name(tmp_path: Path) -> None:
    assert read_segments(rttm(tmp_path, RTTM), "bob", ["any name, as there is one recording"]) == [
        (2.0, 2.5)
    ]


def test_one_of_several_recordings_is_found_by_name(tmp_path: Path) -> None:
    path = rttm(tmp_path, RTTM + RTTM.replace("one", "two").replace("2.0", "3.0"))
    assert read_segments(path, "bob", ["elsewhere", "two"]) == [(3.0, 3.5)]
    with pytest.raises(
        DialogueError, match=r"a\.rttm: expected a recording named 'three', got 'one', 'two'"
    ):
        read_segments(path, "bob", ["three"])


def test_a_file_of_one_speaker_needs_no_name(tmp_path: Path) -> None:
    path = rttm(tmp_path, RTTM.splitlines()[0])
    assert read_segments(path, "whoever", [], own_file=True) == [(0.5, 1.5)]
    with pytest.raises(
        DialogueError, match=r"a\.rttm: expected a speaker or tier named 'whoever', got 'ann'"
    ):
        read_segments(path, "whoever", [])


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DialogueError,
        match=r"a\.csv: expected segments in a \.rttm or a \.TextGrid file, got '\.csv'",
    ):
        read_segments(tmp_path / "a.csv", "ann", [])


def test_two_tiers_of_the_same_name_are_refused(tmp_path: Path) -> None:
    tier = '"IntervalTier"\n"ann"\n0\n5\n1\n0.5\n1.5\n"hello"\n'
    (tmp_path / "a.TextGrid").write_text(
        f'File type = "ooTextFile"\n"TextGrid"\n\n0\n5\n<exists>\n2\n{tier}{tier}'
    )
    with pytest.raises(
        DialogueError, match=r"a\.TextGrid: expected tiers of different names, got two named 'ann'"
    ):
        read_segments(tmp_path / "a.TextGrid", "ann", [])
