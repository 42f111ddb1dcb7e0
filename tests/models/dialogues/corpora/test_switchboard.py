import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.cli import main
from turnstream.models.dialogues.corpora.switchboard import plain_word
from turnstream.models.dialogues.loading import load_audio

from .making import (
    SWITCHBOARD_SIDE_A,
    SWITCHBOARD_SPEAKERS,
    listed,
    sphere_header,
    spoken,
    voices,
    words,
    write_sphere,
    write_switchboard,
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_switchboard(tmp_path / "LDC97S62")


def test_words_say_who_spoke_and_laughter_and_noise_do_not(corpus: Path) -> None:
    (dialogue,) = listed("switchboard", corpus)
    assert (dialogue.id, dialogue.speakers, dialogue.corpus) == (
        "sw2001",
        ("swb1020", "swb1044"),
        "switchboard",
    )
    assert (dialogue.licence, dialogue.split, dialogue.activity_from) == (
        "LDC User Agreement",
        "train",
        "words",
    )
    assert spoken(dialogue) == [[(0.98, 2.1), (5.0, 6.2)], [(2.6, 4.5)]]
    assert words(dialogue) == [
        (0, "hi"),
        (0, "um"),
        (0, "about"),
        (0, "th-"),
        (1, "yuppiedom"),
        (1, "space"),
    ]


@pytest.mark.parametrize("coding", ["ulaw", "pcm"])
def test_sphere_audio_is_read_as_it_was_written(coding: str, corpus: Path) -> None:
    write_sphere(corpus / "swb1_d1" / "data" / "sw02001.sph", SWITCHBOARD_SPEAKERS, 7.0, coding)
    (dialogue,) = listed("switchboard", corpus)
    np.testing.assert_allclose(
        load_audio(dialogue, 8000), voices(SWITCHBOARD_SPEAKERS, 7.0, 8000), atol=0.02
    )


def test_packed_sphere_names_the_program_that_unpacks_it(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (corpus / "swb1_d1" / "data" / "sw02001.sph").write_bytes(
        sphere_header(56000, "ulaw,embedded-shorten-v2.00", 1, "1") + b"ajkg\x02" + bytes(100)
    )
    assert (
        main(["manifest", "switchboard", str(corpus), "--out", str(corpus.parent / "m.jsonl")]) == 2
    )
    error = capsys.readouterr().err
    assert (
        "sw02001.sph: expected SPHERE audio that is not packed, got shorten; unpack it with: "
        "sph2pipe -f wav sw02001.sph sw02001.wav\n"
    ) in error
    sf.write(
        corpus / "swb1_d1" / "data" / "sw02001.wav", voices(SWITCHBOARD_SPEAKERS, 7.0, 8000).T, 8000
    )
    (dialogue,) = listed("switchboard", corpus)  # now the unpacked file lies beside it
    assert dialogue.audio[0].name == "sw02001.wav"


def test_without_a_table_of_callers_the_sides_have_names_and_a_warning_says_so(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (corpus / "tables" / "conv_tab.csv").unlink()
    with caplog.at_level(logging.WARNING):
        (dialogue,) = listed("switchboard", corpus)
    assert dialogue.speakers == ("sw2001A", "sw2001B")
    assert "no conv_tab.csv" in caplog.text


@pytest.mark.parametrize(
    ("word", "plain"),
    [
        ("[laughter-yeah]", "yeah"),
        ("because_1", "because"),
        ("[laughter-about_1]", "about"),
        ("wh[at]-", "wh-"),
        ("-[a]bout", "-bout"),
        ("uh-huh", "uh-huh"),
    ],
)
def test_a_word_loses_its_marks(word: str, plain: str) -> None:
    assert plain_word(word) == plain


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "sw2001A-ms98-a-word.text",
            SWITCHBOARD_SIDE_A + "sw2001A-ms98-a-0006 7.0 x bye\n",
            (
                "line 9: expected utterance, start, end and one word, got 'sw2001A-ms98-a-0006 7.0 "
                "x bye'"
            ),
        ),
        (
            "sw2001A-ms98-a-word.text",
            "sw2001A-ms98-a-0006 7.0 6.0 bye\n",
            "line 1: expected utterance, start",
        ),
        (
            "sw2001A-ms98-a-word.text",
            "sw2001A-ms98-a-0006 700.0 701.0 bye\n",
            "sw02001.sph: expected 701.0 s of audio, up to the last word, got 7.0 s",
        ),
        (
            "sw2001B-ms98-a-word.text",
            None,
            (
                "sw2001A-ms98-a-word.text: expected sw2001B-ms98-a-word.text of the other side, "
                "got none"
            ),
        ),
        (
            "sw02001.sph",
            None,
            (
                "sw2001A-ms98-a-word.text: expected its audio, sw02001 or sw2001 or sw02001A and "
                "sw02001B"
            ),
        ),
        (
            "conv_tab.csv",
            "nothing\n",
            "conv_tab.csv: expected rows of conversation, flag, caller from, caller to, got none",
        ),
    ],
)
def test_what_is_missing_or_broken_is_named(
    name: str, text: str | None, message: str, corpus: Path, complaint: Callable[..., str]
) -> None:
    (path,) = corpus.rglob(name)
    path.unlink() if text is None else path.write_text(text)
    out = corpus.parent / "m.jsonl"
    assert message in complaint("manifest", "switchboard", corpus, "--out", out)
    assert not out.exists()
