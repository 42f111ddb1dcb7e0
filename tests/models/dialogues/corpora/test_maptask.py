from collections.abc import Callable
from pathlib import Path

import pytest

from .making import listed, spoken, words, write, write_audio

GIVER, FOLLOWER = [(0.5, 1.5), (3.0, 4.0)], [(1.8, 2.6)]
UNITS = {
    "g": """<?xml version='1.0'?>
<timed-unit-stream xmlns:nite="http://nite.sourceforge.net/" id="q1ec1.g.timed-units">
<sil id="q1ec1g.1" start="0.0000" end="0.5000"/>
<tu id="q1ec1g.2" start="0.5000" end="1.0000" utt="1">okay</tu>
<tu id="q1ec1g.3" start="1.0000" end="1.5000" utt="1">starting</tu>
<noi id="q1ec1g.4" start="1.5000" end="3.0000" type="outbreath" utt="1"/>
<tu id="q1ec1g.5" start="3.0000" end="4.0000" utt="2">off</tu>
</timed-unit-stream>
""",
    "f": """<?xml version='1.0'?>
<timed-unit-stream xmlns:nite="http://nite.sourceforge.net/" id="q1ec1.f.timed-units">
<tu id="q1ec1f.1" start="1.8000" end="2.6000" utt="1">mmhmm</tu>
</timed-unit-stream>
""",
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "maptask"
    for role, units in UNITS.items():
        write(
            folder / "maptaskv2-1" / "Data" / "timed-units" / f"q1ec1.{role}.timed-units.xml", units
        )
    return folder


@pytest.mark.parametrize("giver_first", [True, False])
def test_the_giver_is_found_on_either_channel(giver_first: bool, corpus: Path) -> None:
    speakers = [GIVER, FOLLOWER] if giver_first else [FOLLOWER, GIVER]
    write_audio(corpus / "signals" / "dialogues" / "q1ec1.mix.wav", speakers, 5.0, 20000)
    (dialogue,) = listed("maptask", corpus)
    assert spoken(dialogue) == speakers
    assert dialogue.speakers == (("q1ec1/g", "q1ec1/f") if giver_first else ("q1ec1/f", "q1ec1/g"))
    giver = 0 if giver_first else 1
    assert sorted(words(dialogue)) == sorted(
        [(giver, "okay"), (giver, "starting"), (giver, "off"), (1 - giver, "mmhmm")]
    )


def test_two_mono_files_are_giver_and_follower(corpus: Path) -> None:
    for role, times in (("g", GIVER), ("f", FOLLOWER)):
        write_audio(corpus / "signals" / f"q1ec1.{role}.wav", [times], 5.0, 20000)
    (dialogue,) = listed("maptask", corpus)
    assert [path.name for path in dialogue.audio] == ["q1ec1.g.wav", "q1ec1.f.wav"]
    assert spoken(dialogue) == [GIVER, FOLLOWER]


def test_channels_that_are_alike_are_refused(corpus: Path, complaint: Callable[..., str]) -> None:
    write_audio(corpus / "q1ec1.mix.wav", [GIVER + FOLLOWER, GIVER + FOLLOWER], 5.0, 20000)
    assert (
        "q1ec1.mix.wav: expected one speaker on each channel, got channels that differ by 0."
        in complaint("manifest", "maptask", corpus, "--out", corpus.parent / "m.jsonl")
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<timed-unit-stream><tu", "q1ec1.f.timed-units.xml: expected XML, got: "),
        (
            "<a><tu start='x' end='1'>hm</tu></a>",
            "q1ec1.f.timed-units.xml: expected times in seconds at <tu>, got start='x' and end='1'",
        ),
        (None, "expected q1ec1.f.timed-units.xml beside that of the other role, got none"),
    ],
)
def test_what_is_missing_or_broken_is_named(
    text: str | None, message: str, corpus: Path, complaint: Callable[..., str]
) -> None:
    write_audio(corpus / "q1ec1.mix.wav", [GIVER, FOLLOWER], 5.0, 20000)
    path = corpus / "maptaskv2-1" / "Data" / "timed-units" / "q1ec1.f.timed-units.xml"
    path.unlink() if text is None else path.write_text(text)
    assert message in complaint("manifest", "maptask", corpus, "--out", corpus.parent / "m.jsonl")
