"""`turnstream latents activations`: all units over a stretch of conversation, under its waveform.

Units that go together lie side by side: they are ordered by hierarchical clustering of their
correlations over both speakers, with the order of leaves in which neighbours are most alike
(scipy.cluster.hierarchy, after Bar-Joseph et al. 2001).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from ..collect import add_model_argument, add_source_argument, opened_collection
from ..collection import Collection
from ..drawing import listed, states_image
from ..options import add_out, add_stretch, check_files, shown
from ..quality import quality_of
from ..views import LIGHT, View, check_suffix, picture
from . import shown_units
from .targets import Floats, Target
from .unit_search import score_units

LONGEST_S = 60.0  # unless --end is given
ORDERED_FROM = 4000  # frames at most, evenly drawn
SPEECH = Target("own speech", False, "")
FOLLOWS = 0.6  # strength from which a unit is said to follow speech
STILL = 0.02  # standard deviation below which a unit stays where it is
WAVEFORM, LEAST = 22.0, 20.0  # heights: of the waveforms, and of a layer at least; a unit has 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents activations`."""
    add_source_argument(parser)
    add_out(parser)
    add_stretch(parser, f"{LONGEST_S:g} s")
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw, and print what is seen."""
    check_files(args, ".png")
    with opened_collection(args.source, args.model) as collection:
        part = shown_units.part_asked_for(collection, args)
        return shown(activations_picture(collection, args.out, **part))


def activations_picture(
    collection: Collection, out: Path, **part: Unpack[shown_units.Part]
) -> View:
    """Draw every unit of all layers and both speakers (.png); flat waveforms without sound.

    Raises:
        ConfigError: no such dialogue or part.
    """
    check_suffix(out, ".png")
    number, first, last = shown_units.stretch_of(collection, part, LONGEST_S)
    layers, model, name = collection.about.sizes, part.get("model"), collection.dialogues[number].id
    rate, frames = collection.frame_rate_hz, slice(first, last)
    speaking = collection.frames(number, ["speaking"])["speaking"][frames].astype(bool)
    found = {layer: shown_units.activations(collection, number, layer, model) for layer in layers}
    values = {layer: whole[frames] for layer, (whole, _) in found.items()}
    orders = {layer: similar_order(of_layer) for layer, of_layer in values.items()}
    sound = shown_units.sound_or_silence(collection, number)
    waveform, begin, end = shown_units.waveform_of(sound, rate, frames), first / rate, last / rate
    what = " and ".join(dict.fromkeys(words for _, words in found.values()))
    title = f"Activations of {collection.about.model} over {name}"
    caption = (
        f"{begin:.1f} to {end:.1f} s of {name}. Every line of an image is a unit seen from one "
        f"speaker, red -1, white 0, blue +1 ({what}); both images of a layer have the same order, "
        "in which units that go together lie side by side. Above: both waveforms, with bars where "
        f"each speaks.{'' if waveform.any() else shown_units.NO_SOUND} "
        f"{figures_in_words(values, orders, speaking)} {quality_of(collection).in_words()}"
    )
    rows = [(layer, speaker) for layer in values for speaker in (0, 1)]
    heights = [WAVEFORM, *(max(LEAST, layers[layer] / 2) for layer, _ in rows)]
    size = (12.0, 0.033 * sum(heights) + 1.4)
    with picture(out, title, caption, size, nrows=len(heights), height_ratios=heights) as panels:
        times_s = begin + (np.arange(last - first) + 0.5) / rate
        shown_units.draw_waveforms(panels[0], times_s, waveform, speaking)
        image = None
        for panel, (layer, speaker) in zip(panels[1:], rows, strict=True):
            ordered = values[layer][:, speaker, orders[layer]].T
            image = states_image(panel, ordered, (begin, end, len(ordered), 0))
            image.set_interpolation("antialiased")  # there may be more frames than pixels
            panel.set_ylabel(f"{layer}\nspeaker {speaker}", fontsize=8.5, color=LIGHT.ink)
            panel.set_yticks([])
            panel.tick_params(axis="x", labelbottom=panel is panels[-1])
        for panel in panels:
            panel.set_xlim(begin, end)
        panels[-1].set_xlabel("seconds")
        shown_units.draw_scale(image, panels[1:])
    return View(out, title, caption)


def similar_order(values: Floats) -> NDArray[np.int64]:
    """Return units, (T, 2, H), in an order in which those that go together lie side by side, (H,).

    Those that never move come last.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    every = max(1, len(values) // ORDERED_FROM)
    rows = values[::every].reshape(-1, values.shape[2]).astype(np.float64)
    moves = rows.std(axis=0) > 1e-6
    moving, still = np.flatnonzero(moves), np.flatnonzero(~moves)
    if len(moving) >= 3:
        tree = linkage(rows[:, moving].T, "average", "correlation", optimal_ordering=True)
        moving = moving[leaves_list(tree)]
    return np.concatenate([moving, still])


def figures_in_words(
    values: dict[str, Floats], orders: dict[str, NDArray[np.int64]], speaking: NDArray[np.bool_]
) -> str:
    """Return what units, (T, 2, H), and their orders of each layer say beside speech, (T, 2)."""
    figures: dict[str, str] = {}
    spoken = speaking.reshape(-1).astype(np.float32)
    for layer, of_layer in values.items():
        rows = of_layer.reshape(-1, of_layer.shape[2])
        said = [f"of {rows.shape[1]} units {(rows.std(axis=0) < STILL).sum()} hardly move"]
        if 0 < spoken.mean() < 1:
            strengths = SPEECH.strength(score_units(rows, spoken, SPEECH))
            rising, falling = (int((sign * strengths > FOLLOWS).sum()) for sign in (1, -1))
            said.append(f"{rising} are mostly higher and {falling} mostly lower in own speech")
        said.append(f"{100 * np.mean(np.abs(rows) > 0.9):.0f} % of values beyond -0.9 or 0.9")
        own = np.flatnonzero(rows.std(axis=0) > 1e-6)
        if len(own) >= 3:
            both = (rows[:, order] for order in (orders[layer][: len(own)], own))
            close, far = (
                np.diag(np.corrcoef(each.astype(np.float64), rowvar=False), 1).mean()
                for each in both
            )
            said.append(f"neighbours correlate by {close:.2f} ({far:.2f} in the network's order)")
        figures[layer] = ", ".join(said)
    return (
        f"“Hardly move” is a standard deviation under {STILL:g}, “mostly higher or lower” an AUC "
        f"beyond {0.5 + FOLLOWS / 2:g}. {listed(figures)}"
    )
