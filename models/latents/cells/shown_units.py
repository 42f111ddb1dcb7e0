"""Units of a network over a stretch of a dialogue: which they are, and what they are shown by."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ..collect import load_sound
from ..collection import LAYERS, Collection
from ..views import SOUND_RATE_HZ, dialogue_of, sound_of
from .gates import kinds, listen_inside
from .targets import Floats
from .unit_search import Found, UnitSearch, both_halves

if TYPE_CHECKING:
    from ...turn_model import TurnModel

NAMED = 3  # targets that a unit is said to track, and from which strength
LEAST_NAMED = 0.3
NOTHING = "nothing that was searched for"


def add_unit(parser: argparse.ArgumentParser) -> None:
    """Add --unit."""
    layers = " and ".join(LAYERS)
    what = f"unit to show, such as latent:17; layers are {layers} (default: one that tracks most)"
    parser.add_argument("--unit", metavar="LAYER:NUMBER", help=what)


@dataclass(frozen=True)
class Unit:
    """A unit of a layer, and what it tracks, in words ("" if nobody knows)."""

    layer: str
    number: int
    tracks: str = ""

    @property
    def name(self) -> str:
        """As on the command line."""
        return f"{self.layer}:{self.number}"


def unit_named(text: str) -> Unit:
    """The unit that "latent:17" names.

    Raises:
        ConfigError: the text names none.
    """
    layer, _, number = text.rpartition(":")
    if layer not in LAYERS or not number.isdecimal():
        raise ConfigError(f"expected a unit as {LAYERS[-1]}:17 or {LAYERS[0]}:3, got {text!r}")
    return Unit(layer, int(number))


def check_unit(collection: Collection, unit: Unit) -> None:
    """Refuse a unit that the network does not have.

    Raises:
        ConfigError: see above.
    """
    if unit.layer not in collection.about.sizes:
        raise ConfigError(
            f"expected a unit of this collection's layers, {', '.join(collection.about.sizes)}, "
            f"got {unit.name}"
        )
    size = collection.about.sizes[unit.layer]
    if not 0 <= unit.number < size:
        raise ConfigError(
            f"expected a unit of {unit.layer} from 0 to {size - 1}, got {unit.number}"
        )


def stretch_of(
    collection: Collection,
    dialogue: str | None,
    start_s: float,
    end_s: float | None,
    longest_s: float,
) -> tuple[int, int, int]:
    """Number of a dialogue, first frame and end of a part of it.

    Raises:
        ConfigError: no such dialogue, or no such part.
    """
    names = [collected.id for collected in collection.dialogues]
    if dialogue is not None and dialogue not in names:
        raise ConfigError(
            f"expected a dialogue of {collection.folder}, one of {', '.join(names[:5])}"
            f"{', ...' if len(names) > 5 else ''}, got {dialogue!r}"
        )
    number = 0 if dialogue is None else names.index(dialogue)
    whole = collection.frame_count(number)
    first = collection.frame_of(start_s)
    last = (
        min(whole, first + collection.frame_of(longest_s))
        if end_s is None
        else collection.frame_of(end_s)
    )
    if not 0 <= first < last <= whole:
        raise ConfigError(
            f"expected a part of {names[number]!r}, 0 to {whole / collection.frame_rate_hz:g} s, "
            f"got {start_s:g} to {end_s} s"
        )
    return number, first, last


def leading_units(search: UnitSearch, most: int) -> list[Unit]:
    """Units that track something in both halves: of every target the best, then the next, ..."""
    known = [found for found in search.found if found.known]
    chosen: list[tuple[str, int]] = []
    for place in range(most):
        for found in sorted(known, key=lambda found: -both_halves(found.strengths).max()):
            unit = (found.layer, found.leading(place + 1)[-1])
            if unit not in chosen and len(chosen) < most:
                chosen.append(unit)
    return [Unit(layer, number, tracks_in_words(known, layer, number)) for layer, number in chosen]


def tracks_in_words(search: Sequence[Found], layer: str, number: int) -> str:
    """The strongest targets of a unit, with its scores (mean of both halves).

    They are stronger than chance, as far as the search knows that.
    """
    found = sorted(
        (found for found in search if found.known and found.layer == layer),
        key=lambda found: -both_halves(found.strengths)[number],
    )
    named = [
        each
        for each in found[:NAMED]
        if both_halves(each.strengths)[number] >= np.fmax(LEAST_NAMED, each.level)
    ]
    if found and not named:
        return NOTHING
    return ", ".join(
        f"{each.target.name} ({'r' if each.target.graded else 'AUC'} "
        f"{each.scores[:, number].mean():.2f})"
        for each in named
    )


def activations(
    collection: Collection,
    number: int,
    layer: str,
    model: TurnModel | None,
    units: Sequence[int] | None = None,
) -> tuple[Floats, str]:
    """What a unit is shown by, for a whole dialogue.

    Args:
        collection, number: the dialogue.
        layer: of the units.
        model: the collection's network; None: the state h is taken, whatever it is of.
        units: which; None: all.
    Returns:
        (T, 2, U) from -1 to 1, and what it is, in words.
    """
    kind = None if model is None else kinds(model)[layer]
    columns = slice(None) if units is None else list(units)
    if model is not None and kind == "lstm":
        audio = load_sound(
            dialogue_of(collection.dialogues[number]), model.config.features.sample_rate_hz
        )
        return np.concatenate(
            [
                inside[layer]["tanh_c"][:, :, -1, columns].numpy()
                for _, _, inside in listen_inside(model, audio)
            ]
        ), "tanh(c)"
    values: Floats = collection.frames(number, [layer])[layer][:, :, columns]
    greatest = np.abs(values).max(axis=(0, 1), initial=0)
    if kind == "none" or greatest.max(initial=0) > 1 + 1e-4:
        return values / np.maximum(greatest, 1e-9), "the output divided by its greatest magnitude"
    return values, "the state h"


def sound_or_silence(collection: Collection, number: int) -> NDArray[np.float32]:
    """A dialogue's sound, (2, N) at SOUND_RATE_HZ; silence where it was imported without.

    Raises:
        DialogueError: its files cannot be read any more.
    """
    if collection.dialogues[number].audio:
        return sound_of(collection.dialogues[number])
    return np.zeros(
        (2, round(collection.frame_count(number) / collection.frame_rate_hz * SOUND_RATE_HZ)),
        np.float32,
    )
