from collections.abc import Callable
from pathlib import Path

import pytest

from .making import listed, spoken, words, write, write_audio

NAME = "day1_consultation01"


def textgrid(intervals: list[tuple[float, float, str]], seconds: float) -> str:
    """Return a TextGrid in the form of the corpus: long form, one tier, CRLF."""
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0 ",
        f"xmax = {seconds} ",
        "tiers? <exists> ",
        "size = 1 ",
        "item []: ",
    ]
    lines += [
        "    item [1]:",
        '        class = "IntervalTier" ',
        '        name = "Speaker" ',
        "        xmin = 0 ",
        f"        xmax = {seconds} ",
    ]
    lines += [f"        intervals: size = {len(intervals)} "]
    for number, (start, end, text) in enumerate(intervals, 1):
        lines += [
            f"        intervals [{number}]:",
            f"            xmin = {start} ",
            f"            xmax = {end} ",
            f'            text = "{text}" ',
        ]
    return "\r\n".join(lines) + "\r\n"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "primock57"
    write_audio(folder / "audio" / f"{NAME}_doctor.wav", [[(1.0, 2.0)]], 5.0, 16000)
    write_audio(folder / "audio" / f"{NAME}_patient.wav", [[(2.5, 4.0)]], 5.0, 16000)
    write(
        folder / "transcripts" / f"{NAME}_doctor.TextGrid",
        textgrid([(0, 1, ""), (1, 2, "Hello? <UNIN/>"), (2, 5, "")], 5.0),
    )
    write(
        folder / "transcripts" / f"{NAME}_patient.TextGrid",
        textgrid([(0, 2.5, ""), (2.5, 4, "<UNSURE>Hi</UNSURE>, doctor."), (4, 5, "")], 5.0),
    )
    return folder


def test_a_consultation_has_its_text_and_takes_activity_from_the_audio(corpus: Path) -> None:
    (dialogue,) = listed("primock57", corpus)
    assert (dialogue.id, dialogue.speakers, dialogue.activity_from) == (
        NAME,
        (f"{NAME}/doctor", f"{NAME}/patient"),
        "audio",
    )
    assert words(dialogue) == [(0, "Hello? <UNIN/>"), (1, "<UNSURE>Hi</UNSURE>, doctor.")]
    (chosen,) = listed("primock57", corpus, "--activity-from", "words")
    assert spoken(chosen) == [[(1.0, 2.0)], [(2.5, 4.0)]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            f"transcripts/{NAME}_patient.TextGrid",
            None,
            f"expected {NAME}_patient.TextGrid beside that of the other party, got none",
        ),
        (
            f"transcripts/{NAME}_patient.TextGrid",
            "hello",
            f"{NAME}_patient.TextGrid: expected a TextGrid in text form, got 'hello'",
        ),
        (
            f"audio/{NAME}_patient.wav",
            None,
            f"expected its audio, {NAME}_doctor and {NAME}_patient (",
        ),
        (
            f"audio/{NAME}_patient.wav",
            "version https://git-lfs.github.com/spec/v1",
            f"{NAME}_patient.wav: expected an audio file that libsndfile reads",
        ),
    ],
)
def test_what_is_missing_or_broken_is_named(
    name: str, text: str | None, message: str, corpus: Path, complaint: Callable[..., str]
) -> None:
    path = corpus / name
    path.unlink() if text is None else path.write_text(text)
    assert message in complaint("manifest", "primock57", corpus, "--out", corpus.parent / "m.jsonl")
