"""`turnstream latents cell`: a conversation coloured by one unit's activation.

It is a picture, or a page with sound and the units that track most.

turnstream latents cell SOURCE --unit latent:17 --out cell.png
    [--dialogue ID] [--start SECONDS] [--end SECONDS]
turnstream latents cell SOURCE --out cell.html [--model RUN]

A unit is seen from each speaker's row of the network: speaker 0's signal is coloured by the unit's
activation in row 0, speaker 1's by that in row 1. Red is -1 and blue is +1. Of an LSTM it is
tanh(c), as in the paper; of a GRU or plain RNN the state h, which has the same bounds; a linear
read-out is divided by its greatest magnitude.

Source: Karpathy, Johnson & Fei-Fei 2016, section 4.1, whose signal is text; words.py colours that.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import DialogueError
from ..collect import add_model_argument, add_source_argument, opened_collection, own_network
from ..collection import Collection
from ..moments import shift_probability
from ..options import add_out, add_stretch, check_files, shown
from ..quality import quality_of
from ..views import (
    LIGHT,
    SOUND_RATE_HZ,
    View,
    check_suffix,
    embedded_sound,
    envelope,
    number_of,
    picture,
    red_to_blue,
    write_page,
)
from .shown_units import (
    Unit,
    activations,
    add_unit,
    check_unit,
    leading_units,
    sound_or_silence,
    stretch_of,
    tracks_in_words,
    unit_named,
)
from .targets import Floats
from .unit_search import UnitSearch, find_units

if TYPE_CHECKING:
    from ...turn_model import TurnModel

MOST = 24  # units in a page
LONGEST_S = {".html": 600.0, ".png": 60.0}  # of conversation
LINE_S = 20.0  # of conversation in one line of a picture
FAINT = 0.2  # range of nine tenths of the activations below which the colours hardly change
LANES = ((0.04, 1.0), (-1.0, -0.04))  # of the speakers in a picture


@dataclass(frozen=True)
class Stretch:
    """A part of a dialogue: T frames.

    Attributes:
        dialogue: its name.
        start_s: where it begins.
        frame_rate_hz: of what follows.
        units: U units.
        shown: for each layer, what is shown of its units, in words.
        values: of each unit and speaker, from -1 to 1, (U, T, 2).
        waveform: greatest magnitude, from 0 to 1, (2, T).
        speaking: (T, 2).
        p_shift: probability that who did not speak last speaks next, (T,); NaN before anyone has
            spoken.
        sound: (2, N) at SOUND_RATE_HZ.
    """

    dialogue: str
    start_s: float
    frame_rate_hz: float
    units: tuple[Unit, ...]
    shown: dict[str, str]
    values: Floats
    waveform: Floats
    speaking: NDArray[np.bool_]
    p_shift: Floats
    sound: NDArray[np.float32]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.p_shift) / self.frame_rate_hz


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents cell`."""
    add_source_argument(parser)
    add_unit(parser)
    what = f"picture (.png), or page (.html) with sound and the {MOST} units that track most"
    add_out(parser, what=what, metavar="FILE")
    longest = [f"{LONGEST_S['.html']:g} s in a page", f"{LONGEST_S['.png']:g} s in a picture"]
    add_stretch(parser, ", ".join(longest))
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw, and print what is seen."""
    check_files(args, *LONGEST_S)
    unit = None if args.unit is None else unit_named(args.unit)
    with opened_collection(args.source, args.model) as collection:
        number_of(collection, args.dialogue)  # refused before the network is loaded
        return shown(
            cell_page(
                collection,
                args.out,
                unit=unit,
                model=own_network(collection, args.model),
                dialogue=args.dialogue,
                start_s=args.start,
                end_s=args.end,
            )
        )


def cell_page(
    collection: Collection,
    out: Path,
    *,
    unit: Unit | None = None,
    model: TurnModel | None = None,
    search: UnitSearch | None = None,
    dialogue: str | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> View:
    """Colour a dialogue by a unit, in a picture, or in a page by any of those that track most.

    Args:
        collection: that the dialogue is of.
        out: .png or .html.
        unit: to show, in a page first; None is the one that tracks most.
        model: the collection's network, for the cells of an LSTM; without it, the state h is shown.
        search: of find_units; None searches the collection, if need be.
        dialogue: id; None is the first.
        start_s, end_s: the part to show.
    Raises:
        ConfigError: no such unit, dialogue or part.
        DialogueError: no unit is asked for, and too little happens to find one.
    """
    check_suffix(out, *LONGEST_S)
    number, first, last = stretch_of(collection, dialogue, start_s, end_s, LONGEST_S[out.suffix])
    if search is None and (unit is None or out.suffix == ".html"):
        search = find_units(collection, 0)
    units = leading_units(search, MOST) if search is not None else []
    if unit is not None:
        check_unit(collection, unit)
        unit = (
            unit
            if search is None
            else replace(unit, tracks=tracks_in_words(search.found, unit.layer, unit.number))
        )
        units = [unit, *(there for there in units if there.name != unit.name)][:MOST]
    if not units:
        raise DialogueError(
            "expected a --unit, or enough speech and silence to find the units that track "
            "something, got neither"
        )
    stretch = _read(
        collection, number, first, last, units if out.suffix == ".html" else units[:1], model
    )
    title = (
        f"{units[0].name} over {stretch.dialogue}"
        if out.suffix == ".png"
        else f"Units over {stretch.dialogue}"
    )
    caption = f"{stretch_in_words(stretch)} {quality_of(collection).in_words()}"
    view = View(out, title, caption)
    if out.suffix == ".png":
        _draw(stretch, view)
    else:
        write_page(out, view.title, view.caption, "cell.js", _page_contents(stretch), plotly=False)
    return view


def stretch_in_words(stretch: Stretch) -> str:
    """What is drawn, and how much the unit moves there."""
    unit, values = stretch.units[0], stretch.values[0]
    begin, end = stretch.start_s, stretch.start_s + stretch.seconds
    more = len(stretch.units) - 1
    chosen = f" {more} more units can be chosen, those that track something best first." * bool(
        more
    )
    silent = " There is no sound, so the waveforms are flat." * (not stretch.sound.any())
    tracked = f" tracks {unit.tracks}" if unit.tracks else " was asked for"
    return (
        f"{begin:.1f} to {end:.1f} s of {stretch.dialogue}. Behind each speaker's waveform, the "
        "activation of a unit seen from that speaker: red -1, the page's colour 0, blue +1, and as "
        "a line from the bottom (-1) to the top (+1) of the lane. Shown is "
        f"{_shown_in_words(stretch)}. Bars between the lanes: who speaks. Below: the probability "
        f"that who did not speak last is the next to speak.{chosen}{silent} {unit.name}{tracked}; "
        f"here {_contrast(values, stretch.speaking)}."
    )


def _contrast(values: Floats, speaking: NDArray[np.bool_]) -> str:
    """Mean activation while the speaker of the row speaks, and while not, and how far it moves."""
    parts = [
        f"{values[which].mean():+.2f} while the lane's speaker {name}"
        for which, name in ((speaking, "speaks"), (~speaking, "is silent"))
        if which.any()
    ]
    low, high = np.quantile(values, [0.05, 0.95])
    digits = 2 if high - low >= 0.02 else 5
    faint = ", so that its colour hardly changes" if high - low < FAINT else ""
    return (
        f"its mean is {' and '.join(parts)}, and nine tenths of its values lie from "
        f"{low:+.{digits}f} to {high:+.{digits}f}{faint}"
    )


def _shown_in_words(stretch: Stretch) -> str:
    named = list(dict.fromkeys(stretch.shown.values()))
    return (
        named[0]
        if len(named) == 1
        else " and ".join(f"{words} of {layer}" for layer, words in stretch.shown.items())
    )


def _read(
    collection: Collection,
    number: int,
    first: int,
    last: int,
    units: Sequence[Unit],
    model: TurnModel | None,
) -> Stretch:
    rate = collection.frame_rate_hz
    frames = collection.frames(number, ["speaking", "holder", "p_next"])
    collected = collection.dialogues[number]
    sound = sound_or_silence(collection, number)
    waveform = envelope(sound, rate)
    waveform = np.pad(waveform, ((0, 0), (0, max(0, last - waveform.shape[1]))))[:, first:last]
    values = np.zeros((len(units), last - first, 2), np.float32)
    shown: dict[str, str] = {}
    for layer in dict.fromkeys(unit.layer for unit in units):
        places = [place for place, unit in enumerate(units) if unit.layer == layer]
        found, shown[layer] = activations(
            collection, number, layer, model, [units[place].number for place in places]
        )
        values[places] = found[first:last].transpose(2, 0, 1)
    return Stretch(
        collected.id,
        first / rate,
        rate,
        tuple(units),
        shown,
        values,
        waveform,
        frames["speaking"][first:last].astype(bool),
        shift_probability(frames)[first:last],
        sound[:, round(first / rate * SOUND_RATE_HZ) : round(last / rate * SOUND_RATE_HZ)],
    )


def _page_contents(stretch: Stretch) -> dict[str, Any]:
    return {
        "units": [
            {"name": unit.name, "tracks": unit.tracks, "shown": stretch.shown[unit.layer]}
            for unit in stretch.units
        ],
        "values": stretch.values,
        "waveform": stretch.waveform,
        "speaking": stretch.speaking.astype(np.int64),
        "pShift": stretch.p_shift,
        "frameRate": stretch.frame_rate_hz,
        "start": stretch.start_s,
        "sound": embedded_sound(stretch.sound),
    }


def _draw(stretch: Stretch, view: View) -> None:
    lines = int(np.ceil(stretch.seconds / LINE_S - 1e-6))
    width_s = LINE_S if lines > 1 else stretch.seconds
    with picture(
        view.path,
        view.title,
        view.caption,
        (12, 2.3 * lines + 0.4),
        nrows=2 * lines,
        height_ratios=[3, 1] * lines,
        squeeze=False,
    ) as panels:
        image = None
        for line in range(lines):
            part = slice(
                round(line * LINE_S * stretch.frame_rate_hz),
                round((line + 1) * LINE_S * stretch.frame_rate_hz),
            )
            image = _draw_line(panels[2 * line, 0], panels[2 * line + 1, 0], stretch, part, width_s)
        bar = panels[0, 0].figure.colorbar(
            image,
            ax=panels[:, 0].tolist(),
            fraction=0.015,
            pad=0.01,
            aspect=30,
            ticks=[-1, -0.5, 0, 0.5, 1],
        )
        bar.set_label(
            f"{stretch.units[0].name}, {stretch.shown[stretch.units[0].layer]}", color=LIGHT.ink
        )
        bar.outline.set_visible(False)


def _draw_line(lanes: Any, below: Any, stretch: Stretch, part: slice, width_s: float) -> Any:
    shift, image = stretch.p_shift[part], None
    begin = stretch.start_s + part.start / stretch.frame_rate_hz
    time = begin + (np.arange(len(shift)) + 0.5) / stretch.frame_rate_hz
    end = begin + len(shift) / stretch.frame_rate_hz
    for speaker, (low, high) in enumerate(LANES):
        values, middle, reach = stretch.values[0, part, speaker], (low + high) / 2, (high - low) / 2
        image = lanes.imshow(
            values[None],
            cmap=red_to_blue(),
            vmin=-1,
            vmax=1,
            aspect="auto",
            extent=(begin, end, low, high),
            zorder=1,
        )
        wave = stretch.waveform[speaker, part] * reach
        lanes.fill_between(
            time, middle - wave, middle + wave, color="#333333", alpha=0.55, linewidth=0, zorder=2
        )
        lanes.plot(time, middle + values * reach, color="black", linewidth=0.9, zorder=3)
        spoken = np.where(stretch.speaking[part, speaker], 0.02 - 0.04 * speaker, np.nan)
        lanes.plot(
            time,
            spoken,
            color=(LIGHT.first, LIGHT.second)[speaker],
            linewidth=2.2,
            solid_capstyle="butt",
            zorder=4,
        )
    lanes.set(
        xlim=(begin, begin + width_s),
        ylim=(-1, 1),
        yticks=[(low + high) / 2 for low, high in LANES],
        yticklabels=["speaker 0", "speaker 1"],
    )
    lanes.tick_params(axis="x", labelbottom=False)
    lanes.grid(visible=False)
    below.plot(time, shift, color=LIGHT.third, linewidth=1.4)
    below.axhline(0.5, color=LIGHT.faint, linewidth=0.8, linestyle=":")
    below.set(
        xlim=(begin, begin + width_s),
        ylim=(0, 1),
        yticks=[0, 1],
        ylabel="p(shift)",
        xlabel="seconds" if end >= stretch.start_s + stretch.seconds - 1e-6 else "",
    )
    return image
