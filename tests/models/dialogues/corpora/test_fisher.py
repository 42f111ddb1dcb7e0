from collections.abc import Callable
from pathlib import Path

import pytest

from turnstream.models.dialogues import annotation

from .making import listed, spoken, voices, words, write, write_sphere

SPEAKERS = [[(1.0, 2.0)], [(2.5, 4.0)]]
TRANSCRIPT = """# fe_03_00001.sph
# Transcribed at the LDC

1.00 2.00 A: hi um (( )) there
2.10 2.40 A: [laughter]

2.50 4.00 B: hello [noise] who's this
4.10 4.20 B: (( ))
"""
CALLS = (
    "CALL_ID,DATE_TIME,TOPICID,SIG_GRADE,CNV_GRADE,APIN,ASX.DL,APHNUM,APHSET,APHTYP,"
    "BPIN,BSX.DL,BPHNUM,BPHSET,BPHTYP\n"
    "00001,20021212_1545,ENG01,3,3,2602,m.a,123,1,1,1790,f.a,456,1,1\n"
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "fisher"
    write_sphere(
        folder / "LDC2004S13" / "fisher_eng_tr_sp_d1" / "audio" / "000" / "fe_03_00001.sph",
        SPEAKERS,
        5.0,
    )
    write(folder / "LDC2004T19" / "data" / "trans" / "000" / "fe_03_00001.txt", TRANSCRIPT)
    write(folder / "LDC2004T19" / "doc" / "fe_03_p1_calldata.tbl", CALLS)
    return folder


def test_a_call_has_its_text_and_takes_activity_from_the_audio(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dialogue,) = listed("fisher", corpus)
    assert (dialogue.id, dialogue.speakers, dialogue.activity_from) == (
        "fe_03_00001",
        ("fisher2602", "fisher1790"),
        "audio",
    )
    assert words(dialogue) == [
        (0, "hi um (( )) there"),
        (1, "hello [noise] who's this"),
        (1, "(( ))"),
    ]
    monkeypatch.setattr(
        annotation,
        "detect_activity",
        lambda audio: abs(audio.reshape(2, -1, 320)).max(axis=2) > 0.1,
    )
    assert spoken(dialogue) == SPEAKERS
    assert voices(SPEAKERS, 5.0, 8000).shape == (2, 40000)


def test_words_can_be_chosen_instead(corpus: Path) -> None:
    (dialogue,) = listed("fisher", corpus, "--activity-from", "words")
    assert spoken(dialogue) == [[(1.0, 2.0)], [(2.5, 4.2)]]  # the silence of 0.1 s is bridged


def test_a_caller_without_a_pin_is_somebody_of_this_call_alone(corpus: Path) -> None:
    (table,) = corpus.rglob("fe_03_p1_calldata.tbl")
    table.write_text(CALLS.replace("2602", ""))
    assert listed("fisher", corpus)[0].speakers == ("fe_03_00001/A", "fisher1790")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "fe_03_00001.txt",
            TRANSCRIPT + "4.5 C: what\n",
            "fe_03_00001.txt, line 9: expected 'start end A: text' or B, got '4.5 C: what'",
        ),
        ("fe_03_00001.txt", "3.0 2.0 A: what\n", "line 1: expected 'start end A: text'"),
        ("fe_03_00001.sph", None, "fe_03_00001.txt: expected its audio, fe_03_00001 ("),
        (
            "fe_03_00001.txt",
            None,
            "expected files such as fe_03_00001.txt, got none of this form among 2 files",
        ),
        (
            "fe_03_p1_calldata.tbl",
            "CALL_ID,APIN\n",
            "expected columns CALL_ID, APIN and BPIN, got none named BPIN",
        ),
    ],
)
def test_what_is_missing_or_broken_is_named(
    name: str, text: str | None, message: str, corpus: Path, complaint: Callable[..., str]
) -> None:
    (path,) = corpus.rglob(name)
    path.unlink() if text is None else path.write_text(text)
    assert message in complaint("manifest", "fisher", corpus, "--out", corpus.parent / "m.jsonl")
