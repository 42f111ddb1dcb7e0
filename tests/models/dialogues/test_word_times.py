import gzip
import json
from pathlib import Path

import pytest

from turnstream.models.dialogues.word_times import sample_word_times
from turnstream.stream.errors import DialogueError


def write(path: Path, conversations: list[dict]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(conversation) + "\n" for conversation in conversations)
    return path


def numbered(count: int) -> list[dict]:
    return [{"conv": f"c{i}", "A": [[0.0, 1.0, f"w{i}"]], "B": []} for i in range(count)]


def test_words_are_cleaned_of_the_transcribers_marks(tmp_path: Path) -> None:
    marked = ["Okay_1", "[noise]", "[laughter-yeah]", "an[y]-", "<b_aside>", "[laughter]", "uh-huh"]
    path = write(
        tmp_path / "a.jsonl.gz",
        [{"A": [[i, i + 0.5, word] for i, word in enumerate(marked)], "B": []}],
    )
    ((words, silent),) = sample_word_times(path, 5)
    assert [(start, word) for start, _, word in words] == [
        (0, "okay"),
        (2, "yeah"),
        (3, "an[y]-"),
        (6, "uh-huh"),
    ]
    assert silent == []


def test_the_sample_is_uniform_and_fixed_by_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl.gz", numbered(40))

    def sample(count: int, seed: int) -> list[int]:
        return [int(words[0][2][1:]) for words, _ in sample_word_times(path, count, seed)]

    assert sample(100, 0) == list(range(40))
    assert sample(10, 1) == sample(10, 1) == sorted(sample(10, 1))
    assert len(set(sample(10, 1))) == 10
    drawn = [number for seed in range(200) for number in sample(10, seed)]
    counts = [drawn.count(number) for number in range(40)]
    assert min(counts) > 25  # the expected count is 50
    assert max(counts) < 80


@pytest.mark.parametrize(
    "line",
    [
        '{"A": [], "C": []}',
        "[]",
        "not json",
        '{"A": [[1.0, 0.5, "w"]], "B": []}',
        '{"A": [[1.0, "w"]], "B": []}',
        '{"A": [[NaN, 1, "w"]], "B": []}',
    ],
)
def test_a_line_of_another_form_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(numbered(1)[0]) + "\n" + line).encode()))
    with pytest.raises(DialogueError, match=r"line 2: expected A and B with \[start, end, word\]"):
        list(sample_word_times(path, 5))


def test_a_file_that_is_not_gzip_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_text("{}")
    with pytest.raises(DialogueError, match="expected gzip JSON Lines"):
        list(sample_word_times(tmp_path / "a.jsonl.gz", 5))


def test_a_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl.gz", numbered(3))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DialogueError, match="expected gzip JSON Lines"):
        list(sample_word_times(path, 5))
