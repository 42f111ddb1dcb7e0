from pathlib import Path

import numpy as np
import pytest

from turnstream.models.dialogues.simulation import SimulationData
from turnstream.models.dialogues.utterances import (
    FINISHED,
    UNFINISHED,
    UNKNOWN,
    UtterancePool,
    decode_set,
    ends_sentence,
    is_validation_speaker,
)
from turnstream.stream.errors import DialogueError


def test_landmarks_of_a_clip_are_found(data: SimulationData):
    clip = data.pool.utterances[0]  # 0.5 s, 0.3 s of quiet, 1.0 s
    assert clip.speaker == "tone_0"
    assert clip.speech_s == pytest.approx(1.8, abs=0.06)
    ((pause_start, pause_end),) = clip.pauses
    assert (pause_end - pause_start) / 16000 == pytest.approx(0.3, abs=0.06)
    assert clip.pitch_hz == pytest.approx(100, rel=0.03)
    assert clip.onset < clip.vowel < clip.offset


def test_audio_around_the_speech_is_kept(data: SimulationData):
    clip = data.pool.utterances[0]
    audio = data.pool.audio(clip)
    assert len(audio) - clip.offset >= 0.2 * 16000
    assert (
        np.abs(audio[clip.onset : clip.offset]).max()
        > 30 * np.abs(audio[clip.offset + 800 :]).max()
    )


def test_a_second_opening_reads_the_cache(
    data_folder: Path, cache_folder: Path, data: SimulationData
):
    before = sorted(cache_folder.iterdir())
    again = UtterancePool([decode_set(data_folder / "speech" / "tones", cache_folder)])
    assert sorted(cache_folder.iterdir()) == before
    assert [u.onset for u in again.utterances] == [u.onset for u in data.pool.utterances]


def test_clips_of_several_sets_lie_side_by_side(data_folder: Path, cache_folder: Path):
    folder = decode_set(data_folder / "speech" / "tones", cache_folder)
    once, twice = UtterancePool([folder]), UtterancePool([folder, folder])
    count = len(once.utterances)
    assert len(twice.utterances) == 2 * count
    assert twice.utterances[count + 3].index == count + 3
    assert np.array_equal(twice.audio(twice.utterances[count + 3]), once.audio(once.utterances[3]))


@pytest.mark.parametrize(
    ("set_name", "transcript", "expected"),
    [
        ("any", "It is done.", FINISHED),
        ("any", 'He said "no?"', FINISHED),
        ("any", "Having said that,", UNFINISHED),
        ("any", "In the Middle of", UNFINISHED),
        ("any", "and then he went to the", UNKNOWN),
        ("any", "", UNKNOWN),
        ("cv_multi", "", FINISHED),
        ("cv_multi", "Having said that,", UNFINISHED),
    ],
)
def test_sentence_ends(set_name: str, transcript: str, expected: int):
    assert ends_sentence(set_name, transcript) == expected


def test_about_a_tenth_of_the_speakers_is_for_validation():
    assert 60 < sum(is_validation_speaker(f"speaker_{i}") for i in range(1000)) < 140


def test_a_set_without_manifest_is_named(tmp_path: Path):
    with pytest.raises(
        DialogueError, match=r"manifest\.csv: expected a list of utterances, got no such file"
    ):
        decode_set(tmp_path, tmp_path / "cache")


def test_a_manifest_without_columns_is_named(tmp_path: Path):
    (tmp_path / "manifest.csv").write_text("path,who\na,b\n")
    with pytest.raises(DialogueError, match="expected columns file and speaker, got path, who"):
        decode_set(tmp_path, tmp_path / "cache")


def test_a_clip_that_cannot_be_read_is_named_and_leaves_no_half_set(tmp_path: Path):
    (tmp_path / "manifest.csv").write_text("file,speaker\nmissing.ogg,x\n")
    with pytest.raises(DialogueError, match=r"missing\.ogg: expected an audio file"):
        decode_set(tmp_path, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
