import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.models.dialogues.loading import (
    duration_s,
    load_activity,
    load_audio,
    load_completeness,
    load_segments,
    load_texts,
    load_words,
)
from turnstream.models.dialogues.manifest import read_manifest
from turnstream.stream.errors import DialogueError


def manifest(folder: Path, *entries: object) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(json.dumps(entry) for entry in entries))
    return path


def test_stereo_audio_is_resampled(tmp_path: Path):
    sf.write(tmp_path / "a.flac", np.zeros((8000, 2)), 8000)
    (dialogue,) = read_manifest(manifest(tmp_path, {"audio": "a.flac"}))
    assert load_audio(dialogue).shape == (2, 16000)


def test_two_mono_files_are_padded_to_the_longer(tmp_path: Path):
    sf.write(tmp_path / "a.wav", np.full(100, 0.5), 16000)
    sf.write(tmp_path / "b.wav", np.full(200, 0.25), 16000)
    (dialogue,) = read_manifest(manifest(tmp_path, {"audio": ["a.wav", "b.wav"]}))
    audio = load_audio(dialogue)
    assert audio.shape == (2, 200)
    assert audio[0, 99] == 0.5
    assert audio[0, 100] == 0


def test_arrays_are_scaled_to_one(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.full((2, 10), -16384, np.int16))
    (dialogue,) = read_manifest(manifest(tmp_path, {"audio": "a.npy", "sample_rate_hz": 16000}))
    assert np.array_equal(load_audio(dialogue), np.full((2, 10), -0.5, np.float32))


def test_audio_that_breaks_its_promise_is_refused(tmp_path: Path):
    sf.write(tmp_path / "a.wav", np.zeros(100), 16000)
    (tmp_path / "b.wav").write_bytes(b"not audio")
    np.save(tmp_path / "c.npy", np.zeros((2, 10), np.int16))
    mono, broken, rateless = read_manifest(
        manifest(tmp_path, {"audio": "a.wav"}, {"audio": "b.wav"}, {"audio": "c.npy"})
    )
    with pytest.raises(DialogueError, match=r"a\.wav: expected 2 channels, got 1"):
        load_audio(mono)
    with pytest.raises(DialogueError, match=r"b\.wav: expected an audio file"):
        load_audio(broken)
    with pytest.raises(DialogueError, match="expected sample_rate_hz"):
        load_audio(rateless)


def test_words_come_by_channel_and_in_order(tmp_path: Path):
    (tmp_path / "w.json").write_text(
        '[{"ch": 1, "start": 2, "end": 3}, {"ch": 1, "start": 0.5, "end": 1}]'
    )
    (dialogue,) = read_manifest(manifest(tmp_path, {"audio": "a.flac", "words": "w.json"}))
    assert load_words(dialogue) == [[], [(0.5, 1.0), (2.0, 3.0)]]


def test_texts_come_with_the_times_of_the_dialogue_and_words_without_text_are_left_out(
    tmp_path: Path,
):
    sf.write(tmp_path / "a.flac", np.zeros((8 * 8000, 2)), 8000)
    words = [
        {"ch": 1, "start": 3, "end": 4, "text": "Is it?"},
        {"ch": 1, "start": 2, "end": 2.5},
        {"ch": 0, "start": 0, "end": 0.5, "text": "before"},
    ]
    (tmp_path / "w.json").write_text(json.dumps(words))
    part, bare = read_manifest(
        manifest(
            tmp_path,
            {"audio": "a.flac", "words": "w.json", "start_s": 1},
            {"audio": "a.flac", "id": "bare"},
        )
    )
    assert load_texts(part) == [[], [((2.0, 3.0), "Is it?")]]
    assert load_texts(bare) == [[], []]


@pytest.mark.parametrize(
    "word",
    [
        '{"ch": 2, "start": 2, "end": 3}',
        '{"ch": -1, "start": 2, "end": 3}',
        '{"ch": 0, "start": NaN, "end": 3}',
        "3",
    ],
)
def test_words_of_a_third_channel_or_no_time_are_refused(tmp_path: Path, word: str):
    (tmp_path / "w.json").write_text(f"[{word}]")
    (dialogue,) = read_manifest(manifest(tmp_path, {"audio": "a.flac", "words": "w.json"}))
    with pytest.raises(
        DialogueError, match=r"w\.json: expected a JSON list of {ch, start, end} with ch 0 or 1"
    ):
        load_words(dialogue)


def test_activity_without_backchannels_has_none(tmp_path: Path):
    active = np.random.default_rng(0).random((2, 50)) < 0.5
    np.savez(tmp_path / "a.npz", activity=active)
    (dialogue,) = read_manifest(manifest(tmp_path, {"audio": "a.flac", "activity": "a.npz"}))
    activity, backchannel = load_activity(dialogue)
    assert np.array_equal(activity, active)
    assert not backchannel.any()


