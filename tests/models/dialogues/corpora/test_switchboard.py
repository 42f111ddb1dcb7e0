import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.models.checkpoint import load_checkpoint
from turnstream.models.dialogues.corpora.switchboard import plain_word
from turnstream.models.dialogues.manifest import load_audio
from turnstream.stream.cli import main

from ....networks import TINY
from .making import listed, sphere_header, spoken, voices, words, write, write_sphere

SPEAKERS = [[(0.98, 2.1), (5.0, 6.2)], [(2.6, 4.5)]]
SIDE_A = """sw2001A-ms98-a-0001 0.000000 0.977625 [silence]
sw2001A-ms98-a-0002 0.977625 1.500000 hi
sw2001A-ms98-a-0002 1.500000 2.100000 [laughter-um]
sw2001A-ms98-a-0003 2.100000 3.000000 [laughter]
sw2001A-ms98-a-0003 3.000000 5.000000 [silence]
sw2001A-ms98-a-0004 5.000000 5.600000 about_1
sw2001A-ms98-a-0004 5.600000 6.200000 th[at]-
sw2001A-ms98-a-0005 6.200000 7.000000 [noise]
"""
SIDE_B = """sw2001B-ms98-a-0001 0.000000 2.600000 <b_aside>
sw2001B-ms98-a-0002 2.600000 3.500000 {yuppiedom}
sw2001B-ms98-a-0002 3.500000 4.500000 [splace/space]
sw2001B-ms98-a-0003 4.500000 7.000000 [vocalized-noise]
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "LDC97S62"
    write_sphere(folder / "swb1_d1" / "data" / "sw02001.sph", SPEAKERS, 7.0)
    write(folder / "swb_ms98_transcriptions" / "20" / "2001" / "sw2001A-ms98-a-word.text", SIDE_A)
    write(folder / "swb_ms98_transcriptions" / "20" / "2001" / "sw2001B-ms98-a-word.text", SIDE_B)
    write(folder / "tables" / "conv_tab.csv", "2001, Y, 1020, 1044, 303, 0, 910304, 1218, 1222, ,\n")
    return folder


def test_words_say_who_spoke_and_laughter_and_noise_do_not(corpus: Path) -> None:
    (dialogue,) = listed("switchboard", corpus)
    assert (dialogue.id, dialogue.speakers, dialogue.corpus) == ("sw2001", ("swb1020", "swb1044"), "switchboard")
    assert (dialogue.licence, dialogue.split, dialogue.activity_from) == ("LDC User Agreement", "train", "words")
    assert spoken(dialogue) == [[(0.98, 2.1), (5.0, 6.2)], [(2.6, 4.5)]]
    assert words(dialogue) == [(0, "hi"), (0, "um"), (0, "about"), (0, "th-"), (1, "yuppiedom"), (1, "space")]


@pytest.mark.parametrize("coding", ["ulaw", "pcm"])
def test_sphere_audio_is_read_as_it_was_written(coding: str, corpus: Path) -> None:
    write_sphere(corpus / "swb1_d1" / "data" / "sw02001.sph", SPEAKERS, 7.0, coding)
    (dialogue,) = listed("switchboard", corpus)
    np.testing.assert_allclose(load_audio(dialogue, 8000), voices(SPEAKERS, 7.0, 8000), atol=0.02)


def test_packed_sphere_names_the_program_that_unpacks_it(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (corpus / "swb1_d1" / "data" / "sw02001.sph").write_bytes(sphere_header(56000, "ulaw,embedded-shorten-v2.00", 1, "1") + b"ajkg\x02" + bytes(100))
    assert main(["manifest", "switchboard", str(corpus), "--out", str(corpus.parent / "m.jsonl")]) == 2
    error = capsys.readouterr().err
    assert "sw02001.sph: expected SPHERE audio that is not packed, got shorten; unpack it with: sph2pipe -f wav sw02001.sph sw02001.wav\n" in error
    sf.write(corpus / "swb1_d1" / "data" / "sw02001.wav", voices(SPEAKERS, 7.0, 8000).T, 8000)
    (dialogue,) = listed("switchboard", corpus)  # with the unpacked file beside it
    assert dialogue.audio[0].name == "sw02001.wav"


def test_without_a_table_of_callers_the_sides_have_names_and_a_warning_says_so(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    (corpus / "tables" / "conv_tab.csv").unlink()
    with caplog.at_level(logging.WARNING):
        (dialogue,) = listed("switchboard", corpus)
    assert dialogue.speakers == ("sw2001A", "sw2001B")
    assert "no conv_tab.csv" in caplog.text


@pytest.mark.parametrize(
    ("word", "plain"),
    [("[laughter-yeah]", "yeah"), ("because_1", "because"), ("[laughter-about_1]", "about"), ("wh[at]-", "wh-"), ("-[a]bout", "-bout"), ("uh-huh", "uh-huh")],
)
def test_a_word_loses_its_marks(word: str, plain: str) -> None:
    assert plain_word(word) == plain


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "sw2001A-ms98-a-word.text",
            SIDE_A + "sw2001A-ms98-a-0006 7.0 x bye\n",
            "line 9: expected utterance, start, end and one word, got 'sw2001A-ms98-a-0006 7.0 x bye'",
        ),
        ("sw2001A-ms98-a-word.text", "sw2001A-ms98-a-0006 7.0 6.0 bye\n", "line 1: expected utterance, start"),
        ("sw2001A-ms98-a-word.text", "sw2001A-ms98-a-0006 700.0 701.0 bye\n", "sw02001.sph: expected 701.0 s of audio, up to the last word, got 7.0 s"),
        ("sw2001B-ms98-a-word.text", None, "sw2001A-ms98-a-word.text: expected sw2001B-ms98-a-word.text of the other side, got none"),
        ("sw02001.sph", None, "sw2001A-ms98-a-word.text: expected its audio, sw02001 or sw2001 or sw02001A and sw02001B"),
        ("conv_tab.csv", "nothing\n", "conv_tab.csv: expected rows of conversation, flag, caller from, caller to, got none"),
    ],
)
def test_what_is_missing_or_broken_is_named(name: str, text: str | None, message: str, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = corpus.rglob(name)
    path.unlink() if text is None else path.write_text(text)
    out = corpus.parent / "m.jsonl"
    assert main(["manifest", "switchboard", str(corpus), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_two_commands_train_on_switchboard(corpus: Path, tmp_path: Path) -> None:
    settings = write(tmp_path / "settings.json", json.dumps({"chunk_s": 1.0, "model": json.loads(TINY.to_json())}))
    manifest, run = tmp_path / "swb.jsonl", tmp_path / "run"
    assert main(["manifest", "switchboard", str(corpus), "--out", str(manifest), "--val-share", "0"]) == 0
    assert main(["train", "--manifest", str(manifest), "--out", str(run), "--settings", str(settings), "--steps", "2", "--lanes", "2"]) == 0
    assert load_checkpoint(run).config == TINY
