from pathlib import Path

import numpy as np
import pytest

from turnstream.models.dialogues.simulation import Material
from turnstream.models.dialogues.utterances import FINISHED, UNFINISHED, UNKNOWN, ends_sentence, is_validation_speaker, open_pool
from turnstream.models.errors import DialogueError


def test_landmarks_of_a_clip_are_found(material: Material):
    clip = material.pool.utterances[0]  # 0.5 s, 0.3 s of quiet, 1.0 s
    assert clip.speaker == "tone_0"
    assert clip.speech_s == pytest.approx(1.8, abs=0.06)
    ((pause_start, pause_end),) = clip.pauses
    assert (pause_end - pause_start) / 16000 == pytest.approx(0.3, abs=0.06)
    assert clip.pitch_hz == pytest.approx(100, rel=0.03)
    assert clip.onset < clip.vowel < clip.offset


def test_audio_around_the_speech_is_kept(material: Material):
    clip = material.pool.utterances[0]
    audio = material.pool.audio(clip)
    assert len(audio) - clip.offset >= 0.2 * 16000
    assert np.abs(audio[clip.onset : clip.offset]).max() > 30 * np.abs(audio[clip.offset + 800 :]).max()


def test_a_second_opening_reads_the_cache(material_folder: Path, cache_folder: Path, material: Material):
    again = open_pool([material_folder / "speech" / "tones"], cache_folder)
    assert again.folder == material.pool.folder
    assert [u.onset for u in again.utterances] == [u.onset for u in material.pool.utterances]


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
    with pytest.raises(DialogueError, match=r"manifest\.csv: expected a list of utterances, got no such file"):
        open_pool([tmp_path], tmp_path / "cache")


def test_a_manifest_without_columns_is_named(tmp_path: Path):
    (tmp_path / "manifest.csv").write_text("path,who\na,b\n")
    with pytest.raises(DialogueError, match="expected columns file and speaker, got path, who"):
        open_pool([tmp_path], tmp_path / "cache")


def test_a_clip_that_cannot_be_read_is_named_and_leaves_no_half_pool(tmp_path: Path):
    (tmp_path / "manifest.csv").write_text("file,speaker\nmissing.ogg,x\n")
    with pytest.raises(DialogueError, match=r"missing\.ogg: expected an audio file"):
        open_pool([tmp_path], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
