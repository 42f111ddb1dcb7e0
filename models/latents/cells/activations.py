"""`turnstream latents activations`: all units over a stretch of conversation, under its waveform.

turnstream latents activations SOURCE --out activations.png [--model RUN]
    [--dialogue ID] [--start SECONDS] [--end SECONDS]

Units that go together lie side by side: they are ordered by hierarchical clustering of their
correlations over both speakers, with the order of leaves in which neighbours are most alike. A unit
that goes up where another goes down is not like it.

Source: scipy.cluster.hierarchy; optimal leaf order after Bar-Joseph et al. 2001.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..collect import add_model_argument, add_source_argument, opened_collection, own_network
from ..collection import Collection
from ..options import add_out, add_stretch, check_files, shown
from ..quality import quality_of
from ..views import LIGHT, View, check_suffix, envelope, number_of, picture, red_to_blue
from .shown_units import activations, sound_or_silence, stretch_of
from .targets import Floats
from .unit_search import Target, score_units, strength

if TYPE_CHECKING:
    from ...turn_model import TurnModel

LONGEST_S = 60.0  # unless --end is given
COLUMNS = 1800  # of an image; more frames are averaged
ORDERED_FROM = 4000  # frames at most, evenly drawn
SPEECH = Target("own speech", False, "")
FOLLOWS = 0.6  # strength from which a unit is said to follow speech
STILL = 0.02  # standard deviation below which a unit stays where it is


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
        number_of(collection, args.dialogue)  # refused before the network is loaded
        return shown(
            activations_picture(
                collection,
                args.out,
                model=own_network(collection, args.model),
                dialogue=args.dialogue,
                start_s=args.start,
                end_s=args.end,
            )
        )


def activations_picture(
    collection: Collection,
    out: Path,
    *,
    model: TurnModel | None = None,
    dialogue: str | None = None,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> View:
    """Draw every unit of all layers and both speakers; without waveforms where there is no sound.

    Args:
        collection: that the dialogue is of.
        out: .png.
        model: the collection's network, for the cells of an LSTM; without it, the state h is shown.
        dialogue: id; None is the first.
        start_s, end_s: the part to show.
    Raises:
        ConfigError: no such dialogue or part.
    """
    check_suffix(out, ".png")
    number, first, last = stretch_of(collection, dialogue, start_s, end_s, LONGEST_S)
    speaking = collection.frames(number, ["speaking"])["speaking"][first:last].astype(bool)
    found = {
        layer: activations(collection, number, layer, model) for layer in collection.about.sizes
    }
    values = {layer: whole[first:last] for layer, (whole, _) in found.items()}
    orders = {layer: similar_order(part) for layer, part in values.items()}
    rate = collection.frame_rate_hz
    waveform = envelope(sound_or_silence(collection, number), rate)[:, first:last]
    name = collection.dialogues[number].id
    begin, end = first / rate, last / rate
    by = " and ".join(dict.fromkeys(words for _, words in found.values()))
    title = f"Activations of {collection.about.model} over {name}"
    words = activations_in_words(
        values, orders, speaking, f"{begin:.1f} to {end:.1f} s of {name}", by
    )
    silent = " There is no sound, so the waveforms are flat." * (not waveform.any())
    view = View(out, title, f"{words}{silent} {quality_of(collection).in_words()}")
    rows = [(layer, speaker) for layer in values for speaker in (0, 1)]
    heights = [22.0, *(max(20.0, len(orders[layer]) / 2) for layer, _ in rows)]
    with picture(
        out,
        title,
        view.caption,
        (12, 0.033 * sum(heights) + 1.4),
        nrows=1 + len(rows),
        height_ratios=heights,
    ) as panels:
        _draw_waveform(panels[0], waveform, speaking, (begin, end))
        image = None
        for panel, (layer, speaker) in zip(panels[1:], rows, strict=True):
            image = panel.imshow(
                thinned(values[layer][:, speaker, orders[layer]]).T,
                cmap=red_to_blue(),
                vmin=-1,
                vmax=1,
                aspect="auto",
                extent=(begin, end, len(orders[layer]), 0),
            )
            panel.set_ylabel(f"{layer}\nspeaker {speaker}", fontsize=8.5, color=LIGHT.ink)
            panel.set(xlim=(begin, end), yticks=[])
            panel.grid(visible=False)
            panel.tick_params(axis="x", labelbottom=panel is panels[-1])
        panels[-1].set_xlabel("seconds")
        bar = panels[0].figure.colorbar(
            image,
            ax=list(panels[1:]),
            fraction=0.015,
            pad=0.01,
            aspect=40,
            ticks=[-1, -0.5, 0, 0.5, 1],
        )
        bar.outline.set_visible(False)
    return view


def similar_order(values: Floats) -> NDArray[np.int64]:
    """Units in an order in which those that go together lie side by side.

    Args:
        values: (T, 2, H).
    Returns:
        (H,); units that never move come last.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    rows = (
        values[:: max(1, len(values) // ORDERED_FROM)]
        .reshape(-1, values.shape[2])
        .astype(np.float64)
    )
    moving = np.flatnonzero(rows.std(axis=0) > 1e-6)
    still = np.setdiff1d(np.arange(values.shape[2]), moving)
    if len(moving) < 3:
        return np.concatenate([moving, still])
    distances = 1 - correlations(rows[:, moving])
    tree = linkage(
        squareform(np.maximum(distances, 0), checks=False), "average", optimal_ordering=True
    )
    return np.concatenate([moving[leaves_list(tree)], still])


def correlations(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of every two columns that both move, (N, H) to (H, H), exactly symmetric."""
    found: NDArray[np.float64] = np.asarray(np.corrcoef(rows, rowvar=False))
    found = (found + found.T) / 2
    np.fill_diagonal(found, 1)
    return found


def thinned(values: Floats) -> Floats:
    """At most COLUMNS rows of (T, H), each the mean of as many frames as the others."""
    by = -(-len(values) // COLUMNS)
    if by == 1:
        return values
    whole = len(values) // by * by
    return values[:whole].reshape(-1, by, values.shape[1]).mean(axis=1)


def activations_in_words(
    values: dict[str, Floats],
    orders: dict[str, NDArray[np.int64]],
    speaking: NDArray[np.bool_],
    what: str,
    by: str,
) -> str:
    """What is drawn, and what the activations have in common."""
    words = [
        f"{what}. Every line of an image is a unit seen from one speaker, red -1, white 0, blue +1 "
        f"({by}); both images of a layer have the same order, in which units that go together lie "
        "side by side. Above: both waveforms, with bars where each speaks."
    ]
    for layer, part in values.items():
        rows = part.reshape(-1, part.shape[2])
        still = int((rows.std(axis=0) < STILL).sum())
        said = f"{layer}: of {part.shape[2]} units "
        spoken = speaking.reshape(-1).astype(np.float32)
        if 0 < spoken.mean() < 1:
            strengths = strength(score_units(rows, spoken, SPEECH), SPEECH)
            rising, falling = (int((sign * strengths > FOLLOWS).sum()) for sign in (1, -1))
            said += (
                f"{rising} are mostly higher and {falling} mostly lower while their speaker speaks "
                f"(AUC beyond {0.5 + FOLLOWS / 2:g}), "
            )
        said += (
            f"{still} hardly move (standard deviation under {STILL:g}), and "
            f"{np.mean(np.abs(rows) > 0.9):.0%} of all values lie beyond -0.9 or 0.9"
        )
        if (close := _neighbours(rows, orders[layer])) is not None:
            said += (
                f"; neighbours correlate by {close[0]:.2f} on average, in the network's own order "
                f"by {close[1]:.2f}"
            )
        words.append(said.replace("%", " %") + ".")
    return " ".join(words)


def _neighbours(rows: Floats, order: NDArray[np.int64]) -> tuple[float, float] | None:
    """Mean correlation of neighbours in the order, and in that of numbers, of units that move."""
    moving = rows.std(axis=0) > 1e-6
    if moving.sum() < 3:
        return None
    numbers = np.flatnonzero(moving)
    found = correlations(rows[:, numbers].astype(np.float64))
    place = np.searchsorted(numbers, order[: len(numbers)])
    return float(found[place[:-1], place[1:]].mean()), float(np.diag(found, 1).mean())


def _draw_waveform(
    panel: Any, waveform: Floats, speaking: NDArray[np.bool_], ends: tuple[float, float]
) -> None:
    time = np.linspace(*ends, len(speaking), endpoint=False)
    for speaker, middle in enumerate((0.5, -0.5)):
        colour, wave = (LIGHT.first, LIGHT.second)[speaker], 0.42 * waveform[speaker]
        panel.fill_between(
            time[: len(wave)], middle - wave, middle + wave, color=colour, linewidth=0
        )
        panel.plot(
            time,
            np.where(speaking[:, speaker], middle - 0.47, np.nan),
            color=colour,
            linewidth=2,
            solid_capstyle="butt",
        )
    panel.set(xlim=ends, ylim=(-1, 1), yticks=[-0.5, 0.5], yticklabels=["speaker 1", "speaker 0"])
    panel.tick_params(axis="x", labelbottom=False)
    panel.grid(visible=False)
