"""Text for synthetic voices: turns of real conversations, dictations and short reactions.

    python -m turnstream.models.dialogues.synthesis --scripts DATA/scripts --out DATA/speech/hibari

This command makes the set of turns. `turnstream simulate` makes it by itself if DATA/speech has
none. The turns keep their words, commas, fillers and question marks. A fifth of them stop in the
middle, as people do.
Recorded people remain the main data. Synthetic voices add what read speech lacks, and the voice of
a dialogue system. neural_voice.py makes the sound.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from ...stream.errors import DialogueError
from .neural_voice import SPEAKERS, Line, Synthesiser, render_set
from .textgrid_file import read_textgrid

INTERJECTIONS_SET = "interjections"
SYNTHETIC_SET = "hibari"
INTERJECTIONS = (
    *(
        "mm hmm.",
        "mm.",
        "mhm.",
        "uh huh.",
        "yeah.",
        "yeah yeah.",
        "yes.",
        "okay.",
        "right.",
        "sure.",
        "I see.",
    ),
    *(
        "oh.",
        "really?",
        "oh okay.",
        "yep.",
        "of course.",
        "great.",
        "alright.",
        "no.",
        "wow.",
        "true.",
        "exactly.",
    ),
    *(
        "ah.",
        "hmm.",
        "oh no.",
        "got it.",
        "good.",
        "oh yeah.",
        "that's right.",
        "okay, right.",
        "yeah, yeah, sure.",
    ),
)
HOURS = 3.5  # default length of the set of turns
PACES = (0.85, 1.2)  # range of the speech rate; 1 is the voice's own
STOPPED_SHARE = 0.2  # share of turns that stop in the middle
SHORTEST_TURN, LONGEST_TURN = 12, 180  # characters: about 1 and 15 seconds
LONGEST_PAUSE_S = 2.0  # longest pause inside one turn of the scripts
# A turn may stop after one of these words.
HESITATIONS = ("um", "uh", "er", "erm", "hmm", "like", "well", "so", "maybe")
CONJUNCTIONS = ("and", "but", "or", "because", "if", "when", "that", "which", "then", "cause")
FUNCTION_WORDS = (
    "the",
    "a",
    "my",
    "your",
    "is",
    "was",
    "to",
    "for",
    "with",
    "of",
    "i",
    "it's",
    "i'm",
)
DICTATED_SHARE = 0.05  # share of turns with a dictation (number, name or date) before them
DIGITS = ("oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPELLED_LETTERS = tuple("BCDEFGHIJKLMNOPQRSTUVWXYZ")  # the voice reads A as the article
ORDINALS = (
    *("first", "second", "fourth", "seventh", "tenth", "twelfth"),
    *("fifteenth", "twenty first", "thirtieth"),
)
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
LEAD_INS = (
    *("", "", "it's ", "yes, it's ", "um, ", "so that's ", "okay, "),
    *("uh, let me see, ", "my number is ", "that would be "),
)

Turn = tuple[str, str]  # party, text


def render_interjections(
    cache: Path, seed: int = 0, synthesiser: Synthesiser | None = None
) -> Path:
    """Return a set folder in `cache` with every interjection spoken by every speaker.

    The set is made only if it is not there yet.

    Raises:
        MissingExtraError: hibari-tts is not installed.
    """
    rng = np.random.default_rng([seed, 1])
    lines = [
        Line(speaker, text, _draw_pace(rng))
        for speaker in range(SPEAKERS)
        for text in INTERJECTIONS
    ]
    folder = cache / f"{INTERJECTIONS_SET}-{_key(lines)}" / INTERJECTIONS_SET
    return (
        folder
        if (folder / "manifest.csv").is_file()
        else render_set(lines, folder, None, synthesiser)
    )


def render_scripts(
    scripts: Path,
    cache: Path,
    seed: int = 0,
    hours: float | None = None,
    synthesiser: Synthesiser | None = None,
) -> Path:
    """Return a set folder in `cache` with turns of the conversations (TextGrids) and dictations.

    The set is made only if it is not there yet.

    Args:
        scripts: folder of the TextGrids.
        cache: folder for the set.
        seed: draws order, pace and dictations.
        hours: about how long the set lasts; None for HOURS.
        synthesiser: the voice; by default the neural voice.
    Raises:
        DialogueError: there are no TextGrids.
        MissingExtraError: hibari-tts is not installed.
    """
    hours = HOURS if hours is None else hours
    turns = read_turns(scripts)
    folder = cache / f"{SYNTHETIC_SET}-{_key((turns, seed, hours))}" / SYNTHETIC_SET
    if (folder / "manifest.csv").is_file():
        return folder
    return render_set(draw_lines(turns, seed), folder, hours, synthesiser)


def _key(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def _draw_pace(rng: np.random.Generator) -> float:
    return round(float(rng.uniform(*PACES)), 2)


def read_turns(scripts: Path) -> list[Turn]:
    """Return the turns of the conversations under `scripts`, without the transcriber's marks.

    Each turn belongs to one party. Sentences that the transcriber did not understand are left out.
    Long turns are split between sentences.

    Raises:
        DialogueError: there are no TextGrids, or none with text.
    """
    conversations: dict[str, list[tuple[float, float, str, str]]] = defaultdict(list)
    for path in sorted(scripts.rglob("*.TextGrid")):
        said = [(start, end, path.stem, text) for start, end, text in read_textgrid(path)]
        conversations[path.stem.rsplit("_", 1)[0]] += said
    turns = list(
        chain.from_iterable(_turns(sorted(intervals)) for intervals in conversations.values())
    )
    if not turns:
        raise DialogueError(f"{scripts}: expected TextGrids with text, got none")
    return turns


def _turns(intervals: Sequence[tuple[float, float, str, str]]) -> Iterator[Turn]:
    """Join consecutive intervals of one party to turns."""
    party, last_end, sentences = "", 0.0, list[str]()
    for start, end, who, text in intervals:
        if who != party or start - last_end > LONGEST_PAUSE_S:
            yield from ((party, turn) for turn in _texts(sentences))
            sentences = []
        party, last_end = who, end
        sentences += _sentences(text)
    yield from ((party, turn) for turn in _texts(sentences))


def _sentences(text: str) -> list[str]:
    """Return the sentences that the transcriber understood, without marks."""
    clear = re.sub(r"</?UNSURE/?>", "", text)
    sentences = re.split(r"(?<=[.?!])\s+", re.sub(r"\s+", " ", clear).strip())
    return [sentence for sentence in sentences if sentence and "<" not in sentence]


def _texts(sentences: Sequence[str]) -> list[str]:
    """Join sentences to texts, and drop texts that are too short or too long to be spoken."""
    texts = [""]
    for sentence in sentences:
        joined = f"{texts[-1]} {sentence}".strip()
        if len(joined) <= LONGEST_TURN:
            texts[-1] = joined
        else:
            texts.append(sentence)
    # A hesitation does not end a sentence, even if the transcriber put a full stop.
    texts = [re.sub(r"\b([Uu]m|[Uu]h)\.$", r"\1,", text) for text in texts]
    return [text for text in texts if SHORTEST_TURN <= len(text) <= LONGEST_TURN]


def stop_in_the_middle(text: str, rng: np.random.Generator) -> tuple[str, str]:
    """Cut a turn after a comma, a filler, a conjunction or a function word.

    Returns:
        The first part, and the rest of its sentence. If there is no such place: the whole text and
            "".
    """
    words = text.split()
    weights = np.array([0.0, 0.0, *(_stopping_weight(word) for word in words[2:-1])])
    if weights.sum() == 0:
        return text, ""
    end = 1 + int(rng.choice(len(weights), p=weights / weights.sum()))
    stopped = " ".join(words[:end])
    if rng.random() < 0.5:
        stopped = stopped.rstrip(",")
    sentence_end = next(
        (i for i in range(end, len(words)) if words[i][-1] in ".?!"), len(words) - 1
    )
    # A capital shows that the transcript has punctuation, so the missing full stop means
    # "unfinished" (utterances.ends_sentence).
    return stopped[0].upper() + stopped[1:], " ".join(words[end : sentence_end + 1])


def _stopping_weight(word: str) -> float:
    """Relative weight of a stop after this word."""
    bare = word.lower().rstrip(",")
    if bare in HESITATIONS + CONJUNCTIONS:
        return 3.0
    if word.endswith(","):
        return 2.0
    return 1.0 if bare in FUNCTION_WORDS else 0.0


def draw_lines(turns: Sequence[Turn], seed: int) -> Iterator[Line]:
    """Yield lines without end, with dictations between them.

    All turns come in random order, then again with other speakers, and so on.
    """
    parties = {party: i for i, party in enumerate(dict.fromkeys(party for party, _ in turns))}
    rng = np.random.default_rng([seed, 2])
    exchange = 0
    while True:
        for place in rng.permutation(len(turns)):
            party, text = turns[int(place)]
            speaker, continued = (parties[party] + exchange) % SPEAKERS, ""
            if rng.random() < DICTATED_SHARE:
                yield Line(speaker, draw_dictation(rng), _draw_pace(rng))
            if rng.random() < STOPPED_SHARE:
                text, continued = stop_in_the_middle(text, rng)
            yield Line(speaker, text, _draw_pace(rng), continued if rng.random() < 0.5 else "")
        exchange += 5


def draw_dictation(rng: np.random.Generator) -> str:
    """A text that callers give piece by piece: a number in groups, a spelled name or a date."""
    kind = int(rng.integers(3))
    if kind == 0:
        sizes = rng.integers(2, 5, size=rng.integers(2, 4))
        groups = [" ".join(DIGITS[i] for i in rng.integers(10, size=size)) for size in sizes]
        said = ", ".join(groups)
    elif kind == 1:
        letters = [
            SPELLED_LETTERS[i] for i in rng.integers(len(SPELLED_LETTERS), size=rng.integers(4, 9))
        ]
        said = ", ".join(" ".join(letters[i : i + 3]) for i in range(0, len(letters), 3))
    else:
        day, month = ORDINALS[int(rng.integers(len(ORDINALS)))], MONTHS[int(rng.integers(12))]
        said = f"the {day} of {month}, {rng.integers(1940, 2030)}"
    return f"{LEAD_INS[int(rng.integers(len(LEAD_INS)))]}{said}."


def main(args: argparse.Namespace) -> int:
    """Make the set, and print a one-line summary."""
    if not 0 < args.hours < math.inf:
        raise DialogueError(f"expected --hours > 0, got {args.hours:g}")
    folder = render_set(draw_lines(read_turns(args.scripts), args.seed), args.out, args.hours)
    print(f"{args.hours:g} h of turns, in {folder / 'manifest.csv'}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Render turns of transcribed conversations with a neural voice."
    )
    parser.add_argument(
        "--scripts", type=Path, required=True, help="folder with TextGrids, one file per party"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the rendered set")
    parser.add_argument(
        "--hours",
        type=float,
        default=HOURS,
        help=f"approximate hours of speech to render (default {HOURS:g})",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of order, pace and dictations (default 0)"
    )
    raise SystemExit(main(parser.parse_args()))
