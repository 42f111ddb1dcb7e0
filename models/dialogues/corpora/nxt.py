"""Timed elements of NXT files (NITE XML Toolkit), as used by AMI, ICSI and Map Task."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ....stream.errors import DialogueError
from ..activity import Segment


@dataclass(frozen=True)
class TimedElement:
    """An element directly below the root. A time is None where the file gives none."""

    tag: str
    start_s: float | None
    end_s: float | None
    text: str


@dataclass(frozen=True)
class Word:
    """A word with start and end."""

    start_s: float
    end_s: float
    text: str


def parse_xml(path: Path) -> ElementTree.Element:
    """Root of an XML file.

    Raises:
        DialogueError: the file cannot be read.
    """
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise DialogueError(f"{path}: expected XML, got: {error}") from None


def read_timed_elements(
    path: Path, start_name: str = "starttime", end_name: str = "endtime"
) -> list[TimedElement]:
    """All elements directly below the root, in order.

    Args:
        path: NXT file.
        start_name, end_name: names of the attributes with the times.
    Raises:
        DialogueError: the file is not XML, or a time is not a number.
    """
    elements: list[TimedElement] = []
    for element in parse_xml(path):
        start, end = element.get(start_name), element.get(end_name)
        try:
            times = (float(start) if start else None, float(end) if end else None)
        except ValueError:
            raise DialogueError(
                f"{path}: expected times in seconds at <{element.tag}>, "
                f"got {start_name}={start!r} and {end_name}={end!r}"
            ) from None
        elements.append(TimedElement(element.tag, *times, "".join(element.itertext()).strip()))
    return elements


def read_words(path: Path) -> tuple[list[Word], list[Segment]]:
    """Words of one participant of a meeting.

    Laughter, other vocal sounds and noise (<vocalsound>, <nonvocalsound>) are not speech.
    Punctuation is not a word. <gap>, which stands for speech that the transcriber did not
    understand, is a word without text. Parts of a word that share its times ("we" with a start,
    "'re" with an end) become one word. A word without times lies somewhere between its neighbours.

    Returns:
        The words, and stretches in which the participant may have spoken at unknown times.
    Raises:
        DialogueError: as in read_timed_elements.
    """
    words: list[Word] = []
    unsure: list[Segment] = []
    open_s: float | None = None  # start of a word whose end is not known yet
    since_s: float | None = None  # earliest time of words without times
    text, last_s = "", 0.0
    for element in _spoken(read_timed_elements(path)):
        if element.start_s is not None:
            unsure += [
                (waiting, element.start_s) for waiting in (open_s, since_s) if waiting is not None
            ]
            open_s, since_s, text = element.start_s, None, element.text
        elif open_s is not None:
            text += element.text
        elif since_s is None:
            since_s = last_s
        if element.end_s is not None:
            if open_s is not None and element.end_s > open_s:
                words.append(Word(open_s, element.end_s, text))
            unsure += [(since_s, element.end_s)] if since_s is not None else []
            open_s, since_s, last_s = None, None, max(last_s, element.end_s)
    unsure += [(waiting, math.inf) for waiting in (open_s, since_s) if waiting is not None]
    return words, [(start, end) for start, end in unsure if end > start]


def _spoken(elements: Iterable[TimedElement]) -> list[TimedElement]:
    return [
        e
        for e in elements
        if e.tag == "gap" or (e.tag == "w" and (any(c.isalnum() for c in e.text) or "@" in e.text))
    ]
