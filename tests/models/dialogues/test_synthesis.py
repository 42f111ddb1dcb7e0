from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.dialogues import synthesis
from turnstream.models.dialogues.neural_voice import SPEAKERS
from turnstream.models.dialogues.utterances import (
    FINAL_MARKS,
    FINISHED,
    UNFINISHED,
    UtterancePool,
    decode_set,
    ends_sentence,
)
from turnstream.stream.errors import DialogueError

from .fake_voice import FakeVoice

DOCTOR = [
    (0.0, 2.0, "Hello there, how are <UNSURE>you</UNSURE>?"),
    (6.0, 8.0, "I see. Can you <UNIN/> me? And, um, since when have you had it?"),
    (8.5, 9.0, "It may be nothing."),
    (30.0, 31.0, "Okay."),
]
PATIENT = [
    (2.5, 5.0, "Well, I have a cough, and um."),
    (12.0, 40.0, " ".join(["I cough all day long, and all night."] * 10)),
]


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    folder.mkdir()
    for party, intervals in (("doctor", DOCTOR), ("patient", PATIENT)):
        head = (
            'File type = "ooTextFile"\nObject class = "TextGrid"\nxmin = 0\nxmax = 50\n'
            "tiers? <exists>\nsize = 1\nitem []:\n"
        )
        tier = (
            f'item [1]:\nclass = "IntervalTier"\nname = "{party}"\nxmin = 0\nxmax = 50\n'
            f"intervals: size = {len(intervals)}\n"
        )
        texts = "".join(
            f'intervals [{i}]:\n xmin = {a}\n xmax = {b}\n text = "{said}"\n'
            for i, (a, b, said) in enumerate(intervals, 1)
        )
        (folder / f"one_{party}.TextGrid").write_text(head + tier + texts)
    return folder


def test_turns_are_what_one_party_says_in_a_row(scripts: Path) -> None:
    turns = synthesis.read_turns(scripts)
    assert turns[:3] == [
        ("one_doctor", "Hello there, how are you?"),
        ("one_patient", "Well, I have a cough, and um,"),
        ("one_doctor", "I see. And, um, since when have you had it? It may be nothing."),
    ]
    long = [text for party, text in turns[3:] if party == "one_patient"]
    assert "".join(long).count("day") == 10
    assert len(turns) == 3 + len(long)  # "Okay." is too short
    assert all(synthesis.SHORTEST_TURN <= len(text) <= synthesis.LONGEST_TURN for text in long)


def test_scripts_without_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match="expected TextGrids with text, got none"):
        synthesis.render_scripts(tmp_path, tmp_path / "cache")


def test_turns_stop_after_commas_fillers_and_conjunctions() -> None:
    text = "yes. So we go home, and then we sleep a lot."
    rng = np.random.default_rng(0)
    stopped = {synthesis.stop_in_the_middle(text, rng) for _ in range(200)}
    assert {start.rstrip(",") for start, _ in stopped} == {
        "Yes. So we go home",
        "Yes. So we go home, and",
        "Yes. So we go home, and then",
        "Yes. So we go home, and then we sleep a",
    }
    assert ("Yes. So we go home,", "and then we sleep a lot.") in stopped
    assert all(ends_sentence(synthesis.SYNTHETIC_SET, start) == UNFINISHED for start, _ in stopped)


def test_a_turn_without_a_place_to_stop_is_left_whole() -> None:
    assert synthesis.stop_in_the_middle("Thank you very much.", np.random.default_rng(0)) == (
        "Thank you very much.",
        "",
    )


def test_a_fifth_of_the_lines_stop_and_all_speakers_have_some() -> None:
    turns = [(f"party {i % 30}", "I went there, and then I came back again.") for i in range(300)]
    lines = list(islice(synthesis.draw_lines(turns, 1), 3000))
    stopped = [line for line in lines if line.text[-1] not in FINAL_MARKS]
    assert len(stopped) / len(lines) == pytest.approx(synthesis.STOPPED_SHARE, abs=0.03)
    assert sum(bool(line.continued) for line in stopped) / len(stopped) == pytest.approx(
        0.5, abs=0.07
    )
    assert {line.speaker for line in lines} == set(range(SPEAKERS))
    assert len({line.pace for line in lines}) > 20
    assert lines[:50] == list(islice(synthesis.draw_lines(turns, 1), 50))


def test_scripts_become_a_set_that_the_pool_reads(scripts: Path, tmp_path: Path) -> None:
    voice, cache = FakeVoice(), tmp_path / "cache"
    folder = synthesis.render_scripts(scripts, cache, hours=0.02, synthesiser=voice)
    assert folder.name == synthesis.SYNTHETIC_SET
    pool = UtterancePool([decode_set(folder, cache)])
    assert {u.finished for u in pool.utterances} == {FINISHED, UNFINISHED}
    assert {u.set_name for u in pool.utterances} == {synthesis.SYNTHETIC_SET}
    spoken = len(voice.said)
    assert synthesis.render_scripts(scripts, cache, hours=0.02, synthesiser=voice) == folder
    assert len(voice.said) == spoken  # made once


def test_every_speaker_says_every_interjection(tmp_path: Path) -> None:
    folder = synthesis.render_interjections(tmp_path, synthesiser=FakeVoice())
    assert folder.name == synthesis.INTERJECTIONS_SET
    assert len((folder / "manifest.csv").read_text().splitlines()) == 1 + SPEAKERS * len(
        synthesis.INTERJECTIONS
    )
    assert folder == synthesis.render_interjections(tmp_path)  # made once: nothing is spoken


def test_dictations_are_numbers_names_and_dates() -> None:
    rng = np.random.default_rng(4)
    said = [synthesis.draw_dictation(rng) for _ in range(200)]
    assert all(text.endswith(".") and len(text) < 120 for text in said)
    assert any("seven" in text for text in said)
    assert any("October" in text for text in said)
    assert len(set(said)) > 190
