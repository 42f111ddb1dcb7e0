from collections.abc import Callable
from pathlib import Path

import pytest

from .making import listed, spoken, words, write, write_audio

SECONDS = 150.0
MRT = """<?xml version="1.0" encoding="UTF-8"?>
<Meeting Session="Bmr001" DateTimeStamp="2000-02-02-1700">
  <Preamble>
    <Channels><Channel Name="chan0" Mic="c1" AudioFile="chan0.sph"/></Channels>
    <Participants>
      <Participant Name="me011" Channel="chan3"/>
      <Participant Name="fe008" Channel="chan0"/>
      <Participant Name="mn055"/>
    </Participants>
  </Preamble>
  <Transcript StartTime="0.0" EndTime="150.0"/>
</Meeting>
"""


def words_xml(elements: list[str]) -> str:
    return (
        '<?xml version="1.0"?>\n<nite:root xmlns:nite="http://nite.sourceforge.net/">\n'
        + "\n".join(elements)
        + "\n</nite:root>\n"
    )


def word(start: object, end: object, text: str, kind: str = "W") -> str:
    return f'<w nite:id="w" starttime="{start}" endtime="{end}" c="{kind}">{text}</w>'


A = [
    word(10 * i + 1, "", "we")
    + word("", 10 * i + 3, "'re")
    + word(10 * i + 3, 10 * i + 3, ",", "CM")
    for i in range(15)
]
B = [word(10 * i + 5, 10 * i + 6, "yeah") for i in range(15)]
A.insert(3, word("", "", "five"))  # spoken somewhere between 23 and 31 s
A.insert(-1, '<vocalsound nite:id="v" starttime="138" endtime="139" description="laugh"/>')


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "icsi"
    for agent, who, elements in (
        ("A", "me011", A),
        ("B", "fe008", B),
        ("C", "mn055", [word(1, 3, "hm")]),
    ):
        write(folder / "ICSI" / "Words" / f"Bmr001.{agent}.words.xml", words_xml(elements))
        segment = f'<segment nite:id="s" starttime="1" endtime="3" participant="{who}"/>'
        write(folder / "ICSI" / "Segments" / f"Bmr001.{agent}.segs.xml", words_xml([segment]))
    write(folder / "transcripts" / "Bmr001.mrt", MRT)
    for channel in (0, 3):
        write_audio(folder / "Bmr001" / f"chan{channel}.wav", [[]], SECONDS, 1000)
    return folder


def test_stretches_avoid_others_and_words_without_times(corpus: Path) -> None:
    (dialogue,) = listed("icsi", corpus)
    assert (dialogue.id, dialogue.speakers) == ("Bmr001.AB.0040", ("icsi/me011", "icsi/fe008"))
    assert [path.name for path in dialogue.audio] == ["chan3.wav", "chan0.wav"]
    assert (dialogue.start_s, dialogue.end_s) == (40.0, 140.0)
    assert spoken(dialogue) == [
        [(10.0 * i + 1, 10.0 * i + 3) for i in range(10)],
        [(10.0 * i + 5, 10.0 * i + 6) for i in range(10)],
    ]
    assert set(words(dialogue)) == {(0, "we're"), (1, "yeah")}


def test_a_last_word_without_times_leaves_out_what_follows(corpus: Path) -> None:
    write(
        corpus / "ICSI" / "Words" / "Bmr001.B.words.xml", words_xml([*B[:12], word("", "", "bye")])
    )
    (dialogue,) = listed("icsi", corpus)
    assert (dialogue.start_s, dialogue.end_s) == (40.0, 110.0)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "Bmr001.mrt",
            None,
            (
                "expected Bmr001.mrt of the original transcripts, which says whose channel is "
                "which, got none"
            ),
        ),
        ("Bmr001.mrt", "<Meeting>", "Bmr001.mrt: expected XML, got: "),
        (
            "Bmr001.B.segs.xml",
            None,
            "expected Segments/Bmr001.B.segs.xml, which says who agent B is, got none",
        ),
        (
            "Bmr001.B.segs.xml",
            "<a/>",
            "Bmr001.B.segs.xml: expected a segment with a participant, got none",
        ),
        ("chan3.wav", None, "Bmr001.A.words.xml: expected its audio, Bmr001/chan3 ("),
    ],
)
def test_what_is_missing_or_broken_is_named(
    name: str, text: str | None, message: str, corpus: Path, complaint: Callable[..., str]
) -> None:
    (path,) = corpus.rglob(name)
    path.unlink() if text is None else path.write_text(text)
    assert message in complaint("manifest", "icsi", corpus, "--out", corpus.parent / "m.jsonl")
