from pathlib import Path

import pytest

from turnstream.models.dialogues.rttm_file import read_rttm
from turnstream.stream.errors import DialogueError


def test_rttm_gives_segments_by_recording_and_speaker(tmp_path: Path):
    path = tmp_path / "a.rttm"
    path.write_text(
        "SPEAKER talk 1 0.5 1.0 <NA> <NA> ann <NA> <NA>\nSPKR-INFO ignored\n\n"
        "SPEAKER talk 1 2.0 0.5 <NA> <NA> bob <NA> <NA>\n"
    )
    assert read_rttm(path) == {"talk": {"ann": [(0.5, 1.5)], "bob": [(2.0, 2.5)]}}


@pytest.mark.parametrize(
    "line",
    [
        "SPEAKER talk 1 x 1.0 <NA> <NA> ann",
        "SPEAKER talk 1 0.5",
        "SPEAKER talk 1 nan 1 <NA> <NA> ann",
        "SPEAKER talk 1 1 -1 <NA> <NA> ann",
    ],
)
def test_a_bad_rttm_line_is_named(tmp_path: Path, line: str):
    path = tmp_path / "a.rttm"
    path.write_text("SPEAKER talk 1 0.5 1.0 <NA> <NA> ann <NA> <NA>\n" + line)
    with pytest.raises(DialogueError, match=r"a\.rttm, line 2: expected SPEAKER"):
        read_rttm(path)


def test_a_byte_order_mark_hides_no_line(tmp_path: Path):
    path = tmp_path / "a.rttm"
    path.write_text("\ufeffSPEAKER talk 1 0.5 1.0 <NA> <NA> ann <NA> <NA>\n", encoding="utf-8")
    assert read_rttm(path) == {"talk": {"ann": [(0.5, 1.5)]}}


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DialogueError, match=r"none\.rttm: expected an RTTM file, got: "):
        read_rttm(tmp_path / "none.rttm")
