"""Contrasts of labels of one's own: mutual silences by what the speaker before them was labelled.

    act=question            silences after a "question", against those after any other known act
    act=question/answer     against those after an "answer"
    load>3.5                silences after a number above 3.5, against those after any other

The label of a silence is the newest one that who spoke before it has in the last BEFORE_S of
speech: a label's end and the end of the speech seldom agree to the frame.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ....stream.errors import ConfigError
from ..collection import Collection, Event
from ..labels import is_known
from . import contrasts
from .contrasts import CONTRASTS, SILENCES, Cases, Contrast

BEFORE_S = 0.5
HOW = "LABEL=VALUE, LABEL=VALUE/OTHER or LABEL>NUMBER"

Value = str | float | None
Moment = tuple[int, int, float]  # dialogue, speaker before, and start of a silence


@dataclass(frozen=True)
class LabelContrast(Contrast):
    """Two classes of mutual silences by a label of one's own, whose name is the subject.

    Attributes:
        other: the value of the second class; None takes any other known value.
        above: of a number; None compares text.
        values: of every silence.
    """

    other: str | None = None
    above: float | None = None
    values: Mapping[Moment, Value] = field(default_factory=dict[Moment, Value])

    def is_first(self, event: Event) -> bool | None:
        """Is an event of the first class? None: its label is not known, or of neither."""
        value = self.values.get((event.number, event.speaker, event.start_s))
        if event.kind not in self.kinds or value is None:
            return None
        if self.above is not None:
            return float(value) > self.above
        if value == self.classes[0]:
            return True
        return False if self.other is None or value == self.other else None


def contrast_named(name: str) -> Contrast:
    """Return a contrast by its name, or one of a label of one's own that has no values yet.

    Raises:
        ConfigError: neither a name nor a contrast of a label.
    """
    if name in CONTRASTS:
        return CONTRASTS[name]
    other, above = None, None
    if match := re.fullmatch(r"([^=>]+)=([^/]+)(?:/(.+))?", name):
        label, first, other = match.groups()
        classes = (first, other or f"other {label}")
    elif match := re.fullmatch(r"([^=>]+)>(.+)", name):
        label, number = match.groups()
        try:
            above = float(number)
        except ValueError:
            above = math.nan
        if not math.isfinite(above):
            raise ConfigError(f"expected a number after the > of {name!r}, got {number!r}")
        classes = (f"above {above:g}", f"at most {above:g}")
    else:
        raise ConfigError(f"expected one of {', '.join(CONTRASTS)}, or {HOW}, got {name!r}")
    lacking = f"few silences come after speech that is labelled {label!r}"
    return LabelContrast(name, classes, SILENCES, lacking, label, other=other, above=above)


def contrast_in(collection: Collection, name: str) -> Contrast:
    """Return a contrast as `contrast_named` does, with the labels of a collection's silences.

    Raises:
        ConfigError: no such contrast, or the collection has no such label of such a kind.
    """
    contrast = contrast_named(name)
    if not isinstance(contrast, LabelContrast):
        return contrast
    label, values = contrast.subject, silence_labels(collection, contrast.subject)
    known = [value for value in values.values() if value is not None]
    if known and isinstance(known[0], str) == (contrast.above is not None):
        kind, form = ("text", "=") if contrast.above is not None else ("numbers", ">")
        raise ConfigError(f"expected {label}{form}..., since it is {kind}, got {name!r}")
    return replace(contrast, values=values)


def find_cases(
    collection: Collection, questions: Sequence[str], most: int = 2000, seed: int = 0
) -> dict[str, Cases]:
    """Return the moments of each question; all questions about silences look at the same ones."""
    events = collection.events()
    no_silences = ("overlap", "backchannel")
    starts = sorted({(e.number, e.start_s) for e in events if e.kind not in no_silences})
    drawn = {starts[place] for place in np.random.default_rng(seed).permutation(len(starts))[:most]}
    silences = [event for event in events if (event.number, event.start_s) in drawn]
    cases: dict[str, Cases] = {}
    for name in questions:
        contrast = contrast_in(collection, name)
        if contrast.kinds:
            cases[name] = contrasts.event_cases(silences, contrast)
        elif name == "speaking":
            cases[name] = contrasts.speaking_cases(collection, most, seed)
        else:
            cases[name] = contrasts.backchannel_cases(collection, events, most, seed)
    return cases


def silence_labels(collection: Collection, label: str) -> dict[Moment, Value]:
    """Return the label before every mutual silence; None where it is not known.

    Raises:
        ConfigError: the collection has no such label.
    """
    if label not in collection.labels:
        labels = ", ".join(collection.labels) or "none; turnstream latents label joins them"
        raise ConfigError(
            f"{collection.folder}: expected one of its labels ({labels}), got {label!r}"
        )
    found: dict[Moment, Value] = {}
    events = collection.events(*SILENCES)
    for number in sorted({event.number for event in events}):
        column = collection.frames(number, [label])[label]
        known, value_of = is_known(column), str if column.dtype.kind == "U" else float
        for event in events:
            if event.number == number:
                start = collection.frame_of(event.start_s)
                first = max(0, start - collection.frame_of(BEFORE_S))
                there = first + np.flatnonzero(known[first:start, event.speaker])
                value = value_of(column[there[-1], event.speaker]) if len(there) else None
                found[number, event.speaker, event.start_s] = value
    return found


def event_labels(collection: Collection, events: Sequence[Event]) -> list[dict[str, str]]:
    """Return every label of one's own of events, in words, to group them by; "" where unknown.

    Numbers are told apart at the median of the events'.
    """
    found: list[dict[str, str]] = [{} for _ in events]
    for label in collection.labels:
        of_silences = silence_labels(collection, label)
        values = [of_silences.get((event.number, event.speaker, event.start_s)) for event in events]
        numbers = [value for value in values if not isinstance(value, str | None)]
        median = float(np.median(numbers)) if numbers else 0.0
        for labels, value in zip(found, values, strict=True):
            if value is None or isinstance(value, str):
                labels[label] = value or ""
            else:
                labels[label] = f"{'above' if value > median else 'at most'} {median:.4g}"
    return found
