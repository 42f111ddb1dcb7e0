import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.models.dialogues import annotation
from turnstream.models.dialogues.activity import runs
from turnstream.models.dialogues.annotation import activity_source, load_annotated, speech_activity
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.stream.errors import DialogueError, MissingExtraError

WORDS = [
    {"ch": 0, "start": 0.1, "end": 0.3},
    {"ch": 0, "start": 0.48, "end": 0.6},
    {"ch": 0, "start": 0.8, "end": 0.9},
    {"ch": 1, "start": 0.5, "end": 9.0},
]


def dialogue(folder: Path, *, words: bool = False, activity: bool = False) -> Dialogue:
    """A little more than one second of silence, with the files that a test wants beside it."""
    sf.write(folder / "a.wav", np.zeros((16001, 2)), 16000)
    (folder / "a.json").write_text(json.dumps(WORDS))
    np.savez(
        folder / "a.npz", activity=np.eye(2, 51, dtype=bool), backchannel=np.eye(2, 51, dtype=bool)
    )
    return Dialogue(
        "a",
        (folder / "a.wav",),
        ("x", "y"),
        words=folder / "a.json" if words else None,
        activity=folder / "a.npz" if activity else None,
    )


def set_detector(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    """Replace the detector by one that finds speech everywhere, or nowhere."""

    def detect(_audio: np.ndarray) -> np.ndarray:
        if not installed:
            raise MissingExtraError("silero-vad", "bench")
        return np.ones((2, 51), bool)

    monkeypatch.setattr(annotation, "is_installed", lambda: installed)
    monkeypatch.setattr(annotation, "detect_activity", detect)


def test_an_activity_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_detector(monkeypatch, installed=False)
    activity, backchannel = speech_activity(dialogue(tmp_path, words=True, activity=True))
    assert np.array_equal(activity, np.eye(2, 51, dtype=bool))
    assert np.array_equal(backchannel, activity)


def test_a_detector_comes_before_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_detector(monkeypatch, installed=True)
    activity, backchannel = speech_activity(dialogue(tmp_path, words=True))
    assert activity.all()
    assert not backchannel.any()


def test_without_a_detector_words_tell_with_their_short_gaps_bridged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_detector(monkeypatch, installed=False)
    activity, backchannel = speech_activity(dialogue(tmp_path, words=True))
    assert [runs(row) for row in activity] == [[(5, 30), (40, 45)], [(25, 51)]]
    assert backchannel.shape == activity.shape
    assert not backchannel.any()


def test_with_nothing_to_go_by_the_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_detector(monkeypatch, installed=False)
    with pytest.raises(
        MissingExtraError,
        match=r"silero-vad is not installed; to install it: pip install 'turnstream\[bench\]'",
    ):
        speech_activity(dialogue(tmp_path))


def with_segments(folder: Path) -> Dialogue:
    (folder / "a.rttm").write_text(
        "SPEAKER a 1 0.2 0.3 <NA> <NA> x <NA> <NA>\nSPEAKER a 1 0.6 0.2 <NA> <NA> y <NA> <NA>\n"
    )
    return dataclasses.replace(
        dialogue(folder, words=True, activity=True), segments=(folder / "a.rttm",)
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("words", [[(5, 30), (40, 45)], [(25, 51)]]),
        ("segments", [[(10, 25)], [(30, 40)]]),
        ("audio", [[(0, 51)], [(0, 51)]]),
        ("activity", [[(0, 1)], [(1, 2)]]),
        ("", [[(0, 1)], [(1, 2)]]),
    ],
)
def test_the_manifest_chooses_what_says_who_spoke(
    source: str,
    expected: list[list[tuple[int, int]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_detector(monkeypatch, installed=True)
    activity, _ = speech_activity(
        dataclasses.replace(with_segments(tmp_path), activity_from=source)
    )
    assert [runs(row) for row in activity] == expected


def test_words_do_not_stand_in_for_a_detector_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_detector(monkeypatch, installed=False)
    with pytest.raises(MissingExtraError, match="silero-vad"):
        speech_activity(dataclasses.replace(with_segments(tmp_path), activity_from="audio"))


def test_segments_stand_in_for_a_detector_where_there_are_no_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_detector(monkeypatch, installed=False)
    activity, _ = speech_activity(
        dataclasses.replace(with_segments(tmp_path), words=None, activity=None)
    )
    assert [runs(row) for row in activity] == [[(10, 25)], [(30, 40)]]


def test_words_that_are_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match="expected a file of words, got none"):
        speech_activity(dataclasses.replace(dialogue(tmp_path), activity_from="words"))


@pytest.mark.parametrize(
    ("words", "activity", "chosen", "installed", "expected"),
    [
        (True, True, "", True, "activity file"),
        (True, True, "audio", True, "detector"),
        (True, False, "", True, "detector"),
        (True, False, "", False, "words"),
        (False, False, "", False, "segments"),
        (True, False, "segments", True, "segments"),
    ],
)
def test_it_is_said_where_activity_comes_from(
    words: bool,
    activity: bool,
    chosen: str,
    installed: bool,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_detector(monkeypatch, installed)
    whole = with_segments(tmp_path)
    given = dataclasses.replace(
        whole,
        words=whole.words if words else None,
        activity=whole.activity if activity else None,
        activity_from=chosen,
    )
    assert activity_source(given) == expected


@pytest.mark.parametrize("frames", [0, 250])
def test_activity_of_another_length_than_the_audio_is_refused(frames: int, tmp_path: Path) -> None:
    annotated = dialogue(tmp_path, activity=True)
    audio, activity, _ = load_annotated(annotated, 8000)
    assert (audio.shape[1] // 160, activity.shape[1]) == (50, 51)
    speech_activity.cache_clear()
    np.savez(tmp_path / "a.npz", activity=np.zeros((2, frames), bool))
    expected = (
        r"dialogue 'a': expected activity as long as the audio, 1\.0 s, got 5\.0 s"
        if frames
        else r"expected audio, got \d+ samples and 0 frames"
    )
    with pytest.raises(DialogueError, match=expected):
        load_annotated(annotated, 16000)
