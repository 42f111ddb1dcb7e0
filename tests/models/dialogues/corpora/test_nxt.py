import math
from pathlib import Path

import pytest

from turnstream.models.dialogues.corpora.nxt import Word, read_words

from .making import write


def element(start: str, end: str, text: str, tag: str = "w") -> str:
    return f'<{tag} starttime="{start}" endtime="{end}">{text}</{tag}>'


@pytest.mark.parametrize(
    ("elements", "words", "unsure"),
    [
        (
            [element("1", "2", "a"), element("2", "2", "."), element("3", "4", "b")],
            [Word(1, 2, "a"), Word(3, 4, "b")],
            [],
        ),
        ([element("1", "", "we"), element("", "2", "'re")], [Word(1, 2, "we're")], []),
        (
            [
                element("1", "2", "a"),
                element("", "", "x"),
                element("", "", "y"),
                element("5", "6", "b"),
            ],
            [Word(1, 2, "a"), Word(5, 6, "b")],
            [(2, 5)],
        ),
        ([element("", "", "x"), element("5", "6", "b")], [Word(5, 6, "b")], [(0, 5)]),
        ([element("1", "2", "a"), element("", "", "x")], [Word(1, 2, "a")], [(2, math.inf)]),
        ([element("1", "2", "a"), element("", "4", "x")], [Word(1, 2, "a")], [(2, 4)]),
        ([element("1", "", "a"), element("3", "4", "b")], [Word(3, 4, "b")], [(1, 3)]),
        (
            [
                element("1", "2", "", "vocalsound"),
                element("3", "4", "", "gap"),
                element("5", "6", "@@"),
            ],
            [Word(3, 4, ""), Word(5, 6, "@@")],
            [],
        ),
        ([], [], []),
    ],
)
def test_words_and_where_there_may_be_more(
    elements: list[str], words: list[Word], unsure: list[tuple[float, float]], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.words.xml", "<root>" + "\n".join(elements) + "</root>")
    assert read_words(path) == (words, unsure)
