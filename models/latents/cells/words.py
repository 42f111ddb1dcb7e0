"""`turnstream latents words`: a transcript in which each word has the colour of one unit.

turnstream latents words SOURCE --out words.html [--unit latent:17] [--label NAME]
    [--dialogue ID] [--start SECONDS] [--end SECONDS] [--csv FILE.csv] [--model RUN]

The words come from the word file of the manifest that was collected, or from a label of one's own
(`turnstream latents label`) of which every stretch of the same text is a word. A word is coloured
by the unit's mean activation over it, seen from who says it: red -1, white 0, blue +1. Of an LSTM
that is tanh(c), of a GRU or plain RNN the state h.

Source: Karpathy, Johnson & Fei-Fei 2016, section 4.1.
"""

from __future__ import annotations

import argparse
import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ...dialogues.loading import load_texts
from ...evaluation.page import STYLE
from ..collect import add_model_argument, add_source_argument, opened_collection, own_network
from ..collection import Collection
from ..options import add_out, add_stretch, check_files, shown
from ..quality import quality_of
from ..tables import write_rows
from ..views import RED_TO_BLUE, View, check_suffix, dialogue_of, number_of
from .shown_units import (
    Unit,
    activations,
    add_unit,
    check_unit,
    leading_units,
    stretch_of,
    tracks_in_words,
    unit_named,
)
from .unit_search import find_units

if TYPE_CHECKING:
    from ...turn_model import TurnModel

LONGEST_S = 600.0  # unless --end is given
LOOKS = "body { max-width: 900px } .said span { padding: 0 2px; border-radius: 3px; color: #222 }"