def test_activity_that_is_not_boolean_is_refused(tmp_path: Path):
    np.savez(tmp_path / "a.npz", activity=np.zeros((2, 50)))
    (dialogue,) = read_manifest(manifest(tmp_path, {"audio": "a.flac", "activity": "a.npz"}))
    with pytest.raises(
        DialogueError, match=r"expected boolean frames \(2, T\) at 50 Hz, got float64 \(2, 50\)"
    ):
        load_activity(dialogue)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"text"])
def test_a_broken_activity_file_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "a.npz").write_bytes(content)
    (dialogue,) = read_manifest(manifest(tmp_path, {"audio": "a.flac", "activity": "a.npz"}))
    for load in (load_activity, load_completeness):
        with pytest.raises(
            DialogueError, match=r"a\.npz: expected an \.npz with `activity`, got: "
        ):
            load(dialogue)


def test_an_activity_file_of_something_else_is_named(tmp_path: Path):
    np.savez(tmp_path / "a.npz", frames=np.zeros((2, 50), bool))
    (dialogue,) = read_manifest(manifest(tmp_path, {"audio": "a.flac", "activity": "a.npz"}))
    with pytest.raises(
        DialogueError, match=r"a\.npz: expected an \.npz with `activity`, got one with frames"
    ):
        load_activity(dialogue)


def test_segments_come_by_channel_and_in_order(tmp_path: Path):
    (tmp_path / "s.rttm").write_text(
        "SPEAKER a 1 2 1 <NA> <NA> y <NA> <NA>\nSPEAKER a 1 0.5 1 <NA> <NA> y <NA> <NA>\n"
        "SPEAKER a 1 4 1 <NA> <NA> x <NA> <NA>\n"
    )
    by_name, by_speakers = read_manifest(
        manifest(
            tmp_path,
            {"audio": "a.flac", "segments": "s.rttm", "segments_of": ["y", "x"]},
            {"audio": "b.flac", "segments": "s.rttm", "speakers": ["x", "y"]},
        )
    )
    assert load_segments(by_name) == [[(0.5, 1.5), (2.0, 3.0)], [(4.0, 5.0)]]
    assert load_segments(by_speakers) == load_segments(by_name)[::-1]


def test_each_channel_may_have_its_own_file_of_segments(tmp_path: Path):
    for name, start in (("x", 1), ("y", 3)):
        (tmp_path / f"{name}.rttm").write_text(
            f"SPEAKER a 1 {start} 1 <NA> <NA> somebody <NA> <NA>\n"
        )
    (dialogue,) = read_manifest(
        manifest(tmp_path, {"audio": "a.flac", "segments": ["x.rttm", "y.rttm"]})
    )
    assert load_segments(dialogue) == [[(1.0, 2.0)], [(3.0, 4.0)]]


def test_a_dialogue_can_be_a_part_of_its_files(tmp_path: Path):
    sf.write(tmp_path / "a.flac", np.stack([np.linspace(0, 0.5, 8000), np.zeros(8000)], 1), 1000)
    np.save(tmp_path / "b.npy", np.arange(16000, dtype=np.int16).reshape(2, 8000))
    (tmp_path / "w.json").write_text(
        '[{"ch": 0, "start": 1, "end": 3}, {"ch": 0, "start": 4, "end": 4.5}, '
        '{"ch": 1, "start": 5, "end": 7}, {"ch": 1, "start": 7, "end": 8}]'
    )
    np.savez(tmp_path / "a.npz", activity=np.eye(2, 400, 101, dtype=bool))
    part = {"start_s": 2, "end_s": 6, "words": "w.json", "activity": "a.npz"}
    flac, npy = read_manifest(
        manifest(
            tmp_path,
            {"audio": "a.flac", **part},
            {"audio": "b.npy", "sample_rate_hz": 1000, **part},
        )
    )
    assert np.array_equal(
        load_audio(flac, 1000)[0], sf.read(tmp_path / "a.flac", dtype="float32")[0][2000:6000, 0]
    )
    assert np.array_equal(
        load_audio(npy, 1000) * 32768, [np.arange(2000, 6000), np.arange(10000, 14000)]
    )
    assert (duration_s(flac), duration_s(npy)) == (4.0, 4.0)
    assert load_words(flac) == [[(0.0, 1.0), (2.0, 2.5)], [(3.0, 4.0)]]
    activity, _ = load_activity(flac)
    assert activity.shape == (2, 200)
    assert np.argwhere(activity).tolist() == [[0, 1], [1, 2]]


def test_a_part_that_begins_beyond_the_audio_is_refused(tmp_path: Path):
    sf.write(tmp_path / "a.flac", np.zeros((8000, 2)), 8000)
    (dialogue,) = read_manifest(manifest(tmp_path, {"audio": "a.flac", "start_s": 1}))
    with pytest.raises(
        DialogueError, match=r"dialogue 'a': expected audio beyond its start at 1 s, got 1 s"
    ):
        duration_s(dialogue)
