from pathlib import Path

import pytest

from turnstream.models.dialogues.corpora.folder import CorpusFolder, read_lines
from turnstream.stream.errors import DialogueError

from .making import write


def test_linked_discs_are_followed_and_hidden_files_are_not_listed(tmp_path: Path) -> None:
    write(tmp_path / "disc1" / "a.txt", "")
    write(tmp_path / "corpus" / "._b.txt", "")
    (tmp_path / "corpus" / "d1").symlink_to(tmp_path / "disc1")
    assert [
        match[0] for match, _ in CorpusFolder(tmp_path / "corpus").matching(r".*\.txt", "a.txt")
    ] == ["a.txt"]


def test_a_name_that_comes_twice_is_taken_once_or_refused(tmp_path: Path) -> None:
    first, second = (write(tmp_path / disc / "a.txt", "") for disc in ("disc1", "disc2"))
    folder = CorpusFolder(tmp_path)
    assert [file for _, file in folder.matching(r".*\.txt", "a.txt")] == [first]
    with pytest.raises(
        DialogueError, match=f"{second}: expected every file name once, got the same at {first}"
    ):
        folder.matching(r".*\.txt", "a.txt", distinct=True)


def test_a_file_is_found_by_its_name_or_with_its_folder(tmp_path: Path) -> None:
    for role in ("agent", "caller"):
        write(tmp_path / "audio" / role / "a.WAV", "")
    folder = CorpusFolder(tmp_path)
    assert folder.file("a.WAV") == tmp_path / "audio" / "agent" / "a.WAV"
    assert folder.file("caller/a.WAV") == tmp_path / "audio" / "caller" / "a.WAV"
    assert folder.file("b.WAV") is None
    assert folder.audio(tmp_path, ("b",), ("caller/a", "agent/a")) == (
        tmp_path / "audio" / "caller" / "a.WAV",
        tmp_path / "audio" / "agent" / "a.WAV",
    )


def test_audio_that_was_converted_comes_before_what_it_was_made_of(tmp_path: Path) -> None:
    write(tmp_path / "a.sph", "")
    write(tmp_path / "converted" / "a.flac", "")
    assert CorpusFolder(tmp_path).audio(tmp_path, ("a",)) == (tmp_path / "converted" / "a.flac",)


def test_missing_audio_says_what_it_would_be_called(tmp_path: Path) -> None:
    transcript = write(tmp_path / "a.txt", "")
    with pytest.raises(
        DialogueError, match=r"a\.txt: expected its audio, a or a\.g and a\.f \(\.wav \.flac "
    ):
        CorpusFolder(tmp_path).audio(transcript, ("a",), ("a.g", "a.f"))


def test_old_text_is_read_as_latin_1(tmp_path: Path) -> None:
    assert read_lines(write(tmp_path / "a.txt", "café\nb", "latin-1")) == ["café", "b"]
    assert read_lines(write(tmp_path / "a.txt", "café\nb")) == ["café", "b"]