@dataclass(frozen=True)
class Word:
    """A word that is said, and the unit's mean activation over it, from -1 to 1."""

    text: str
    speaker: int
    begin_s: float
    end_s: float
    value: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents words`."""
    add_source_argument(parser)
    add_unit(parser)
    what = "label of your own that holds the words (default: the words of the manifest)"
    parser.add_argument("--label", metavar="NAME", help=what)
    add_out(parser, "words.html", "page to write", "FILE.html", csv="a table of the words")
    add_stretch(parser, f"{LONGEST_S:g} s")
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Write the page, and print what is seen."""
    check_files(args, ".html")
    unit = None if args.unit is None else unit_named(args.unit)
    with opened_collection(args.source, args.model) as collection:
        number = number_of(collection, args.dialogue)
        if args.label is not None:  # both are refused before the network is loaded
            collection.frames(number, [args.label])
        return shown(
            words_page(
                collection,
                args.out,
                unit=unit,
                label=args.label,
                table=args.csv,
                model=own_network(collection, args.model),
                dialogue=args.dialogue,
                start_s=args.start,
                end_s=args.end,
            )
        )


def words_page(
    collection: Collection,
    out: Path,
    *,
    unit: Unit | None = None,
    label: str | None = None,
    table: Path | None = None,
    model: TurnModel | None = None,
    dialogue: str | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> View:
    """Write a transcript coloured by a unit.

    Args:
        collection: that the dialogue is of.
        out: .html.
        unit: to show; None is the one that tracks most.
        label: that holds the words; None takes those of the manifest.
        table: .csv to write.
        model: the collection's network, for the cells of an LSTM; without it, h is shown.
        dialogue: id; None is the first.
        start_s, end_s: the part to show.
    Raises:
        ConfigError: no such unit, dialogue, label or part, or no words in it.
    """
    check_suffix(out, ".html")
    number, first, last = stretch_of(collection, dialogue, start_s, end_s, LONGEST_S)
    search = find_units(collection, 0)
    if unit is None:
        unit = next(iter(leading_units(search, 1)), Unit(next(iter(collection.about.sizes)), 0))
    check_unit(collection, unit)
    unit = replace(unit, tracks=tracks_in_words(search.found, unit.layer, unit.number))
    values, what = activations(collection, number, unit.layer, model, [unit.number])
    words = coloured_words(collection, number, values[:, :, 0], (first, last), label)
    if not words:
        named = collection.dialogues[number].id
        raise ConfigError(
            f"expected words in this part of {named!r}, from the manifest or a --label, got none"
        )
    if table is not None:
        header = ("speaker", "begin_s", "end_s", "word", "activation")
        rows = [(w.speaker, w.begin_s, w.end_s, w.text, w.value) for w in words]
        write_rows(table, header, rows)
    name = collection.dialogues[number].id
    title = f"{unit.name} over the words of {name}"
    tracked = f" It tracks {unit.tracks}." if unit.tracks else ""
    most, least = (pick(words, key=lambda word: word.value) for pick in (max, min))
    caption = (
        f"{len(words)} words of {name}, each coloured by the mean of {unit.name} of "
        f"{collection.about.model} over it, seen from who says it: red -1, white 0, blue +1 "
        f"({what}).{tracked} Highest at {most.text!r} ({most.value:+.2f}, {most.begin_s:.1f} s), "
        f"lowest at {least.text!r} ({least.value:+.2f}, {least.begin_s:.1f} s). "
        f"{quality_of(collection).in_words()}"
    )
    out.write_text(_page(title, caption, words), encoding="utf-8")
    return View(out, title, caption)


def coloured_words(
    collection: Collection,
    number: int,
    values: NDArray[np.float32],
    part: tuple[int, int],
    label: str | None = None,
) -> list[Word]:
    """Return the words that begin in a part of a dialogue, in order.

    Args:
        collection, number: the dialogue.
        values: of a unit, (T, 2).
        part: first frame and end.
        label: that holds the words; None takes those of the manifest.
    Raises:
        ConfigError: the collection has no such label, or it is numbers.
    """
    texts = _texts(collection, number) if label is None else _labelled(collection, number, label)
    found: list[Word] = []
    for speaker, begin_s, end_s, text in texts:
        first = collection.frame_of(begin_s)
        if part[0] <= first < part[1]:
            last = max(first + 1, min(collection.frame_of(end_s), len(values)))
            value = float(values[first:last, speaker].mean())
            found.append(Word(text, speaker, begin_s, end_s, value))
    return sorted(found, key=lambda word: (word.begin_s, word.speaker))


def _texts(collection: Collection, number: int) -> list[tuple[int, float, float, str]]:
    collected = collection.dialogues[number]
    if collected.words is None:
        return []
    dialogue = replace(dialogue_of(collected), words=Path(collected.words))
    return [
        (speaker, begin_s, end_s, text)
        for speaker, words in enumerate(load_texts(dialogue))
        for (begin_s, end_s), text in words
    ]


def _labelled(
    collection: Collection, number: int, label: str
) -> list[tuple[int, float, float, str]]:
    column, rate_hz = collection.frames(number, [label])[label], collection.frame_rate_hz
    if column.dtype.kind != "U":
        raise ConfigError(f"expected a label of text, got {label!r}, which is numbers")
    found: list[tuple[int, float, float, str]] = []
    for speaker in (0, 1):
        row = column[:, speaker]
        edges = [0, *(np.flatnonzero(row[1:] != row[:-1]) + 1).tolist(), len(row)]
        for low, high in zip(edges, edges[1:], strict=False):
            if row[low]:
                found.append((speaker, low / rate_hz, high / rate_hz, str(row[low])))
    return found


def _page(title: str, caption: str, words: Sequence[Word]) -> str:
    lines: list[str] = []
    for place, word in enumerate(words):
        if not place or word.speaker != words[place - 1].speaker:
            lines.append(f'<p class="said"><b>{word.speaker}</b> {word.begin_s:.1f} s:')
        lines.append(
            f'<span style="background: {_colour(word.value)}" title="{word.value:+.2f} at '
            f'{word.begin_s:.2f} s">{html.escape(word.text)}</span>'
        )
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}{LOOKS}</style></head><body>'
        f'<h1>{html.escape(title)}</h1><p class="note">{html.escape(caption)}</p>'
        + "\n".join(lines)
        + "</body></html>\n"
    )


def _colour(value: float) -> str:
    """The colour of -1 to 1, as all views have it."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    colours = LinearSegmentedColormap.from_list("red to blue", RED_TO_BLUE)
    return to_hex(colours((value + 1) / 2))
