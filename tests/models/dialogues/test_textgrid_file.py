from pathlib import Path

import pytest

from turnstream.models.dialogues.textgrid_file import Tier, read_textgrid, read_tiers
from turnstream.stream.errors import DialogueError

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 9
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "Ann"
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
            text = "Um, ""hello""?
second line with xmin = 7"
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 9
        points: size = 2
        points [1]:
            number = 1.5
            mark = "IntervalTier"
        points [2]:
            number = 1e1
            mark = ""
    item [3]:
        class = "IntervalTier"
        name = "Böb"
        xmin = 0
        xmax = 9
        intervals: size = 1
        intervals [1]:
            xmin = 5
            xmax = 6
            text = "ja "
"""
SHORT = """File type = "ooTextFile short"
"TextGrid"

0
9
<exists>
3
"IntervalTier"
"Ann"
0
9
2
0
2.5
""
2.5
4.25
"Um, ""hello""?
second line with xmin = 7"
"TextTier"
"clicks"
0
9
2
1.5
"IntervalTier"
1e1
""
"IntervalTier"
"Böb"
0
9
1
5
6
"ja "
"""
TIERS = [
    Tier("Ann", [(2.5, 4.25, 'Um, "hello"?\nsecond line with xmin = 7')]),
    Tier("Böb", [(5.0, 6.0, "ja")]),
]


@pytest.mark.parametrize("text", [LONG, SHORT, SHORT.replace("ooTextFile short", "ooTextFile")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_both_forms_give_the_same_in_every_encoding(
    text: str, encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "a.TextGrid").write_text(text, encoding=encoding)
    assert read_tiers(tmp_path / "a.TextGrid") == TIERS
    assert read_textgrid(tmp_path / "a.TextGrid") == [*TIERS[0].intervals, *TIERS[1].intervals]


def test_big_endian_utf_16_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.TextGrid").write_bytes(b"\xfe\xff" + LONG.encode("utf-16-be"))
    assert read_tiers(tmp_path / "a.TextGrid") == TIERS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "a.TextGrid: expected a TextGrid in text form, got 'hello'"),
        ("", "a.TextGrid: expected a TextGrid in text form, got ''"),
        ("ooBinaryFile\x08TextGrid", "expected a TextGrid in text form, got 'ooBinaryFile"),
        (
            'File type = "ooTextFile"\nObject class = "Sound 2"\n',
            "expected a TextGrid in text form",
        ),
        (
            'File type = "ooTextFile"\nObject class = "TextGrid"\n',
            "expected tiers, got: a file that is cut short",
        ),
        (
            LONG[: LONG.index("xmax = 4.25")],
            "expected name and every entry of tier 1, got: a file that is cut short",
        ),
        (LONG.replace("xmin = 2.5", 'xmin = "2.5"'), "tier 1, got: expected a number, got '2.5'"),
        (
            LONG.replace(
                '"IntervalTier"\n        name = "Böb"', '"PitchTier"\n        name = "Böb"'
            ),
            "tier 3, got: expected IntervalTier or TextTier, got 'PitchTier'",
        ),
    ],
)
def test_what_is_not_a_textgrid_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.TextGrid").write_text(text, encoding="utf-8")
    with pytest.raises(DialogueError) as error:
        read_tiers(tmp_path / "a.TextGrid")
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DialogueError, match=r"none\.TextGrid: expected a TextGrid, got: No such file"
    ):
        read_tiers(tmp_path / "none.TextGrid")
