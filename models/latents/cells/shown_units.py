"""Units of a network over a part of a dialogue: which they are, what they are shown by, and what
stands beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ..collect import load_sound, own_network
from ..collection import LAYERS, Collection
from ..options import option
from ..views import LIGHT, SOUND_RATE_HZ, dialogue_of, envelope, number_of, sound_of
from .gates import kinds, listen_inside
from .targets import Floats
from .unit_search import Found, UnitSearch, both_halves

if TYPE_CHECKING:
    from ...turn_model import TurnModel

NAMED = 3  # targets that a unit is said to track, and from which strength
LEAST_NAMED = 0.3
NOTHING = "nothing that was searched for"
NO_SOUND = " There is no sound, so the waveforms are flat."
TRACKS = ((0.04, 1.0), (-1.0, -0.04))  # of the speakers, from bottom to top
SPEAKERS = (LIGHT.first, LIGHT.second)


class Part(TypedDict, total=False):
    """What is shown of a collection, and by which network.

    Attributes:
        model: the collection's network, for the cells of an LSTM; without it, the state h is shown.
        dialogue: id; None is the first.
        start_s, end_s: the part; without an end, as much as the view shows at most.
    """

    model: TurnModel | None
    dialogue: str | None
    start_s: float
    end_s: float | None


@dataclass(frozen=True)
class Unit:
    """A unit of a layer, and what it tracks, in words ("" if nobody knows)."""

    layer: str
    number: int
    tracks: str = ""

    @property
    def name(self) -> str:
        return f"{self.layer}:{self.number}"


def add_unit(parser: argparse.ArgumentParser) -> None:
    """Add --unit."""
    what = f"unit to show, such as latent:17; layers are {' and '.join(LAYERS)}"
    option(parser, "--unit LAYER:NUMBER", f"{what} (default: one that tracks most)")


def part_asked_for(collection: Collection, args: argparse.Namespace) -> Part:
    """Return the part that the options of `add_stretch` ask for, and the network.

    Raises:
        ConfigError: no such dialogue; refused before the network is loaded.
    """
    number_of(collection, args.dialogue)
    model = own_network(collection, args.model)
    return Part(model=model, dialogue=args.dialogue, start_s=args.start, end_s=args.end)


def unit_named(text: str | None) -> Unit | None:
    """Return the unit that "latent:17" names; None of None.

    Raises:
        ConfigError: the text names none.
    """
    if text is None:
        return None
    layer, _, number = text.rpartition(":")
    if layer not in LAYERS or not number.isdecimal():
        raise ConfigError(f"expected a unit as {LAYERS[-1]}:17 or {LAYERS[0]}:3, got {text!r}")
    return Unit(layer, int(number))


def stretch_of(collection: Collection, part: Part, longest_s: float) -> tuple[int, int, int]:
    """Return the number of a dialogue, the first frame and the end of a part of it.

    Raises:
        ConfigError: no such dialogue, or no such part.
    """
    number = number_of(collection, part.get("dialogue"))
    start_s, end_s = part.get("start_s", 0.0), part.get("end_s")
    first, frames = collection.frame_of(start_s), collection.frame_count(number)
    last = min(frames, first + collection.frame_of(longest_s))
    if end_s is not None:
        last = collection.frame_of(end_s)
    if not 0 <= first < last <= frames:
        raise ConfigError(
            f"expected a part of {collection.dialogues[number].id!r}, 0 to "
            f"{frames / collection.frame_rate_hz:g} s, got {start_s:g} to {end_s} s"
        )
    return number, first, last


def chosen_units(
    collection: Collection, unit: Unit | None, search: UnitSearch | None, most: int = 1
) -> list[Unit]:
    """Return the unit that is asked for, if any, then those that a search found to track most.

    Raises:
        ConfigError: the network has no such unit.
    """
    leading = [] if search is None else leading_units(search, most)
    if unit is None:
        return leading
    sizes = collection.about.sizes
    if unit.layer not in sizes:
        raise ConfigError(
            f"expected a unit of this collection's layers, {', '.join(sizes)}, got {unit.name}"
        )
    if unit.number >= (size := sizes[unit.layer]):
        raise ConfigError(
            f"expected a unit of {unit.layer} from 0 to {size - 1}, got {unit.number}"
        )
    if search is not None:
        unit = replace(unit, tracks=tracks_in_words(search.found, unit.layer, unit.number))
    return [unit, *(other for other in leading if other.name != unit.name)][:most]


def leading_units(search: UnitSearch, most: int) -> list[Unit]:
    """Units that track something in both halves: of every target the best, then the next, ..."""
    known = [found for found in search.found if found.known]
    known.sort(key=lambda found: -both_halves(found.strengths).max())
    places = [
        (found.layer, found.leading(place + 1)[-1]) for place in range(most) for found in known
    ]
    chosen = list(dict.fromkeys(places))[:most]
    return [Unit(layer, number, tracks_in_words(known, layer, number)) for layer, number in chosen]


def tracks_in_words(search: Sequence[Found], layer: str, number: int) -> str:
    """Return the strongest targets of a unit, with its scores (mean of both halves).

    They are stronger than chance, as far as the search knows that.
    """
    strengths = [
        (float(both_halves(found.strengths)[number]), found)
        for found in search
        if found.known and found.layer == layer
    ]
    first = sorted(strengths, key=lambda pair: -pair[0])[:NAMED]
    named = [found for size, found in first if size >= np.fmax(LEAST_NAMED, found.level)]
    if first and not named:
        return NOTHING
    scores = [("r" if f.target.graded else "AUC", f.scores[:, number].mean()) for f in named]
    told = zip(named, scores, strict=True)
    return ", ".join(f"{f.target.name} ({kind} {score:.2f})" for f, (kind, score) in told)


def activations(
    collection: Collection,
    number: int,
    layer: str,
    model: TurnModel | None,
    units: Sequence[int] | None = None,
) -> tuple[Floats, str]:
    """Return what a layer's units (None: all) are shown by, for a whole dialogue.

    Of an LSTM it is tanh(c); of a GRU, a plain RNN, or without the model, the state h, which has
    the same bounds; a linear read-out is divided by its greatest magnitude.

    Returns:
        (T, 2, U) from -1 to 1, and what it is, in words.
    """
    kind = None if model is None else kinds(model)[layer]
    columns = slice(None) if units is None else list(units)
    if model is not None and kind == "lstm":
        rate_hz = model.config.features.sample_rate_hz
        audio = load_sound(dialogue_of(collection.dialogues[number]), rate_hz)
        cells = [
            inside[layer]["tanh_c"][:, :, -1, columns].numpy()
            for _, _, inside in listen_inside(model, audio)
        ]
        return np.concatenate(cells), "tanh(c)"
    values: Floats = collection.frames(number, [layer])[layer][:, :, columns]
    greatest = np.abs(values).max(axis=(0, 1), initial=0)
    if kind == "none" or greatest.max(initial=0) > 1 + 1e-4:
        return values / np.maximum(greatest, 1e-9), "the output divided by its greatest magnitude"
    return values, "the state h"


def sound_or_silence(collection: Collection, number: int) -> Floats:
    """Return a dialogue's sound, (2, N) at SOUND_RATE_HZ; silence where it was imported without.

    Raises:
        DialogueError: its files cannot be read any more.
    """
    if collection.dialogues[number].audio:
        return sound_of(collection.dialogues[number])
    seconds = collection.frame_count(number) / collection.frame_rate_hz
    return np.zeros((2, round(seconds * SOUND_RATE_HZ)), np.float32)


def waveform_of(sound: Floats, rate_hz: float, part: slice) -> Floats:
    """Return the greatest magnitude in some frames of a sound, from 0 to 1, (2, T)."""
    waveform = envelope(sound, rate_hz)
    return np.pad(waveform, ((0, 0), (0, max(0, part.stop - waveform.shape[1]))))[:, part]


def draw_waveforms(
    panel: Any, times_s: NDArray[Any], waveform: Floats, speaking: NDArray[Any], **look: Any
) -> None:
    """Draw waveforms (2, T), and bars between them where each speaker speaks (T, 2).

    The look is for matplotlib's `fill_between`; the colour is the speaker's unless given.
    """
    bars = {"linewidth": 2.2, "solid_capstyle": "butt", "zorder": 4}
    for speaker, (low, high) in enumerate(TRACKS):
        middle, wave = (low + high) / 2, waveform[speaker] * (high - low) / 2
        fill = {"color": SPEAKERS[speaker], "linewidth": 0, **look}
        panel.fill_between(times_s, middle - wave, middle + wave, **fill)
        spoken = np.where(speaking[:, speaker], 0.02 - 0.04 * speaker, np.nan)
        panel.plot(times_s, spoken, color=SPEAKERS[speaker], **bars)
    middles = [(low + high) / 2 for low, high in TRACKS]
    panel.set(ylim=(-1, 1), yticks=middles, yticklabels=["speaker 0", "speaker 1"])
    panel.tick_params(axis="x", labelbottom=False)
    panel.grid(visible=False)


def draw_scale(image: Any, panels: Any, words: str = "") -> None:
    """Draw the scale of an image of activations beside panels, with words along it."""
    look: dict[str, Any] = {"fraction": 0.015, "pad": 0.01, "aspect": 35}
    ticks = [-1, -0.5, 0, 0.5, 1]
    bar = panels[0].figure.colorbar(image, ax=list(panels), ticks=ticks, **look)
    bar.set_label(words, color=LIGHT.ink)
    bar.outline.set_visible(False)
