from collections.abc import Callable
from pathlib import Path

import pytest

from .making import listed, spoken, write, write_audio

ANN, BOB = [(0.5, 1.5), (3.0, 4.0)], [(1.8, 2.6)]
# A point is labelled "IntervalTier", which must not be taken for the next tier.
SHORT = """File type = "ooTextFile"
"TextGrid"

0
5
<exists>
3
"IntervalTier"
"ann"
0
5
4
0
0.5
"sil"
0.5
1.5
"hello ""you"" there"
1.5
3
"[laughter]"
3
4
"bye"
"TextTier"
"clicks"
0
5
1
2.2
"IntervalTier"
"IntervalTier"
"bob"
0
5
1
1.8
2.6
"mhm"
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tiers_are_found_on_their_channels(encoding: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "calls" / "one.wav", [BOB, ANN], 5.0)
    write(tmp_path / "calls" / "one.TextGrid", SHORT, encoding)
    (dialogue,) = listed("textgrid", tmp_path / "calls")
    assert (dialogue.segments_of, dialogue.speakers) == (("bob", "ann"), ("one/bob", "one/ann"))
    assert spoken(dialogue) == [BOB, ANN]


def test_two_mono_files_are_named_as_the_tiers(tmp_path: Path) -> None:
    write_audio(tmp_path / "calls" / "one-ann.flac", [ANN], 5.0)
    write_audio(tmp_path / "calls" / "one-bob.flac", [BOB], 5.0)
    write(tmp_path / "calls" / "one.TextGrid", SHORT)
    (dialogue,) = listed("textgrid", tmp_path / "calls", "--licence", "ours")
    assert (spoken(dialogue), dialogue.licence) == ([ANN, BOB], "ours")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "one.TextGrid: expected a TextGrid in text form, got 'hello'"),
        (
            SHORT[:-8],
            "one.TextGrid: expected name and every entry of tier 3, got: a file that is cut short",
        ),
        (
            SHORT.replace('"IntervalTier"\n"bob"', '"TextTier"\n"bob"').replace("1.8\n2.6", "1.8"),
            "one.TextGrid: expected two speakers in one, got 1: ann",
        ),
        (
            SHORT.replace('"bob"', '"ann"'),
            "one.TextGrid: expected tiers of different names, got two named 'ann'",
        ),
    ],
)
def test_what_is_broken_is_named(
    text: str, message: str, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    write_audio(tmp_path / "calls" / "one.wav", [ANN, BOB], 5.0)
    write(tmp_path / "calls" / "one.TextGrid", text)
    assert message in complaint(
        "manifest", "textgrid", tmp_path / "calls", "--out", tmp_path / "m.jsonl"
    )


def test_a_broken_file_can_be_left_out_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_audio(tmp_path / "calls" / "one.wav", [ANN, BOB], 5.0)
    write(tmp_path / "calls" / "one.TextGrid", SHORT)
    broken = write(tmp_path / "calls" / "two.TextGrid", "hello")
    assert [
        dialogue.id for dialogue in listed("textgrid", tmp_path / "calls", "--skip-broken")
    ] == ["one"]
    assert (
        f"left out two: {broken}: expected a TextGrid in text form, got 'hello'"
        in capsys.readouterr().err
    )


def test_two_files_of_the_same_name_are_both_named(
    tmp_path: Path, complaint: Callable[..., str]
) -> None:
    first, second = (
        write(tmp_path / "calls" / day / "one.TextGrid", SHORT) for day in ("day1", "day2")
    )
    line = f"{second}: expected every file name once, got the same at {first}"
    words = ["textgrid", tmp_path / "calls", "--out", tmp_path / "m.jsonl"]
    assert complaint("manifest", *words).endswith(line)
