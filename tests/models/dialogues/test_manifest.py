import json
from pathlib import Path

import pytest

from turnstream.models.dialogues.manifest import Dialogue, read_manifest, write_manifest
from turnstream.stream.errors import DialogueError


def manifest(folder: Path, *entries: object) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(json.dumps(entry) for entry in entries))
    return path


def test_the_smallest_entry_is_a_file_name(tmp_path: Path):
    (dialogue,) = read_manifest(
        manifest(tmp_path, {"audio": "call.flac", "channels": ["caller", "agent"]})
    )
    assert dialogue == Dialogue("call", (tmp_path / "call.flac",), ("call/0", "call/1"))


def test_numbers_as_speakers_become_names(tmp_path: Path):
    (dialogue,) = read_manifest(
        manifest(
            tmp_path,
            {"audio": "a.flac", "speakers": [60, 17], "corpus": "calls", "words": "a.json"},
        )
    )
    assert (dialogue.speakers, dialogue.corpus, dialogue.words) == (
        ("60", "17"),
        "calls",
        tmp_path / "a.json",
    )


def test_what_is_written_is_read_back(tmp_path: Path):
    dialogues = [
        Dialogue(
            "one",
            (tmp_path / "a.wav", tmp_path / "b.wav"),
            ("x", "y"),
            "c",
            "CC0-1.0",
            "val",
            None,
            tmp_path / "w.json",
            None,
        ),
        Dialogue(
            "two",
            (tmp_path / "sub" / "c.npy",),
            ("x", "z"),
            sample_rate_hz=16000,
            activity=tmp_path / "c.npz",
        ),
        Dialogue(
            "three",
            (tmp_path / "d.wav",),
            ("x", "z"),
            segments=(tmp_path / "d.rttm",),
            segments_of=("p", "q"),
            activity_from="segments",
        ),
        Dialogue(
            "four",
            (tmp_path / "d.wav",),
            ("x", "z"),
            segments=(tmp_path / "x.TextGrid", tmp_path / "y.TextGrid"),
            start_s=2.5,
            end_s=9.0,
        ),
    ]
    write_manifest(tmp_path / "m.jsonl", dialogues)
    assert read_manifest(tmp_path / "m.jsonl") == dialogues


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"audio": "b.flac"', "line 2: expected a JSON object"),
        ("[1]", "line 2: expected an object with `audio`"),
        ('{"audio": 3}', "line 2: expected `audio` to be one stereo file or two mono files, got 3"),
        ('{"audio": ["a", "b", "c"]}', "line 2: expected `audio`"),
        ('{"audio": "b.flac", "speakers": ["x"]}', "line 2: expected two `speakers`"),
        ('{"audio": "b.npy", "sample_rate_hz": "16k"}', "line 2: expected `sample_rate_hz`"),
        (
            '{"audio": "b.flac", "segments": 3}',
            "line 2: expected `segments` to be one file or one for each channel, got 3",
        ),
        (
            '{"audio": "b.flac", "words": ["a", "b"]}',
            "line 2: expected `words` to be one file, got ['a', 'b']",
        ),
        ('{"audio": "b.flac", "segments_of": "x"}', "line 2: expected two `segments_of`, got 'x'"),
        (
            '{"audio": "b.flac", "start_s": 3, "end_s": 2}',
            "line 2: expected 0 <= `start_s` < `end_s` in seconds, got 3 and 2",
        ),
        ('{"audio": "b.flac", "start_s": "x"}', "line 2: expected 0 <= `start_s`"),
        (
            '{"audio": "b.flac", "activity_from": "words"}',
            "line 2: expected `activity_from` to be audio, or words, segments or activity of this",
        ),
        ('{"audio": "b.flac", "activity_from": "guess"}', "line 2: expected `activity_from`"),
        ('{"audio": "a.flac"}', "line 2: expected every id once, got 'a' again"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str):
    path = tmp_path / "manifest.jsonl"
    path.write_text('{"audio": "a.flac"}\n' + line)
    with pytest.raises(DialogueError) as error:
        read_manifest(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_manifest_is_named(tmp_path: Path):
    with pytest.raises(DialogueError, match=r"none\.jsonl: expected a manifest"):
        read_manifest(tmp_path / "none.jsonl")


def test_a_manifest_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / "m.jsonl").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(
        DialogueError,
        match=r"m\.jsonl: expected a manifest of dialogues \(JSON Lines in UTF-8\), got: ",
    ):
        read_manifest(tmp_path / "m.jsonl")
