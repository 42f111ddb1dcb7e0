"""`turnstream latents words`: a transcript in which each word has the colour of one unit.

The words come from the word file of the manifest, or from a label of one's own of which every
stretch of the same text is a word. A word is coloured by the unit's mean activation over it, seen
from who says it: red -1, white 0, blue +1.

Source: Karpathy, Johnson & Fei-Fei 2016, section 4.1.
"""

from __future__ import annotations

import argparse
import html
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ...dialogues.loading import load_texts
from ...evaluation.page import html_page
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import Collection
from ..drawing import listed, many
from ..options import add_out, add_stretch, check_files, option, shown
from ..quality import quality_of
from ..tables import write_rows
from ..views import View, check_suffix, dialogue_of, red_to_blue
from . import shown_units
from .shown_units import Part, Unit
from .unit_search import find_units

LONGEST_S = 600.0  # unless --end is given
LOOKS = "body { max-width: 900px } .said span { padding: 0 2px; border-radius: 3px; color: #222 }"
HEADER = ("speaker", "begin_s", "end_s", "word", "activation")

Said = tuple[int, float, float, str]  # the first four fields of Word


@dataclass(frozen=True)
class Word:
    """A word that is said, and the unit's mean activation over it, from -1 to 1."""

    speaker: int
    begin_s: float
    end_s: float
    text: str
    value: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents words`."""
    add_source_argument(parser)
    shown_units.add_unit(parser)
    what = "label of your own that holds the words (default: the words of the manifest)"
    option(parser, "--label NAME", what)
    add_out(parser, "words.html", "page to write", "FILE.html", csv="a table of the words")
    add_stretch(parser, f"{LONGEST_S:g} s")
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Write the page, and print what is seen."""
    check_files(args, ".html")
    unit, given = shown_units.unit_named(args.unit), {"label": args.label, "table": args.csv}
    with opened_collection(args.source, args.model) as collection:
        if args.label is not None:  # refused before the network is loaded
            collection.frames(0, [args.label])
        part = shown_units.part_asked_for(collection, args)
        return shown(words_page(collection, args.out, unit=unit, **given, **part))


def words_page(
    collection: Collection,
    out: Path,
    *,
    unit: Unit | None = None,
    label: str | None = None,
    table: Path | None = None,
    **part: Unpack[Part],
) -> View:
    """Write a transcript coloured by a unit (.html).

    Args:
        unit: to show; None is the one that tracks most.
        label: that holds the words; None takes those of the manifest.
        table: .csv to write.
    Raises:
        ConfigError: no such unit, dialogue, label or part, or no words in it.
    """
    check_suffix(out, ".html")
    number, first, last = shown_units.stretch_of(collection, part, LONGEST_S)
    found = shown_units.chosen_units(collection, unit, find_units(collection, 0))
    unit = (found or [Unit(next(iter(collection.about.sizes)), 0)])[0]
    units, model, name = [unit.number], part.get("model"), collection.dialogues[number].id
    values, what = shown_units.activations(collection, number, unit.layer, model, units)
    words = coloured_words(collection, number, values[:, :, 0], (first, last), label)
    if not words:
        raise ConfigError(
            f"expected words in this part of {name!r}, from the manifest or a --label, got none"
        )
    if table is not None:
        write_rows(table, HEADER, map(astuple, words))
    title = f"{unit.name} over the words of {name}"
    figures = {f"{unit.name} tracks": unit.tracks}
    for end, pick in (("highest", max), ("lowest", min)):
        word = pick(words, key=lambda word: word.value)
        figures[f"{end} at {word.text!r}"] = f"{word.value:+.2f}, {word.begin_s:.1f} s"
    caption = (
        f"{many(len(words), 'word')} of {name}, each coloured by the mean of {unit.name} of "
        f"{collection.about.model} over it, seen from who says it: red -1, white 0, blue +1 "
        f"({what}). {listed(figures)} {quality_of(collection).in_words()}"
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
    """Return the words that begin in a part of a dialogue (first frame, end), in order, with the
    mean of a unit's values, (T, 2), over each.

    Raises:
        ConfigError: the collection has no such label, or it is numbers.
    """
    texts = _texts(collection, number) if label is None else _labelled(collection, number, label)
    found: list[Word] = []
    for said in texts:
        speaker, begin_s, end_s, _ = said
        first = collection.frame_of(begin_s)
        if part[0] <= first < part[1]:
            last = max(first + 1, min(collection.frame_of(end_s), len(values)))
            found.append(Word(*said, float(values[first:last, speaker].mean())))
    return sorted(found, key=lambda word: (word.begin_s, word.speaker))


def _texts(collection: Collection, number: int) -> Iterator[Said]:
    collected = collection.dialogues[number]
    if collected.words is not None:
        dialogue = replace(dialogue_of(collected), words=Path(collected.words))
        for speaker, words in enumerate(load_texts(dialogue)):
            yield from ((speaker, begin_s, end_s, text) for (begin_s, end_s), text in words)


def _labelled(collection: Collection, number: int, label: str) -> Iterator[Said]:
    column, rate_hz = collection.frames(number, [label])[label], collection.frame_rate_hz
    if column.dtype.kind != "U":
        raise ConfigError(f"expected a label of text, got {label!r}, which is numbers")
    for speaker, row in enumerate(column.T):
        edges = [0, *(np.flatnonzero(row[1:] != row[:-1]) + 1).tolist(), len(row)]
        for low, high in zip(edges, edges[1:], strict=False):
            if row[low]:
                yield speaker, low / rate_hz, high / rate_hz, str(row[low])


def _page(title: str, caption: str, words: Sequence[Word]) -> str:
    from matplotlib.colors import to_hex

    colours, lines = red_to_blue(), list[str]()
    for speaker, said in groupby(words, key=lambda word: word.speaker):
        turn = list(said)
        lines.append(f'<p class="said"><b>{speaker}</b> {turn[0].begin_s:.1f} s:')
        for word in turn:
            colour, told = to_hex(colours((word.value + 1) / 2)), html.escape(word.text)
            when = f"{word.value:+.2f} at {word.begin_s:.2f} s"
            lines.append(f'<span style="background: {colour}" title="{when}">{told}</span>')
    above = f'<h1>{html.escape(title)}</h1><p class="note">{html.escape(caption)}</p>'
    return html_page(title, above + "\n".join(lines), LOOKS)
