from collections.abc import Callable
from pathlib import Path

import pytest

from turnstream.models.dialogues.loading import load_audio

from .making import listed, spoken, words, write, write_audio

SECONDS = 140.0
MEETINGS = (
    '<?xml version="1.0" encoding="ISO-8859-1" standalone="yes"?>\n'
    '<nite:root nite:id="meetings" xmlns:nite="http://nite.sourceforge.net/">\n'
    '  <meeting nite:id="meet_1" observation="ES2002a" duration="140" type="scenario">\n'
    '    <speaker nite:id="s1" camera="Closeup4" channel="1" nxt_agent="A"'
    ' global_name="MEE006" role="ID"/>\n'
    '    <speaker nite:id="s2" camera="Closeup3" channel="0" nxt_agent="B"'
    ' global_name="FEE005" role="PM"/>\n'
    '    <speaker nite:id="s3" camera="Closeup1" channel="2" nxt_agent="C"'
    ' global_name="MEE007" role="ME"/>\n'
    "  </meeting>\n"
    "</nite:root>\n"
)


def words_xml(agent: str, elements: list[str]) -> str:
    head = '<?xml version="1.0" encoding="ISO-8859-1" standalone="yes"?>\n'
    return (
        head
        + f'<nite:root nite:id="ES2002a.{agent}.words" xmlns:nite="http://nite.sourceforge.net/">\n'
        + "\n".join(elements)
        + "\n</nite:root>\n"
    )


def word(start: float, end: float, text: str, attributes: str = "") -> str:
    return f'  <w nite:id="w" starttime="{start}" endtime="{end}"{attributes}>{text}</w>'


A = [word(10 * i + 1, 10 * i + 4, "so") for i in range(14)] + [
    word(134, 134, ".", ' punc="true"'),
    '  <vocalsound nite:id="v" starttime="135" endtime="136" type="laugh"/>',
]
B = [word(10 * i + 5, 10 * i + 6, "café") for i in range(14)]
# The second is too short to matter
C = [
    word(12, 13, "hello"),
    word(127, 127.4, "yes"),
    word(138, 139, "bye"),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "ami"
    for agent, channel, elements in (("A", 1, A), ("B", 0, B), ("C", 2, C)):
        write(
            folder / "words" / f"ES2002a.{agent}.words.xml", words_xml(agent, elements), "latin-1"
        )
        write_audio(
            folder / "amicorpus" / "ES2002a" / "audio" / f"ES2002a.Headset-{channel}.wav",
            [[]],
            SECONDS,
            1000,
        )
    write(folder / "corpusResources" / "meetings.xml", MEETINGS)
    return folder


def test_a_stretch_that_two_hold_is_a_dialogue_on_their_headsets(corpus: Path) -> None:
    (dialogue,) = listed("ami", corpus)
    assert (dialogue.id, dialogue.speakers, dialogue.licence) == (
        "ES2002a.AB.0020",
        ("ami/MEE006", "ami/FEE005"),
        "CC BY 4.0",
    )
    assert [path.name for path in dialogue.audio] == [
        "ES2002a.Headset-1.wav",
        "ES2002a.Headset-0.wav",
    ]
    assert (dialogue.start_s, dialogue.end_s) == (20.0, 130.0)
    assert load_audio(dialogue, 1000).shape == (2, 110_000)
    first, second = spoken(dialogue)
    # Times count from the start of the dialogue, not of the meeting
    assert first == [(10.0 * i + 1, 10.0 * i + 4) for i in range(11)]
    assert second == [(10.0 * i + 5, 10.0 * i + 6) for i in range(11)]
    assert set(words(dialogue)) == {(0, "so"), (1, "café")}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "meetings.xml",
            None,
            "expected corpusResources/meetings.xml, which says who wears which headset, got none",
        ),
        (
            "meetings.xml",
            MEETINGS.replace('nxt_agent="B"', 'nxt_agent="D"'),
            "ES2002a.B.words.xml: expected speaker B of ES2002a in meetings.xml, got none",
        ),
        (
            "meetings.xml",
            MEETINGS.replace("global_name", "name"),
            "meetings.xml: expected observation of every meeting, and nxt_agent, global_name and",
        ),
        ("ES2002a.C.words.xml", "<w>", "ES2002a.C.words.xml: expected XML, got: "),
        (
            "ES2002a.C.words.xml",
            words_xml("C", [word(1, 2, "x").replace('"1"', '"one"')]),
            "expected times in seconds at <w>, got starttime='one'",
        ),
        (
            "ES2002a.Headset-2.wav",
            None,
            "ES2002a.C.words.xml: expected its audio, ES2002a.Headset-2 (",
        ),
    ],
)
def test_what_is_missing_or_broken_is_named(
    name: str, text: str | None, message: str, corpus: Path, complaint: Callable[..., str]
) -> None:
    (path,) = corpus.rglob(name)
    path.unlink() if text is None else path.write_text(text)
    assert message in complaint("manifest", "ami", corpus, "--out", corpus.parent / "m.jsonl")


def test_a_meeting_in_which_no_two_hold_the_floor_gives_nothing(
    corpus: Path, complaint: Callable[..., str]
) -> None:
    write(
        corpus / "words" / "ES2002a.C.words.xml",
        words_xml("C", [word(10 * i + 7, 10 * i + 9, "no") for i in range(14)]),
    )
    assert "expected dialogues of two people, got none in 1 recordings" in complaint(
        "manifest", "ami", corpus, "--out", corpus.parent / "m.jsonl"
    )
