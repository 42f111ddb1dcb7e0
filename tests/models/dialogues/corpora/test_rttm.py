from collections.abc import Callable
from pathlib import Path

import pytest

from .making import listed, spoken, write, write_audio

ANN, BOB = [(0.5, 1.5), (3.0, 4.0)], [(1.8, 2.6)]


def line(recording: str, start: float, end: float, speaker: str) -> str:
    return f"SPEAKER {recording} 1 {start:.3f} {end - start:.3f} <NA> <NA> {speaker} <NA> <NA>\n"


def lines(recording: str, first: str = "ann", second: str = "bob") -> str:
    return "".join(line(recording, *times, first) for times in ANN) + "".join(
        line(recording, *times, second) for times in BOB
    )


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    write_audio(folder / "one.wav", [ANN, BOB], 5.0)
    write_audio(folder / "two.wav", [BOB, ANN], 5.0)
    write_audio(folder / "three_ann.wav", [ANN], 5.0)
    write_audio(folder / "three_bob.wav", [BOB], 5.0)
    write(folder / "calls.rttm", lines("one") + lines("two") + lines("three"))
    return folder


def test_speakers_are_found_on_their_channels(corpus: Path) -> None:
    one, two, three = listed("rttm", corpus)
    assert [dialogue.segments_of for dialogue in (one, two, three)] == [
        ("ann", "bob"),
        ("bob", "ann"),
        ("ann", "bob"),
    ]
    assert [len(dialogue.audio) for dialogue in (one, two, three)] == [1, 1, 2]
    assert spoken(one) == spoken(three) == [ANN, BOB]
    assert spoken(two) == [BOB, ANN]
    assert one.words is None
    assert one.segments == (corpus.parent / "calls" / "calls.rttm",)


def test_two_names_in_all_are_roles_and_more_are_people(corpus: Path) -> None:
    assert listed("rttm", corpus)[0].speakers == ("one/ann", "one/bob")
    write(corpus / "calls.rttm", lines("one") + lines("two", "ann", "cid"))
    assert [dialogue.speakers for dialogue in listed("rttm", corpus)] == [
        ("ann", "bob"),
        ("cid", "ann"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "calls.rttm",
            "SPEAKER one 1 x",
            "calls.rttm, line 1: expected SPEAKER file channel start",
        ),
        (
            "calls.rttm",
            lines("one") + line("one", 4.2, 4.5, "cid"),
            "calls.rttm: expected two speakers in one, got 3: ann, bob, cid",
        ),
        (
            "calls.rttm",
            lines("four"),
            "calls.rttm: expected its audio, four or four_ann and four_bob or",
        ),
        ("calls.rttm", "SPKR-INFO one 1\n", "expected SPEAKER lines in its .rttm files, got none"),
        (
            "more.rttm",
            lines("one"),
            "more.rttm: expected every recording in one file, got 'one' again",
        ),
        ("one.wav", "no audio", "one.wav: expected an audio file that libsndfile reads"),
    ],
)
def test_what_is_missing_or_broken_is_named(
    name: str, text: str, message: str, corpus: Path, complaint: Callable[..., str]
) -> None:
    write(corpus / name, text)
    assert message in complaint("manifest", "rttm", corpus, "--out", corpus.parent / "m.jsonl")


def test_a_broken_file_can_be_left_out_alone(
    corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(corpus / "broken.rttm", "SPEAKER four 1 x")
    assert [dialogue.id for dialogue in listed("rttm", corpus, "--skip-broken")] == [
        "one",
        "two",
        "three",
    ]
    captured = capsys.readouterr()
    assert (
        f"left out broken.rttm: {corpus / 'broken.rttm'}, line 1: expected SPEAKER file channel "
        "start"
    ) in captured.err
    assert "; left out 1 of 4 recordings" in captured.out


def test_two_files_of_the_same_name_are_both_named(
    corpus: Path, complaint: Callable[..., str]
) -> None:
    again = write(corpus / "more" / "calls.rttm", lines("four"))
    words = ["rttm", corpus, "--out", corpus.parent / "m.jsonl", "--skip-broken"]
    line = f"{again}: expected every file name once, got the same at {corpus / 'calls.rttm'}"
    assert complaint("manifest", *words).endswith(line)
