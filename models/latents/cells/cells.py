"""`turnstream latents cell`: a conversation coloured by one unit's activation, as a picture, or as
a page with sound and the units that track most.

A unit is seen from each speaker's row of the network: speaker 0's signal is coloured by the unit's
activation in row 0, speaker 1's by that in row 1. Red is -1 and blue is +1.

Source: Karpathy, Johnson & Fei-Fei 2016, section 4.1, whose signal is text; words.py colours that.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from ....stream.errors import DialogueError
from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import Collection
from ..drawing import listed, states_image
from ..moments import shift_probability
from ..options import add_out, add_stretch, check_files, shown
from ..quality import quality_of
from ..views import LIGHT, SOUND_RATE_HZ, View, check_suffix, embedded_sound, picture, write_page
from . import shown_units
from .shown_units import TRACKS, Part, Unit
from .unit_search import UnitSearch, find_units

if TYPE_CHECKING:
    from ...turn_model import TurnModel

MOST = 24  # units in a page
LONGEST_S = {".html": 600.0, ".png": 60.0}  # of conversation
LINE_S = 20.0  # of conversation in one line of a picture
FAINT = 0.2  # range of nine tenths of the activations below which the colours hardly change

Section = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents cell`."""
    add_source_argument(parser)
    shown_units.add_unit(parser)
    what = f"picture (.png), or page (.html) with sound and the {MOST} units that track most"
    add_out(parser, what=what, metavar="FILE")
    page_s, picture_s = LONGEST_S.values()
    add_stretch(parser, f"{page_s:g} s in a page, {picture_s:g} s in a picture")
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw, and print what is seen."""
    check_files(args, *LONGEST_S)
    unit = shown_units.unit_named(args.unit)
    with opened_collection(args.source, args.model) as collection:
        part = shown_units.part_asked_for(collection, args)
        return shown(cell_page(collection, args.out, unit=unit, **part))


def cell_page(
    collection: Collection,
    out: Path,
    *,
    unit: Unit | None = None,
    search: UnitSearch | None = None,
    **part: Unpack[Part],
) -> View:
    """Colour a dialogue by a unit, in a picture (.png), or in a page (.html) by any of those that
    track most.

    Args:
        unit: to show, in a page first; None is the one that tracks most.
        search: of find_units; None searches the collection, if need be.
    Raises:
        ConfigError: no such unit, dialogue or part.
        DialogueError: no unit is asked for, and too little happens to find one.
    """
    check_suffix(out, *LONGEST_S)
    is_page = out.suffix == ".html"
    number, first, last = shown_units.stretch_of(collection, part, LONGEST_S[out.suffix])
    if search is None and (unit is None or is_page):
        search = find_units(collection, 0)
    units = shown_units.chosen_units(collection, unit, search, MOST if is_page else 1)
    if not units:
        raise DialogueError(
            "expected a --unit, or enough speech and silence to find the units that track "
            "something, got neither"
        )
    frames, sound = slice(first, last), shown_units.sound_or_silence(collection, number)
    contents = _contents(collection, part.get("model"), number, frames, units, sound)
    name = collection.dialogues[number].id
    title = f"{'Units' if is_page else units[0].name} over {name}"
    caption = f"{_in_words(contents, name, bool(sound.any()))} {quality_of(collection).in_words()}"
    if is_page:
        heard = slice(*(round(f / collection.frame_rate_hz * SOUND_RATE_HZ) for f in (first, last)))
        contents["sound"] = embedded_sound(sound[:, heard])
        write_page(out, title, caption, "cell.js", contents, plotly=False)
    else:
        _draw(contents, out, title, caption)
    return View(out, title, caption)


def _contents(
    collection: Collection,
    model: TurnModel | None,
    number: int,
    part: slice,
    units: Sequence[Unit],
    sound: shown_units.Floats,
) -> Section:
    """What web/cell.js and a picture show of T frames: U units with their `values`, from -1 to 1,
    (U, T, 2), `waveform` (2, T), `speaking` (T, 2), `pShift` (T,), NaN before anyone has spoken.
    """
    rate = collection.frame_rate_hz
    columns = collection.frames(number, ["speaking", "holder", "p_next"])
    values = np.zeros((len(units), part.stop - part.start, 2), np.float32)
    shown_by: dict[str, str] = {}
    for layer in dict.fromkeys(unit.layer for unit in units):
        places = [place for place, unit in enumerate(units) if unit.layer == layer]
        numbers = [units[place].number for place in places]
        found, shown_by[layer] = shown_units.activations(collection, number, layer, model, numbers)
        values[places] = found[part].transpose(2, 0, 1)
    return {
        "units": [{"name": u.name, "tracks": u.tracks, "shown": shown_by[u.layer]} for u in units],
        "values": values,
        "waveform": shown_units.waveform_of(sound, rate, part),
        "speaking": columns["speaking"][part].astype(np.int64),
        "pShift": shift_probability(columns)[part],
        "frameRate": rate,
        "start": part.start / rate,
    }


def _in_words(contents: Section, dialogue: str, heard: bool) -> str:
    """What is drawn: a sentence, and how much the unit moves there."""
    unit, values, speaking = contents["units"][0], contents["values"][0], contents["speaking"] == 1
    start_s, more = contents["start"], len(contents["units"]) - 1
    low, high = np.quantile(values, [0.05, 0.95])
    digits = 2 if high - low >= 0.02 else 5
    figures = {
        unit["name"]: f"tracks {unit['tracks']}" if unit["tracks"] else "was asked for",
        "shown": ", ".join(dict.fromkeys(one["shown"] for one in contents["units"])),
        "mean while its speaker speaks": f"{values[speaking].mean():+.2f}"
        if speaking.any()
        else "",
        "mean while silent": "" if speaking.all() else f"{values[~speaking].mean():+.2f}",
        "nine tenths of its values": f"{low:+.{digits}f} to {high:+.{digits}f}"
        + ", so that its colour hardly changes" * bool(high - low < FAINT),
        "to choose from": f"{more} more units, those that track best first" * bool(more),
    }
    return (
        f"{start_s:.1f} to {start_s + len(values) / contents['frameRate']:.1f} s of {dialogue}. "
        "Behind each speaker's waveform, the activation of a unit seen from that speaker: red -1, "
        "the page's colour 0, blue +1, and as a line from the bottom (-1) to the top (+1). Bars "
        "between: who speaks. Below: the probability that who did not speak last is the next to "
        f"speak.{'' if heard else shown_units.NO_SOUND} {listed(figures)}"
    )


def _draw(contents: Section, out: Path, title: str, caption: str) -> None:
    frames, unit, image = len(contents["pShift"]), contents["units"][0], None
    width = round(LINE_S * contents["frameRate"])
    lines = range(0, frames, width)
    grid = {"nrows": 2 * len(lines), "height_ratios": [3, 1] * len(lines), "squeeze": False}
    with picture(out, title, caption, (12.0, 2.3 * len(lines) + 0.4), **grid) as panels:
        for line, first in enumerate(lines):
            pair = panels[2 * line : 2 * line + 2, 0]
            image = _draw_line(pair[0], pair[1], contents, slice(first, first + width))
            for panel in pair:
                begin = contents["start"] + first / contents["frameRate"]
                panel.set_xlim(begin, begin + min(width, frames) / contents["frameRate"])
        panels[-1, 0].set_xlabel("seconds")
        shown_units.draw_scale(image, panels[:, 0], f"{unit['name']}, {unit['shown']}")


def _draw_line(upper: Any, below: Any, contents: Section, part: slice) -> Any:
    """Draw one line of a picture: both speakers, and p(shift) below; return the image."""
    rate, image = contents["frameRate"], None
    values, shift = contents["values"][0, part], contents["pShift"][part]
    begin = contents["start"] + part.start / rate
    times_s = begin + (np.arange(len(shift)) + 0.5) / rate
    for speaker, (low, high) in enumerate(TRACKS):
        extent = (begin, begin + len(shift) / rate, low, high)
        image = states_image(upper, values[None, :, speaker], extent)
        height = (low + high) / 2 + values[:, speaker] * (high - low) / 2
        upper.plot(times_s, height, color="black", linewidth=0.9, zorder=3)
    waveform, speaking = contents["waveform"][:, part], contents["speaking"][part]
    grey = {"color": "#333333", "alpha": 0.55, "zorder": 2}
    shown_units.draw_waveforms(upper, times_s, waveform, speaking, **grey)
    upper.set_facecolor(LIGHT.paper)
    below.plot(times_s, shift, color=LIGHT.third, linewidth=1.4)
    below.axhline(0.5, color=LIGHT.faint, linewidth=0.8, linestyle=":")
    below.set(ylim=(0, 1), yticks=[0, 1], ylabel="p(shift)")
    return image
