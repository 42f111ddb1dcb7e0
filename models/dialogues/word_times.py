"""Word times of two-party conversations: gzip JSON Lines, one conversation per line.

A line is an object with "A" and "B". Each is a list of [start_s, end_s, word] in order of time.
Marks in brackets, such as [noise], are not words; [laughter-yeah] is a laughed word.
Source of the marks: the MS98 transcripts of Switchboard.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...stream.errors import DialogueError

Word = tuple[float, float, str]  # start and end in seconds, and the word in lower case

_LAUGHED = re.compile(r"\[laughter-(.+)\]")
_MARK = re.compile(r"[\[<].*[\]>]")


def sample_word_times(path: Path, count: int, seed: int = 0) -> Iterator[list[list[Word]]]:
    """Yield the words of both speakers for `count` random conversations, in file order.

    If the file has fewer conversations, all are taken. The choice is uniform and depends only on
    the file and the seed. Only the chosen lines are parsed, and at most `count` lines are in
    memory.

    Raises:
        DialogueError: the file cannot be read, or a chosen line has another form.
    """
    rng = np.random.default_rng(seed)
    # Line number and line by slot of the reservoir (Vitter 1985, algorithm R).
    chosen: dict[int, tuple[int, bytes]] = {}
    try:
        with gzip.open(path) as lines:
            for number, line in enumerate(lines):
                place = number if number < count else int(rng.integers(number + 1))
                if place < count:
                    chosen[place] = (number, line)
    except (OSError, EOFError) as error:
        raise DialogueError(f"{path}: expected gzip JSON Lines, got: {error}") from None
    for number, line in sorted(chosen.values()):
        try:
            conversation = json.loads(line)
            speakers = [[_word(*word) for word in conversation[name]] for name in ("A", "B")]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DialogueError(
                f"{path}, line {number + 1}: expected A and B with [start, end, word], "
                f"got: {error!r}"
            ) from None
        yield [[word for word in words if word[2]] for words in speakers]


def _word(start_s: float, end_s: float, said: str) -> Word:
    if not 0 <= start_s <= end_s < math.inf:
        raise ValueError(f"times {start_s} {end_s}")
    laughed = _LAUGHED.fullmatch(said)
    plain = laughed[1] if laughed else _MARK.sub("", said) if _MARK.fullmatch(said) else said
    return float(start_s), float(end_s), re.sub(r"_\d+$", "", plain.lower())
